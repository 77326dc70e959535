package flawed

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// use makes one call through the breaker, if it lets one through.
func use(b *breaker, good bool) (asked bool) {
	probe, ok := b.allow()
	if ok {
		b.done(probe, good)
	}
	return ok
}

// TestBreaker: what each of the three does when it has opened and its pause is over.
func TestBreaker(t *testing.T) {
	for name, tc := range map[string]struct {
		b                      *breaker
		during, both, afterBad bool // is a call let through: while it is open, two at a time after the pause, after a bad one
	}{
		"sound":             {&breaker{}, false, false, false},
		"never closes":      {&breaker{forever: true}, false, false, false},
		"without half-open": {&breaker{atOnce: true}, false, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			for range opensAfter {
				if !use(tc.b, false) {
					t.Fatalf("%s: it opened too early", name)
				}
			}
			if use(tc.b, true) != tc.during {
				t.Errorf("%s: it lets a call through while it is open", name)
			}
			time.Sleep(openFor)
			probe, first := tc.b.allow()
			_, second := tc.b.allow()
			if first == tc.b.forever || second != tc.both {
				t.Errorf("%s: after the pause it lets through: one %t, two %t", name, first, second)
			}
			if !first {
				return
			}
			tc.b.done(probe, false)
			if got := use(tc.b, true); got != tc.afterBad {
				t.Errorf("%s: after a bad call it lets one through: %t", name, got)
			}
			time.Sleep(openFor)
			if first, second := use(tc.b, true), use(tc.b, true); !first || !second {
				t.Errorf("%s: a good call does not close it", name)
			}
		})
	}
}

// TestPool: who finds no place is told so after a while, and a place that is given
// back is taken.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, time.Second)
		if err := p.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.enter(t.Context()); !errors.Is(err, errFull) {
			t.Errorf("a second place: %v", err)
		}
		p.leave()
		if err := p.enter(t.Context()); err != nil {
			t.Errorf("the place that was given back: %v", err)
		}
	})
}

// TestQueue: the short queue does the newest first, nothing for those who have gone,
// and turns away the oldest; the endless one does everything in order.
func TestQueue(t *testing.T) {
	for _, endless := range []bool{false, true} {
		q := newQueue(&random{}, endless)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		orders := []*order{{ctx: t.Context()}, {ctx: t.Context()}, {ctx: gone}}
		q.waiting = append(q.waiting, orders...)
		want := []*order{orders[1], orders[0], nil}
		if endless {
			want = orders
		}
		for i, w := range want {
			if got := q.next(); got != w {
				t.Errorf("endless %t: order %d is another", endless, i)
			}
		}
	}
}

// TestAgain: what a sound caller tries again, and what only a flawed one does.
func TestAgain(t *testing.T) {
	lost := errors.New("lost")
	spoilt := func(spoil func(*policy)) *caller {
		p := sound()
		spoil(&p)
		return &caller{policy: p}
	}
	for name, tc := range map[string]struct {
		c      *caller
		n      int
		method string
		status int
		err    error
		want   bool
	}{
		"503":              {spoilt(func(*policy) {}), 1, http.MethodGet, 503, nil, true},
		"the last":         {spoilt(func(*policy) {}), 3, http.MethodGet, 503, nil, false},
		"without a cap":    {spoilt(func(p *policy) { p.attempts = 0 }), 300, http.MethodGet, 503, nil, true},
		"400":              {spoilt(func(*policy) {}), 1, http.MethodGet, 400, nil, false},
		"400, flawed":      {spoilt(func(p *policy) { p.final = true }), 1, http.MethodGet, 400, nil, true},
		"200":              {spoilt(func(p *policy) { p.final = true }), 1, http.MethodGet, 200, nil, false},
		"a POST":           {spoilt(func(*policy) {}), 1, http.MethodPost, 0, lost, false},
		"a POST, flawed":   {spoilt(func(p *policy) { p.unsafe = true }), 1, http.MethodPost, 0, lost, true},
		"a POST with key":  {spoilt(func(p *policy) { p.keyed = true }), 1, http.MethodPost, 0, lost, true},
		"the breaker open": {spoilt(func(*policy) {}), 1, http.MethodGet, 0, errOpen, false},
	} {
		if got := tc.c.again(t.Context(), tc.n, tc.method, answer{status: tc.status}, tc.err); got != tc.want {
			t.Errorf("%s: tried again: %t", name, got)
		}
	}
}
