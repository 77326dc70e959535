package flawed

import (
	"net/http"
	"time"
)

// The services of the systems with two.
const (
	front   = "front"
	catalog = "catalog"
)

func pair() ([]string, []Edge) { return []string{front, catalog}, []Edge{{front, catalog}} }

// twoTier is users -> front -> catalog; the policy of the front is what a case is about.
func twoTier(name, flawed, fixed string, policyOf func(s *System) policy) Case {
	c := Case{Name: name, Flawed: flawed, Fixed: fixed}
	c.Services, c.Edges = pair()
	c.build = func(s *System) {
		s.handle(catalog, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
		items := s.calls(front, catalog, policyOf(s))
		s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
			a, err := items.get(r, "/item")
			pass(w, a, err)
		})
	}
	return c
}

// weak is the sound policy, spoilt in the flawed version.
func weak(spoil func(p *policy)) func(*System) policy {
	return func(s *System) policy {
		p := sound()
		if s.flawed() {
			spoil(&p)
		}
		return p
	}
}

func retryCases() []Case {
	return []Case{
		twoTier("retries-without-cap",
			"The front retries a failed call for as long as its user waits.",
			"It gives up after three attempts.",
			weak(func(p *policy) { p.attempts, p.total = 0, 0 })),
		twoTier("retries-without-delay",
			"The front makes its three attempts at once.",
			"It waits before each retry, longer each time, with jitter.",
			weak(func(p *policy) { p.wait = fixed(0) })),
		twoTier("retries-at-fixed-delay",
			"The front waits 100 ms before each retry.",
			"It waits longer each time, with jitter.",
			weak(func(p *policy) { p.wait = fixed(100 * time.Millisecond) })),
		twoTier("retries-without-jitter",
			"The front waits 40, 80 and 160 ms before its retries, to the millisecond.",
			"A part of each wait is random.",
			func(s *System) policy {
				p := sound()
				p.attempts = 4
				if s.flawed() {
					p.wait = doubled(40 * time.Millisecond)
				}
				return p
			}),
		twoTier("retry-after-ignored",
			"The front is told to come back after a second, and is back after some 100 ms.",
			"It waits as long as it is told, and a random part longer.",
			func(s *System) policy {
				p := sound()
				p.obeys = !s.flawed()
				return p
			}),
		unsafeCase(),
		twoTier("retries-final-answer",
			"The front repeats a call that was answered with 400, Bad Request.",
			"It takes such an answer for an answer.",
			weak(func(p *policy) { p.final = true })),
	}
}

func unsafeCase() Case {
	const payment = "payment"
	return Case{
		Name:     "retries-unsafe-method",
		Flawed:   "The front repeats a POST /payments whose answer was lost: some are paid twice.",
		Fixed:    "It sends the same Idempotency-Key with every attempt.",
		Services: []string{front, payment},
		Edges:    []Edge{{front, payment}},
		build: func(s *System) {
			s.handle(payment, "POST /payments", func(w http.ResponseWriter, _ *http.Request) {
				reply(w, http.StatusCreated, tea("live"))
			})
			p := sound()
			p.unsafe, p.keyed = s.flawed(), !s.flawed()
			payments := s.calls(front, payment, p)
			s.handle(front, "POST /orders", func(w http.ResponseWriter, r *http.Request) {
				a, err := payments.call(r, http.MethodPost, "/payments", `{"amount":7}`)
				pass(w, a, err)
			})
		},
	}
}
