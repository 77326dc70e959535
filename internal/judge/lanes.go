package judge

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

const (
	// laneCalls is how many calls a lane shows of one step at most.
	laneCalls = 8
	// laneAlike is how many of them may have ended in the same way.
	laneAlike = 3
	// laneTries is how many attempts of one call are shown at most.
	laneTries = 40
)

// lanes picks, of every edge on which a request failed or was hurt, the calls that show
// best what its caller does. Their attempts are drawn to scale.
func lanes(v *ledger.View) []experiment.Lane {
	byEdge := make([]picker, len(v.Edges))
	for i := range v.Calls {
		c := &v.Calls[i]
		if len(c.Attempts) == 0 || v.Entries[c.Attempts[0]].Route < 0 {
			continue // connections have no attempts
		}
		byEdge[c.Edge].add(v, int32(i))
	}
	shown := evidence(v)
	var all []experiment.Lane
	for i := range byEdge {
		p := &byEdge[i]
		if !p.failed {
			continue
		}
		all = append(all, p.lane(v, int32(i), shown))
	}
	return all
}

// evidence ranks the numbers of the exchanges that are named by what was found: those
// of weaknesses first, then of broken expectations, then of inferences.
func evidence(v *ledger.View) map[uint64]int {
	rank := map[uint64]int{}
	add := func(r int, numbers []uint64) {
		for _, n := range numbers[:min(3, len(numbers))] {
			rank[n] = max(rank[n], r)
		}
	}
	for _, w := range v.Run.Weaknesses {
		add(3, w.Evidence)
	}
	for _, x := range v.Run.Expectations {
		if x.Result == experiment.Broken {
			add(2, x.Evidence)
		}
	}
	for _, b := range v.Run.Behaviour {
		for _, f := range []experiment.Finding{b.Tries.Finding, b.Spacing.Finding, b.Timeout.Finding, b.RetryAfter.Finding, b.Breaker.Finding, b.Breaker.HalfOpen, b.Breaker.Closed, b.Fallback.Finding} {
			add(1, f.Evidence)
		}
	}
	return rank
}

// picker holds the calls of one edge, by the window that they began in.
type picker struct {
	windows []windowCalls
	failed  bool
	of      uint64
}

type windowCalls struct {
	span  *ledger.Span
	calls []int32
}

func (p *picker) add(v *ledger.View, call int32) {
	c := &v.Calls[call]
	p.of++
	for _, a := range c.Attempts {
		p.failed = p.failed || v.Entries[a].Failed() || v.Entries[a].Hurt
	}
	s := v.SpanAt(v.Entries[c.Attempts[0]].Start)
	if s == nil {
		return
	}
	if n := len(p.windows); n == 0 || p.windows[n-1].span != s {
		p.windows = append(p.windows, windowCalls{span: s})
	}
	w := &p.windows[len(p.windows)-1]
	w.calls = append(w.calls, call)
}

func (p *picker) lane(v *ledger.View, edge int32, shown map[uint64]int) experiment.Lane {
	lane := experiment.Lane{Edge: v.Edges[edge].Name, Of: p.of}
	probes := halfOpen(v.Run, lane.Edge)
	for _, w := range p.windows {
		var chosen []int32
		if w.span.Stage == experiment.StageSteady {
			chosen = steadyCall(v, w.calls)
		} else {
			chosen = choose(v, w.calls, shown, probes)
		}
		for _, c := range chosen {
			lane.Calls = append(lane.Calls, laneCall(v, &v.Calls[c], w.span))
		}
	}
	return lane
}

// steadyCall is one good call of middling length, for comparison.
func steadyCall(v *ledger.View, calls []int32) []int32 {
	var good []int32
	for _, i := range calls {
		if c := &v.Calls[i]; len(c.Attempts) == 1 && !v.Entries[c.Attempts[0]].Failed() {
			good = append(good, i)
		}
	}
	if len(good) == 0 {
		return nil
	}
	slices.SortFunc(good, func(x, y int32) int {
		return cmp.Or(cmp.Compare(took(v, x), took(v, y)), cmp.Compare(x, y))
	})
	return good[len(good)/2 : len(good)/2+1]
}

func took(v *ledger.View, call int32) time.Duration {
	a := v.Calls[call].Attempts
	return v.Entries[a[len(a)-1]].End - v.Entries[a[0]].Start
}

// choose takes, by turns, from the calls that stand for each thing worth seeing, until
// there are enough; in the order of their starts.
func choose(v *ledger.View, calls []int32, shown map[uint64]int, probes []experiment.BreakerSpan) []int32 {
	const kinds = 5
	var of [kinds][]int32
	worth := map[int32]int{}
	for _, i := range calls {
		c := &v.Calls[i]
		failed, hurt, probe, rank := false, false, false, 0
		for _, a := range c.Attempts {
			e := &v.Entries[a]
			failed, hurt = failed || e.Failed(), hurt || e.Hurt
			probe = probe || within(v.Time(e.Start), probes)
			rank = max(rank, shown[e.No])
		}
		last := &v.Entries[c.Attempts[len(c.Attempts)-1]]
		worth[i] = rank
		for kind, yes := range [kinds]bool{rank > 0, failed && last.Failed(), failed && !last.Failed(), probe, hurt && !failed} {
			if yes {
				of[kind] = append(of[kind], i)
			}
		}
	}
	for kind := range of {
		slices.SortStableFunc(of[kind], func(x, y int32) int { // most telling first
			if kind == 0 && worth[x] != worth[y] {
				return cmp.Compare(worth[y], worth[x])
			}
			return cmp.Compare(len(v.Calls[y].Attempts), len(v.Calls[x].Attempts))
		})
	}
	return takeTurns(of[:], func(call int32) string { return course(v, call) })
}

// course is how the attempts of a call ended, in a text: calls with the same course look
// the same.
func course(v *ledger.View, call int32) string {
	var b strings.Builder
	for i, a := range v.Calls[call].Attempts {
		if i == laneTries {
			break
		}
		b.WriteString(v.Entries[a].Outcome() + " ")
	}
	return b.String()
}

// takeTurns takes the first of each list, then the second, without doubles, and no more
// than a few that look the same.
func takeTurns(of [][]int32, look func(int32) string) []int32 {
	var chosen []int32
	taken, like := map[int32]bool{}, map[string]int{}
	for more := true; more && len(chosen) < laneCalls; {
		more = false
		for kind := range of {
			for len(of[kind]) > 0 && (taken[of[kind][0]] || like[look(of[kind][0])] == laneAlike) {
				of[kind] = of[kind][1:]
			}
			if len(of[kind]) == 0 || len(chosen) == laneCalls {
				continue
			}
			more = true
			call := of[kind][0]
			like[look(call)]++
			chosen, taken[call] = append(chosen, call), true
		}
	}
	slices.Sort(chosen)
	return chosen
}

// halfOpen are the stretches in which the breaker of an edge let probes through.
func halfOpen(r *experiment.Run, edge string) []experiment.BreakerSpan {
	var all []experiment.BreakerSpan
	for i := range r.Behaviour {
		if r.Behaviour[i].Edge != edge {
			continue
		}
		for _, s := range r.Behaviour[i].Breaker.Spans {
			if s.State == experiment.BreakerHalfOpen {
				all = append(all, s)
			}
		}
	}
	return all
}

func within(t time.Time, spans []experiment.BreakerSpan) bool {
	i, _ := slices.BinarySearchFunc(spans, t, func(s experiment.BreakerSpan, t time.Time) int { return s.To.Compare(t) })
	return i < len(spans) && !t.Before(spans[i].From)
}

func laneCall(v *ledger.View, c *ledger.Call, s *ledger.Span) experiment.LaneCall {
	out := experiment.LaneCall{By: c.By, Stage: s.Stage, Step: s.Step, More: max(0, len(c.Attempts)-laneTries)}
	for _, a := range c.Attempts[:min(len(c.Attempts), laneTries)] {
		e := &v.Entries[a]
		out.Attempts = append(out.Attempts, experiment.LaneTry{
			No: e.No, Start: v.Time(e.Start), End: v.Time(max(e.End, e.Start)),
			Outcome: e.Outcome(), Failed: e.Failed() || e.Refused(), Hurt: e.Hurt,
		})
	}
	return out
}
