package flawed

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

func fallbackCases() []Case { return []Case{sameCalleeCase(), healthCase(), garbageCase()} }

const archive = "archive"

func sameCalleeCase() Case {
	return Case{
		Name:     "fallback-to-same-callee",
		Flawed:   "When GET /item of the catalog fails, the front asks GET /item/summary of the catalog.",
		Fixed:    "It asks the archive, which does not need the catalog.",
		Services: []string{front, catalog, archive},
		Edges:    []Edge{{front, catalog}, {front, archive}},
		build: func(s *System) {
			item := func(source string) func(http.ResponseWriter, *http.Request) {
				return func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea(source)) }
			}
			s.handle(catalog, "GET /item", item("live"))
			s.handle(catalog, "GET /item/summary", item("summary"))
			s.handle(archive, "GET /item", item("archive"))
			items, archived := s.calls(front, catalog, once()), s.calls(front, archive, once())
			s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
				a, err := items.get(r, "/item")
				if err == nil && a.status == http.StatusOK {
					pass(w, a, err)
					return
				}
				if s.flawed() {
					a, err = items.get(r, "/item/summary")
				} else {
					a, err = archived.get(r, "/item")
				}
				pass(w, a, err)
			})
		},
	}
}

// checkEvery is how often the front asks for health.
const checkEvery = 100 * time.Millisecond

func healthCase() Case {
	return Case{
		Name:     "health-check-ignored",
		Flawed:   "The front asks the catalog's /healthz every 100 ms and takes any answer, a 503 too, for a good one.",
		Fixed:    "It judges the status, and asks the archive while the catalog is ill.",
		Services: []string{front, catalog, archive},
		Edges:    []Edge{{front, catalog}, {front, archive}},
		build: func(s *System) {
			s.handle(catalog, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
			s.handle(archive, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("archive")) })
			first, second := s.calls(front, catalog, once()), s.calls(front, archive, once())
			var ill atomic.Bool
			s.task(func(ctx context.Context) {
				for pause(ctx, checkEvery) == nil {
					a, err := first.attempt(ctx, http.MethodGet, "/healthz", "", http.Header{})
					ill.Store(err != nil || !s.flawed() && a.status != http.StatusOK)
				}
			})
			s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
				to := first
				if ill.Load() {
					to = second
				}
				a, err := to.get(r, "/item")
				pass(w, a, err)
			})
		},
	}
}

func garbageCase() Case {
	c := Case{
		Name:   "garbage-passed-on",
		Flawed: "The front hands on whatever the catalog answers, as long as its status is 200.",
		Fixed:  "It reads the answer first, and says 502 when it makes no sense.",
	}
	c.Services, c.Edges = pair()
	c.build = func(s *System) {
		s.handle(catalog, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
		items := s.calls(front, catalog, sound())
		s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
			a, err := items.get(r, "/item")
			if s.flawed() && err == nil && a.status == http.StatusOK {
				w.Header().Set("Content-Type", "application/json")
				w.Write(a.body)
				return
			}
			pass(w, a, err)
		})
	}
	return c
}
