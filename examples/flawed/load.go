package flawed

import (
	"net/http"
	"time"
)

func loadCases() []Case { return []Case{bulkheadCase(), layersCase(), metastableCase()} }

func bulkheadCase() Case {
	const reviews = "reviews"
	return Case{
		Name:     "no-bulkhead",
		Flawed:   "The front has eight places for calls, whoever is called: those that wait for reviews take them all.",
		Fixed:    "It has eight places for each callee.",
		Services: []string{front, catalog, reviews},
		Edges:    []Edge{{front, catalog}, {front, reviews}},
		build: func(s *System) {
			const places, patience = 8, 600 * time.Millisecond
			toCatalog, toReviews := once(), once()
			toCatalog.pool, toReviews.pool = newPool(places, patience), newPool(places, patience)
			if s.flawed() {
				toReviews.pool = toCatalog.pool
			}
			for callee, p := range map[string]policy{catalog: toCatalog, reviews: toReviews} {
				p.try = 500 * time.Millisecond
				s.handle(callee, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
				items := s.calls(front, callee, p)
				s.handle(front, "GET /"+callee, func(w http.ResponseWriter, r *http.Request) {
					a, err := items.get(r, "/item")
					pass(w, a, err)
				})
			}
		},
	}
}

func layersCase() Case {
	const orders, stock, store = "orders", "stock", "store"
	return Case{
		Name:     "retries-at-several-layers",
		Flawed:   "Front, orders and stock make three attempts each: one failed request is 27 calls of the store.",
		Fixed:    "Only stock, the nearest to the store, makes three.",
		Services: []string{front, orders, stock, store},
		Edges:    []Edge{{front, orders}, {orders, stock}, {stock, store}},
		build: func(s *System) {
			s.handle(store, "GET /item", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, tea("live")) })
			for i, e := range []Edge{{stock, store}, {orders, stock}, {front, orders}} {
				p := sound()
				p.wait = jittered(10*time.Millisecond, 40*time.Millisecond)
				p.try = 500 * time.Millisecond
				for range i { // three attempts below must fit
					p.try = 3*p.try + 200*time.Millisecond
				}
				p.total = 3*p.try + 150*time.Millisecond
				if !s.flawed() && e.To != store {
					p.attempts = 1
				}
				items := s.calls(e.From, e.To, p)
				path := "GET /item"
				if e.From == front {
					path = "GET /shop"
				}
				s.handle(e.From, path, func(w http.ResponseWriter, r *http.Request) {
					a, err := items.get(r, "/item")
					pass(w, a, err)
				})
			}
		},
	}
}

func metastableCase() Case {
	const kitchen = "kitchen"
	return Case{
		Name:     "stays-broken",
		Flawed:   "The kitchen works off an endless queue in order, also for those who have gone: once it is late, it is late for all.",
		Fixed:    "Its queue is short, the newest comes first, and nothing is done for those who have gone.",
		Services: []string{front, kitchen},
		Edges:    []Edge{{front, kitchen}},
		build: func(s *System) {
			q := newQueue(s.random(kitchen+" queue"), s.flawed())
			s.task(q.work)
			s.muxes[kitchen].HandleFunc("GET /item", func(w http.ResponseWriter, r *http.Request) {
				if !q.do(r.Context()) {
					refuse(w, http.StatusServiceUnavailable, "too much to do")
					return
				}
				reply(w, http.StatusOK, tea("live"))
			})
			p := sound()
			p.try = 400 * time.Millisecond
			items := s.calls(front, kitchen, p)
			s.handle(front, "GET /shop", func(w http.ResponseWriter, r *http.Request) {
				a, err := items.get(r, "/item")
				pass(w, a, err)
			})
		},
	}
}
