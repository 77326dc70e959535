package flawed

import (
	"net/http"
	"time"
)

func timeoutCases() []Case {
	return []Case{
		twoTier("no-timeout",
			"The front waits for the catalog for as long as its user does.",
			"It gives each attempt a second.",
			weak(func(p *policy) { p.try, p.total = 0, 0 })),
		inversionCase(),
	}
}

func inversionCase() Case {
	const search = "search"
	return Case{
		Name:     "timeout-inversion",
		Flawed:   "The front gives search a second; search gives the catalog two, and does not notice that the front has gone.",
		Fixed:    "Search gives the catalog 400 ms.",
		Services: []string{front, search, catalog},
		Edges:    []Edge{{front, search}, {search, catalog}},
		build: func(s *System) {
			s.handle(catalog, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
			below, above := once(), once()
			above.try = time.Second
			below.try = 400 * time.Millisecond
			if s.flawed() {
				below.try, below.deaf = 2*time.Second, true
			}
			items := s.calls(search, catalog, below)
			s.handle(search, "GET /find", func(w http.ResponseWriter, r *http.Request) {
				a, err := items.get(r, "/item")
				pass(w, a, err)
			})
			found := s.calls(front, search, above)
			s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
				a, err := found.get(r, "/find")
				pass(w, a, err)
			})
		},
	}
}
