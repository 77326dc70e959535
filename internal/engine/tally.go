package engine

import (
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// tallied is how many seconds of an edge are looked at together.
	tallied = 2
	// tallyKept is how many seconds are kept.
	tallyKept = 8
	// tallyEnough is how many exchanges it takes to say something about an edge.
	tallyEnough = 20
	// tallyExpected is how many successes must have been expected since the lift before
	// it counts that there is none, and tallyAgain how many there must have been, or half
	// of what was expected: with fewer nobody can say that a breaker has closed.
	tallyExpected = 3
	tallyAgain    = 10
	// tallyMore is the growth of exchanges per request of the users that is more than
	// chance.
	tallyMore = 1.2
)

// tally counts, while a run is under way, what passes on each edge, for one question:
// may the recovery stage end? It knows no calls: what stands for attempts per call is
// the exchanges of an edge per request of the users.
type tally struct {
	mu    sync.Mutex
	edges map[string]*edgeTally
	users edgeTally // requests of the traffic
	began time.Time // of the first exchange
	lift  time.Time // zero before
	until time.Time // the end of the steady stage
}

// edgeTally counts one edge.
type edgeTally struct {
	steady, steadyGood uint64 // before the first step
	liftedGood         uint64 // after the lift
	seconds            [tallyKept]struct{ at, n int64 }
}

// note counts an exchange. It is called from many goroutines, and does little.
func (t *tally) note(x *experiment.Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began, t.edges = x.Start, map[string]*edgeTally{}
	}
	e := &t.users
	if x.Flow == "" {
		if e = t.edges[x.Edge]; e == nil {
			e = &edgeTally{}
			t.edges[x.Edge] = e
		}
	}
	good := !x.Cut && x.Status < 500 && (x.GRPC == nil || *x.GRPC == 0)
	switch {
	case t.until.IsZero():
		e.steady++
		if good {
			e.steadyGood++
		}
	case good && !t.lift.IsZero() && x.Start.After(t.lift):
		e.liftedGood++
	}
	at := int64(x.Start.Sub(t.began) / time.Second)
	if s := &e.seconds[uint64(at)%tallyKept]; s.at == at {
		s.n++
	} else if s.at < at {
		s.at, s.n = at, 1
	}
}

// hurting ends the steady stage, if it has not ended yet.
func (t *tally) hurting(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until.IsZero() {
		t.until = now
	}
}

// lifted says that nothing is hurt any more.
func (t *tally) lifted(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lift = now
}

// atRest tells whether every edge is used again as it was before: one that had good
// exchanges then has had some again since the lift, and none has more of them for each request
// of the users. What was too rare to tell counts as at rest.
func (t *tally) atRest(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() || t.until.IsZero() || t.lift.IsZero() || t.users.steady < tallyEnough {
		return true
	}
	steady, since := t.until.Sub(t.began).Seconds(), now.Sub(t.lift).Seconds()
	last := int64(now.Sub(t.began)/time.Second) - 1 // the running second is not over
	users := t.users.latest(last)
	for _, e := range t.edges {
		expected := float64(e.steadyGood) / max(steady, 0.1) * since
		if expected >= tallyExpected && float64(e.liftedGood) < min(tallyAgain, expected/2) {
			return false
		}
		if e.steady < tallyEnough || users < tallyEnough {
			continue
		}
		before := float64(e.steady) / float64(t.users.steady)
		if float64(e.latest(last))/float64(users) > tallyMore*before {
			return false
		}
	}
	return true
}

// latest sums the last whole seconds.
func (e *edgeTally) latest(last int64) (n int64) {
	for i := range e.seconds {
		if s := e.seconds[i]; s.n > 0 && s.at <= last && s.at > last-tallied {
			n += s.n
		}
	}
	return n
}
