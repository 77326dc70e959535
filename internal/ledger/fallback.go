package ledger

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// fewestFallbacks is how many failed calls it takes to say whether there is a fallback.
const fewestFallbacks = 5

// sureParent is how sure it must be whom a call was made for.
const sureParent = 0.8

// way is a route of an edge.
type way struct{ edge, route int32 }

// fallbacks looks at what becomes of the asks whose calls on an edge failed.
type fallbacks struct {
	v      *View
	edge   int32
	askers *askers
	// usual ways are those that asks of the steady stage took, with how often, of how many.
	usual map[way]int
	of    int
	// ways are taken after the failure, by how many asks; tries of them.
	ways  map[way]int
	tries map[way][]int32
	// loose are the good calls on the edge of which it is not sure whom they were made for,
	// in the order of their starts.
	loose []int32

	failed, good []int32 // asks
	costs        []time.Duration
}

// fallback finds out whether a caller answers well although this edge fails, and by what.
func (v *View) fallback(edge int32, checks *checkStream, b *experiment.EdgeBehaviour) {
	out := &b.Fallback
	if v.Edges[edge].From == experiment.Users {
		out.Why = "its caller is the users"
		return
	}
	f := &fallbacks{v: v, edge: edge, usual: map[way]int{}, ways: map[way]int{}, tries: map[way][]int32{}}
	f.askers = v.askersOf(edge, func(r int32) bool { return checks == nil || r != checks.route })
	f.learn()
	for i := range v.Entries {
		if e := &v.Entries[i]; e.Edge == edge && e.Flow < 0 && !e.Failed() && (v.Parent[i] < 0 || v.ParentSure[i] < sureParent) {
			f.loose = append(f.loose, int32(i))
		}
	}
	open := openIn(b.Breaker.Spans, v)
	for k := range f.askers.asks {
		f.see(&f.askers.asks[k], open)
	}
	out.Samples, out.Failed, out.Answered = len(f.failed), uint64(len(f.failed)), uint64(len(f.good))
	if len(f.failed) < fewestFallbacks {
		out.Why = fmt.Sprintf("only %s of its caller failed; %d are needed", countOf(len(f.failed), "call"), fewestFallbacks)
		return
	}
	n := float64(len(f.failed))
	out.Known, out.Confidence = true, 1-1/(1+n)
	out.Seen = len(f.good) >= 3 && 5*len(f.good) >= len(f.failed)
	if len(f.costs) > 0 {
		slices.Sort(f.costs)
		out.Cost = fault.Duration(roundedTo(max(0, nth(f.costs, 0.5))))
	}
	out.Why = fmt.Sprintf("%d of %d calls that this edge failed were answered well", out.Answered, out.Failed)
	shown := f.good
	if to, n := f.to(); n > 0 {
		out.To = v.Edges[to.edge].Name + " " + v.routeName(to.route)
		out.SameCallee = f.same(to.edge)
		out.Why += fmt.Sprintf("; after the failure %s was called, %s", out.To, times(n))
		shown = f.tries[to]
	} else if len(shown) == 0 {
		shown = f.failed
	}
	for _, i := range shown[:min(len(shown), experiment.MaxEvidence)] {
		out.Evidence = append(out.Evidence, v.Entries[i].No)
	}
}

// openIn tells when a breaker was open.
func openIn(spans []experiment.BreakerSpan, v *View) func(from, to time.Duration) bool {
	var all [][2]time.Duration
	for _, s := range spans {
		if s.State == experiment.BreakerOpen {
			all = append(all, [2]time.Duration{v.at(s.From), v.at(s.To)})
		}
	}
	return func(from, to time.Duration) bool {
		k, _ := slices.BinarySearchFunc(all, from, func(s [2]time.Duration, t time.Duration) int {
			return int(min(max(s[0]-t, -1), 1))
		})
		return k > 0 && to <= all[k-1][1]
	}
}

// learn notes which ways asks take in the steady stage.
func (f *fallbacks) learn() {
	v := f.v
	for k := range f.askers.asks {
		q := &f.askers.asks[k]
		if s := v.SpanAt(q.start); s == nil || s.Stage != experiment.StageSteady || !v.Good(&v.Entries[q.entry]) {
			continue
		}
		f.of++
		for _, w := range f.waysOf(q.entry, Never) {
			f.usual[w]++
		}
	}
}

// waysOf are the ways that an ask took from an instant on, each once.
func (f *fallbacks) waysOf(i int32, from time.Duration) []way {
	var all []way
	for _, c := range f.v.Children[i] {
		e := &f.v.Entries[c]
		if e.Route < 0 || e.Flow >= 0 || e.Start < from {
			continue
		}
		if w := (way{e.Edge, f.askers.route[e.Route]}); !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	return all
}

// isUsual tells whether a way is taken without need: by one steady ask of ten or more.
func (f *fallbacks) isUsual(w way) bool { return f.usual[w]*10 >= max(f.of, 1) }

// see takes an ask into account if its usual calls on the edge all failed, or were not
// made because a breaker was open.
func (f *fallbacks) see(q *ask, open func(from, to time.Duration) bool) {
	v := f.v
	since, calls := q.start, 0
	for _, c := range v.Children[q.entry] {
		e := &v.Entries[c]
		if e.Edge != f.edge || e.Route < 0 || !f.isUsual(way{e.Edge, f.askers.route[e.Route]}) {
			continue
		}
		if !e.Failed() || v.ParentSure[c] < sureParent {
			return
		}
		calls++
		since = max(since, e.End)
	}
	if calls == 0 && (q.chance < 0.8 || !open(q.lo, min(q.hi, q.end))) {
		return
	}
	if f.mayBeSaved(since, q.end) {
		return
	}
	f.failed = append(f.failed, q.entry)
	if e := &v.Entries[q.entry]; v.Good(e) {
		f.good = append(f.good, q.entry)
		if u := f.askers.usual[f.askers.route[e.Route]]; len(u.took) > 0 {
			f.costs = append(f.costs, e.Took()-u.typical())
		}
	}
	for _, w := range f.waysOf(q.entry, since-5*time.Millisecond) {
		if f.isUsual(w) {
			continue
		}
		f.ways[w]++
		for _, c := range v.Children[q.entry] {
			if e := &v.Entries[c]; e.Edge == w.edge && e.Route >= 0 && f.askers.route[e.Route] == w.route && len(f.tries[w]) < experiment.MaxEvidence {
				f.tries[w] = append(f.tries[w], c)
			}
		}
	}
}

// mayBeSaved tells whether an ask may owe its answer to another call on the edge: a good
// one from after its failures, of which it is not known whom it was made for.
func (f *fallbacks) mayBeSaved(from, to time.Duration) bool {
	k := sort.Search(len(f.loose), func(k int) bool { return f.v.Entries[f.loose[k]].Start >= from-startLag })
	for ; k < len(f.loose) && f.v.Entries[f.loose[k]].Start <= to; k++ {
		if f.v.Entries[f.loose[k]].End <= to+startLag {
			return true
		}
	}
	return false
}

// typical is the median of what steady asks took.
func (u *habit) typical() time.Duration {
	if !u.sorted {
		slices.Sort(u.took)
		u.sorted = true
	}
	return nth(u.took, 0.5)
}

// to is the way that is taken instead, and by how many asks: by three or more, one in
// three of those that failed, and far more often than in the steady stage.
func (f *fallbacks) to() (way, int) {
	var best way
	most := 0
	for w, n := range f.ways {
		often := float64(n) / float64(len(f.failed))
		if n < 3 || often < 0.3 || often < 5*float64(f.usual[w])/float64(max(f.of, 1)) {
			continue
		}
		if n > most || n == most && (w.edge < best.edge || w.edge == best.edge && w.route < best.route) {
			best, most = w, n
		}
	}
	return best, most
}

// same tells whether an edge leads to who is called here: the same service, or one at the
// same address.
func (f *fallbacks) same(edge int32) bool {
	here, there := f.v.Edges[f.edge], f.v.Edges[edge]
	if edge == f.edge || here.To == there.To {
		return true
	}
	upstream := func(name string) string {
		for _, e := range f.v.Run.Edges {
			if e.Name == name {
				return e.Upstream
			}
		}
		return ""
	}
	a, b := upstream(here.Name), upstream(there.Name)
	return a != "" && a == b
}
