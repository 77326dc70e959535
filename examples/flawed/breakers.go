package flawed

import "net/http"

func breakerCases() []Case {
	return []Case{
		guardedCase("breaker-never-closes",
			"The front's breaker opens after five failures and stays open until the front is restarted.",
			"It lets one probe through after 400 ms, and closes when that goes well.",
			func(b *breaker) { b.forever = true }),
		guardedCase("breaker-without-half-open",
			"The front's breaker closes after 400 ms, whether the callee is well or not: all load is back at once.",
			"It lets one probe through after 400 ms, and closes when that goes well.",
			func(b *breaker) { b.atOnce = true }),
	}
}

// guardedCase is a front with a breaker and the last good answer for when it is open.
func guardedCase(name, flawed, fixed string, spoil func(*breaker)) Case {
	c := Case{Name: name, Flawed: flawed, Fixed: fixed}
	c.Services, c.Edges = pair()
	c.build = func(s *System) {
		s.handle(catalog, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
		p := once()
		p.breaker = &breaker{}
		if s.flawed() {
			spoil(p.breaker)
		}
		items := s.calls(front, catalog, p)
		s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
			a, err := items.get(r, "/item")
			if err != nil || a.status != http.StatusOK {
				w.Header().Set("Warning", `110 - "Response is Stale"`)
				reply(w, http.StatusOK, tea("cache"))
				return
			}
			pass(w, a, nil)
		})
	}
	return c
}
