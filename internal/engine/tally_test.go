package engine

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// TestTally: the recovery stage may end when edges are used as before, and not while one
// is not used at all or much more.
func TestTally(t *testing.T) {
	began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		before int // exchanges of the edge for 10 requests
		after  int
		status int // after the lift
		again  int // more of them at the end
		rest   bool
	}{
		{"as before", 10, 10, 200, 0, true},
		{"some, as before", 5, 5, 200, 0, true},
		{"a breaker that is open", 10, 0, 200, 0, false},
		{"a breaker that has let one through", 10, 0, 200, 1, false},
		{"a breaker that has closed", 10, 0, 200, 10, true},
		{"an edge that was hardly used", 0, 0, 200, 0, true},
		{"failing", 10, 10, 503, 0, false},
		{"three times as many", 10, 30, 200, 0, false},
		{"fewer", 10, 8, 200, 0, true},
	} {
		var tally tally
		stage := func(from, to time.Duration, each, status int) {
			for at := from; at < to; at += 20 * time.Millisecond {
				start := began.Add(at)
				tally.note(&experiment.Exchange{Flow: "f", Edge: "users -> a", Start: start, Status: 200})
				for range (int(at/(20*time.Millisecond))+1)*each/10 - int(at/(20*time.Millisecond))*each/10 {
					tally.note(&experiment.Exchange{Edge: "a -> b", Start: start.Add(time.Millisecond), Status: status})
				}
			}
		}
		if !tally.atRest(began) {
			t.Errorf("%s: not at rest before anything was seen", tc.name)
		}
		stage(0, 2*time.Second, tc.before, 200)
		tally.hurting(began.Add(2 * time.Second))
		stage(2*time.Second, 4*time.Second, 30, 503)
		tally.hurting(began.Add(4 * time.Second)) // of a second step: changes nothing
		tally.lifted(began.Add(4 * time.Second))
		stage(4*time.Second, 8*time.Second, tc.after, tc.status)
		for range tc.again {
			tally.note(&experiment.Exchange{Edge: "a -> b", Start: began.Add(7990 * time.Millisecond), Status: 200})
		}
		if got := tally.atRest(began.Add(8 * time.Second)); got != tc.rest {
			t.Errorf("%s: at rest %v, want %v", tc.name, got, tc.rest)
		}
	}
}
