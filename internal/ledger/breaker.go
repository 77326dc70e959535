package ledger

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// goesOnFailing is after how many failures in a row a caller that goes on calling has
// no breaker.
const goesOnFailing = 20

// breaker finds out whether the caller of an edge has a circuit breaker, and how it is
// set. Where all calls together show none, each route is looked at by itself.
func (v *View) breaker(edge int32, checks *checkStream, b *experiment.EdgeBehaviour) {
	if v.Edges[edge].From == experiment.Users {
		b.Breaker.Why = "its caller is the users"
		return
	}
	own := func(route int32) bool { return checks == nil || route != checks.route }
	w := v.watch(edge, own)
	w.find()
	b.Breaker = w.read(checks)
	if b.Breaker.Seen || len(w.efforts) == 0 {
		return
	}
	for _, route := range w.routes() {
		one := v.watch(edge, func(r int32) bool { return r == route })
		if one.find(); len(one.pauses) == 0 {
			continue
		}
		if r := one.read(checks); r.Seen {
			r.Why = fmt.Sprintf("of %s alone: %s", v.routeName(route), r.Why)
			b.Breaker = r
			return
		}
	}
}

// routes are those that a breaker of their own might be seen on: a few, each called often
// enough; none where there is only one.
func (w *watch) routes() []int32 {
	counts := map[int32]int{}
	for _, e := range w.efforts {
		counts[w.askers.route[w.v.Entries[e.tries[0]].Route]]++
	}
	var all []int32
	for r, n := range counts {
		if n >= goesOnFailing {
			all = append(all, r)
		}
	}
	if len(counts) < 2 || len(all) > 8 {
		return nil
	}
	slices.Sort(all)
	return all
}

// read says what was seen.
func (w *watch) read(checks *checkStream) experiment.Breaker {
	var b experiment.Breaker
	if len(w.efforts) == 0 {
		b.Why = "no call was seen"
		return b
	}
	if len(w.pauses) == 0 {
		w.readNone(&b)
		return b
	}
	if w.followChecks(checks) {
		b.Why = fmt.Sprintf("calls stop and go on with the answers of %s: a health check decides, not a breaker", w.v.routeName(checks.route))
		return b
	}
	doubt := w.doubt(&w.pauses[0])
	unit := w.countUnits()
	w.narrow()
	n := w.opensAfter(false)
	b.Known, b.Seen, b.Samples = true, true, len(w.pauses)
	b.Confidence = 1 - 0.2/float64(len(w.pauses))
	w.halfOpen(&b, n)
	if b.HalfOpen.Known && b.Probes == 0 {
		n = w.opensAfter(true)
	}
	b.OpensAfter, b.Unit, b.ShareBefore = n.value, unit, w.shareBefore(&w.pauses[0])
	if doubt { // calls and attempts cannot be told apart
		n, b.OpensAfter, b.OpensBetween = opens{}, 0, nil
		if b.Probes > 1 {
			b.HalfOpen, b.Probes = experiment.Finding{Samples: b.HalfOpen.Samples, Why: "it is not sure which attempts make a call, so its probes cannot be counted"}, 0
		}
	}
	if n.value == 0 && n.most > 0 {
		b.OpensBetween = []int{n.least, n.most}
	}
	pausesFor, bound, _ := w.openFor(func(*pause) bool { return true })
	b.OpenFor = fault.Duration(roundedTo(pausesFor))
	w.closed(&b)
	w.spans(&b)
	b.Evidence = w.evidence()

	opened := fmt.Sprintf("it opened %s", times(len(w.pauses)))
	switch {
	case doubt:
		opened += " (after how many failed calls is not known: it is not sure which attempts make a call)"
	case n.value > 0:
		opened += fmt.Sprintf(", after %d failed %s in a row", n.value, unit)
	case n.refuted > 0:
		opened += fmt.Sprintf(", not by failures in a row (it let %d pass): %.0f%% of those in the %s before had failed", n.refuted, 100*b.ShareBefore, windowBefore)
	default:
		opened += fmt.Sprintf(", after %d to %d failed %s in a row", n.least, n.most, unit)
	}
	if pausesFor > 0 {
		opened += fmt.Sprintf(", and stayed open for %s (±%s)", roundedTo(pausesFor), roundedTo(max(bound, time.Millisecond)))
	}
	b.Why = opened
	return b
}

// readNone is for a caller that went on calling.
func (w *watch) readNone(b *experiment.Breaker) {
	longest, run := []int32{}, []int32{}
	for _, k := range w.ends {
		if w.efforts[k].failed {
			if run = append(run, k); len(run) > len(longest) {
				longest = run
			}
			continue
		}
		run = nil
	}
	b.Samples = len(longest)
	switch {
	case len(longest) >= goesOnFailing:
		b.Known, b.Confidence = true, 1-2/float64(len(longest))
		b.Why = fmt.Sprintf("%d calls in a row failed, and it went on calling", len(longest))
		for _, k := range longest[:min(len(longest), experiment.MaxEvidence)] {
			b.Evidence = append(b.Evidence, w.v.Entries[w.efforts[k].tries[0]].No)
		}
	case len(longest) == 0:
		b.Why = "no call failed, so there was no reason to open"
	case w.askers.steady < fewestSteady:
		b.Why = "who makes this caller call was not seen in the steady stage, so it cannot be told when it should have called"
	default:
		b.Why = fmt.Sprintf("at most %d calls in a row failed; a breaker that does not open by then may open later (%d tell)", len(longest), goesOnFailing)
	}
}

// followChecks tells whether calls stopped after a failed health check, and went on after
// a good one.
func (w *watch) followChecks(c *checkStream) bool {
	if c == nil || c.bad == 0 {
		return false
	}
	follow := 0
	for i := range w.pauses {
		p := &w.pauses[i]
		if c.lastBy(w.v, p.first) == checkBad && (p.next == len(w.efforts) && c.lastBy(w.v, p.last) == checkBad || p.next < len(w.efforts) && c.lastBy(w.v, p.to) == checkGood) {
			follow++
		}
	}
	return follow*5 >= len(w.pauses)*4
}

// windowBefore is the stretch that ShareBefore is of.
const windowBefore = 10 * time.Second

// shareBefore is the share of failures among what ended in the window before an opening.
func (w *watch) shareBefore(p *pause) float64 {
	trip := p.trip(w)
	failed, all := 0, 0
	for k := w.endsBy(trip) - 1; k >= 0 && w.efforts[w.ends[k]].end > trip-windowBefore; k-- {
		all++
		if w.efforts[w.ends[k]].failed {
			failed++
		}
	}
	return float64(failed) / float64(max(all, 1))
}

// openFor is how long it stays open: each pause that was seen to end allows a range, from
// the last ask that was turned away to the first call that was let through; the figure is
// in the middle of what most of them allow, and bound is half of that width. Where they
// do not agree it is their median. Pauses count that which says yes to.
func (w *watch) openFor(which func(*pause) bool) (d, bound time.Duration, agree int) {
	type edge struct {
		at time.Duration
		by int
	}
	var edges []edge
	var middles []time.Duration
	for i := range w.pauses {
		p := &w.pauses[i]
		if p.next == len(w.efforts) || !which(p) {
			continue
		}
		from, to := p.lasted(p.trip(w))
		edges = append(edges, edge{from, 1}, edge{to, -1})
		middles = append(middles, (from+to)/2)
	}
	if len(middles) == 0 {
		return 0, 0, 0
	}
	slices.SortFunc(edges, func(x, y edge) int { return cmp.Or(cmp.Compare(x.at, y.at), y.by-x.by) })
	depth := 0
	for i, e := range edges {
		if depth += e.by; depth > agree {
			agree, d, bound = depth, (e.at+edges[i+1].at)/2, (edges[i+1].at-e.at)/2
		}
	}
	if agree*5 >= len(middles)*3 {
		return d, bound, agree
	}
	slices.Sort(middles)
	return nth(middles, 0.5), (nth(middles, 0.75) - nth(middles, 0.25)) / 2, 0
}

// lasted is how long a pause was, at least and at most, if it began at trip.
func (p *pause) lasted(trip time.Duration) (from, to time.Duration) {
	to = p.to - trip
	return min(max(0, p.last-trip), to), to
}

// narrow drops failures that cannot have opened it because the pause from there is not as
// long as others are, whose beginning is certain.
func (w *watch) narrow() {
	const margin = 3 * time.Millisecond
	d, bound, agree := w.openFor(func(p *pause) bool { return len(p.causes) == 1 })
	if agree < 2 {
		return
	}
	for i := range w.pauses {
		p := &w.pauses[i]
		if len(p.causes) == 1 || p.next == len(w.efforts) {
			continue
		}
		var kept []cause
		for _, c := range p.causes {
			if from, to := p.lasted(w.efforts[w.ends[c.end]].end); from <= d+bound+margin && to >= d-bound-margin {
				kept = append(kept, c)
			}
		}
		if len(kept) > 0 {
			p.causes, p.chosen = kept, (len(kept)-1)/2
		}
	}
}

// evidence are the failures that it opened after first, and what was let through next.
func (w *watch) evidence() []uint64 {
	var nos []uint64
	p := &w.pauses[0]
	c := p.cause()
	for k := max(0, c.end-min(c.count, 6)+1); k <= c.end; k++ {
		nos = append(nos, w.v.Entries[w.efforts[w.ends[k]].tries[0]].No)
	}
	for i := range w.pauses {
		if next := w.pauses[i].next; next < len(w.efforts) && len(nos) < experiment.MaxEvidence {
			nos = append(nos, w.v.Entries[w.efforts[next].tries[0]].No)
		}
	}
	return nos
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// roundedTo is a duration in three figures or so.
func roundedTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Duration(math.Pow(10, math.Floor(math.Log10(float64(d)))-2)))
}
