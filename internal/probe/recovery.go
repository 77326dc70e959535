package probe

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// TimeToRecover measures a recovery stage that went from the lift to end, as the
// package's doc defines it. ok is false if it is unknown or did not happen; why
// then says which, in one clause. The stage must be settled, else requests under
// way count against it. It takes n log n steps for n requests.
func TimeToRecover(gates []experiment.Gate, rec *traffic.Recorder, lift, end time.Time, hold time.Duration) (took time.Duration, ok bool, why string) {
	took, result, why := Recovery(gates, rec, lift, end, hold)
	return took, result == experiment.Pass, why
}

// Recovery is TimeToRecover with its three results.
func Recovery(gates []experiment.Gate, rec *traffic.Recorder, lift, end time.Time, hold time.Duration) (took time.Duration, result experiment.Result, why string) {
	w := experiment.Window{Stage: experiment.StageRecovery, Start: lift, End: end}
	counters, arrivals, missing := gather(gates, rec, lift, end)
	slices.SortFunc(arrivals, func(a, b arrival) int { return a.Start.Compare(b.Start) })
	switch {
	case len(counters) == 0:
		return 0, experiment.Unknown, "no gate is judged in recovery"
	case missing > 0:
		return 0, experiment.Unknown, fmt.Sprintf("%s of the stage are kept no more", count(missing, "request"))
	}
	best, found := time.Time{}, false
	for i := len(arrivals) - 1; i >= 0; i-- {
		a := arrivals[i]
		for _, c := range counters {
			c.add(a)
		}
		since := lift // the gates hold from behind the request before, if they hold from this one
		if i > 0 {
			since = arrivals[i-1].Start
		}
		if i > 0 && since.Equal(a.Start) || end.Sub(since) < hold {
			continue
		}
		if holdAll(counters) {
			best, found = a.Start, true
			if i == 0 {
				best = lift // all that came after the lift holds
			}
		}
	}
	for _, c := range counters {
		if c.samples() < c.needed() {
			s := rec.Sliding(c.of, lift, end)
			return 0, experiment.Unknown, c.judge(w, s).Why
		}
	}
	if found {
		took = best.Sub(lift)
		return took, experiment.Pass, fmt.Sprintf("every gate held from %s after the lift", took.Round(time.Millisecond))
	}
	last := w
	last.Start = end.Add(-hold)
	if _, why := Holds(gates, last, func(flow string) traffic.Stats { return rec.Sliding(flow, last.Start, end) }); why != "" {
		return 0, experiment.Fail, fmt.Sprintf("%s in its last %s", why, hold)
	}
	return 0, experiment.Fail, fmt.Sprintf("the gates did not hold together for %s up to its end", hold)
}

// Recovered tells whether every gate holds over the latest stretch of traffic
// that is as long as [from, now) and all of whose requests are over; that one
// ends at now less what is under way. It is cheap enough to be asked every
// 100 ms. Missing data is no.
func Recovered(gates []experiment.Gate, rec *traffic.Recorder, from, now time.Time) bool {
	to := now
	for _, g := range gates {
		to = rec.SettledUntil(g.Of, to)
	}
	counters, arrivals, missing := gather(gates, rec, from.Add(to.Sub(now)), to)
	if len(counters) == 0 || missing > 0 {
		return false
	}
	for _, a := range arrivals {
		for _, c := range counters {
			c.add(a)
		}
	}
	for _, c := range counters {
		if c.samples() < c.needed() || !c.holds() {
			return false
		}
	}
	return true
}

// arrival is a request of one of several flows.
type arrival struct {
	traffic.Sample
	of string
}

// gather makes a counter for each figure, and lists the requests of their flows,
// each flow's by intended start.
func gather(gates []experiment.Gate, rec *traffic.Recorder, from, to time.Time) (counters []*counter, all []arrival, missing uint64) {
	seen := map[string]bool{}
	for _, g := range gates {
		for _, f := range figuresOf(g) {
			counters = append(counters, &counter{figure: f})
		}
		if seen[g.Of] {
			continue
		}
		seen[g.Of] = true
		samples, lost := rec.Samples(g.Of, from, to)
		missing += lost
		for _, s := range samples {
			all = append(all, arrival{s, g.Of})
		}
	}
	return counters, all, missing
}

// counter follows one figure while requests are added one by one. A quantile
// need not be known to be compared with a bound: it is at most the bound if
// enough samples are.
type counter struct {
	figure
	requests, successes uint64
	timed, errors       tally // see traffic: errors count only where they raise
}

// tally counts latencies, and those of them on the lower side of the bound.
type tally struct{ n, below uint64 }

func (t *tally) add(below bool) {
	t.n++
	if below {
		t.below++
	}
}

// within tells whether quantile q is on the lower side.
func (t tally) within(q float64) bool { return t.n == 0 || t.below >= traffic.Rank(q, t.n) }

func (c *counter) add(a arrival) {
	if a.of != c.of {
		return
	}
	c.requests++
	if a.OK {
		c.successes++
	}
	if c.time == nil {
		return
	}
	below := !a.Pending && c.lower(a.Latency)
	if a.OK || a.Unanswered || a.Pending {
		c.timed.add(below)
	} else {
		c.errors.add(below)
	}
}

// upper tells whether the rule wants the figure to be on the upper side of the
// bound, as "> 5s" does.
func (c *counter) upper() bool { return c.time.Op == ">" || c.time.Op == ">=" }

func (c *counter) lower(d time.Duration) bool { return c.time.Holds(d) != c.upper() }

func (c *counter) samples() uint64 {
	if c.share != nil {
		return c.requests
	}
	return c.timed.n
}

func (c *counter) needed() uint64 {
	if c.share != nil {
		return 1
	}
	return traffic.Needed(c.q)
}

func (c *counter) holds() bool {
	if c.samples() == 0 {
		return false
	}
	if c.share != nil {
		return shareHolds(*c.share, c.successes, c.requests)
	}
	all := tally{c.timed.n + c.errors.n, c.timed.below + c.errors.below}
	return (c.timed.within(c.q) && all.within(c.q)) != c.upper()
}

func holdAll(counters []*counter) bool {
	for _, c := range counters {
		if !c.holds() {
			return false
		}
	}
	return true
}
