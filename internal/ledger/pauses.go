package ledger

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// What it takes to say that a caller does not call although it is asked to. A run of
// unanswered demand counts by how unlikely it is for a caller that goes on as before:
// the sum of -ln(1-p) over the asks, p being the chance learned in the steady stage.
const (
	fewestSilent = 5    // asks in a row that led to no call, for the first pause
	unlikely     = 12.0 // the sum, for the first pause
	weakSilent   = 2    // the same for further pauses, once there is one
	weakUnlikely = 5.0
	startLag     = 2 * time.Millisecond // from a caller's decision to the start that a relay notes
)

// pause is a stretch in which a caller did not call although it was asked to.
type pause struct {
	// before is the last effort that began before it, next the first after it; as many
	// as there are efforts if none came.
	before, next int
	// from is the first end of an effort after the last start: from then on there was room.
	from time.Duration
	// silent asks led to no call: the first of them must have been turned away by first,
	// the last not before last.
	silent      int
	unlikely    float64
	first, last time.Duration
	asks        []int32
	others      int           // asks in the middle of it that led to a call later
	to          time.Duration // of the next effort's start, or the end of what is known

	// causes are the failures that may have opened it, in the order of their ends; chosen
	// is the one that it is taken to be.
	causes []cause
	chosen int
}

// cause is a failure that may have opened a breaker.
type cause struct {
	end   int // in watch.ends
	count int // failures in a row up to it
	// afresh: nothing had gone well since the pause before.
	afresh bool
}

func (p *pause) cause() cause { return p.causes[p.chosen] }

// trip is when it opened: the end of the failure that did it.
func (p *pause) trip(w *watch) time.Duration { return w.efforts[w.ends[p.cause().end]].end }

// least and most failures in a row that it may have opened after.
func (p *pause) least() int {
	n := p.causes[0].count
	for _, c := range p.causes {
		n = min(n, c.count)
	}
	return n
}

func (p *pause) most() int {
	n := 0
	for _, c := range p.causes {
		n = max(n, c.count)
	}
	return n
}

// choose takes the cause that came after so many failures, if there is one.
func (p *pause) choose(count int) {
	for i, c := range p.causes {
		if c.count == count {
			p.chosen = i
		}
	}
}

// watch looks for a breaker on one edge.
type watch struct {
	v       *View
	edge    int32
	askers  *askers
	efforts []effort
	ends    []int32 // efforts in the order of their ends
	pauses  []pause
	last    time.Duration // end of the last ask that is known
	steady  time.Duration // end of the steady stage
	unseen  [][2]time.Duration
	// exact: it is certain whom nearly every call was made for.
	exact bool
}

// watch prepares; own tells which routes count.
func (v *View) watch(edge int32, own func(route int32) bool) *watch {
	w := &watch{v: v, edge: edge, askers: v.askersOf(edge, own), unseen: v.unseen(edge), last: Never, steady: Never}
	w.efforts = v.efforts(edge, func(i int32) bool {
		return v.Entries[i].Route >= 0 && own(w.askers.route[v.Entries[i].Route])
	})
	w.order()
	certain := 0
	for _, e := range w.efforts {
		if v.Parent[e.tries[0]] >= 0 && v.ParentSure[e.tries[0]] > 0.99 {
			certain++
		}
	}
	w.exact = certain*20 >= len(w.efforts)*19
	for _, a := range w.askers.asks {
		w.last = max(w.last, a.end)
	}
	for _, s := range v.Spans {
		if s.Stage == experiment.StageSteady {
			w.steady = max(w.steady, s.To)
		}
	}
	return w
}

// order makes ends.
func (w *watch) order() {
	w.ends = make([]int32, len(w.efforts))
	for i := range w.ends {
		w.ends[i] = int32(i)
	}
	slices.SortStableFunc(w.ends, func(x, y int32) int {
		return int(min(max(w.efforts[x].end-w.efforts[y].end, -1), 1))
	})
}

// endsBy is how many efforts had ended by t.
func (w *watch) endsBy(t time.Duration) int {
	return sort.Search(len(w.ends), func(k int) bool { return w.efforts[w.ends[k]].end > t })
}

// find looks for pauses.
func (w *watch) find() {
	var all []pause
	natural := 0 // as long a run of such asks as the steady stage had
	for i := range w.efforts {
		p, ok := w.between(i)
		if !ok {
			continue
		}
		if p.to <= w.steady {
			natural = max(natural, p.silent)
			continue
		}
		all = append(all, p)
	}
	shortest := time.Duration(math.MaxInt64)
	for i := range all {
		p := &all[i]
		if p.silent >= max(fewestSilent, 2*natural+1) && p.unlikely >= unlikely && !w.madeRoom(p) && w.blame(p, nil) {
			shortest = min(shortest, p.to-p.from)
		}
	}
	for i := range all {
		p := all[i]
		if p.silent < weakSilent || p.silent <= natural || p.unlikely < weakUnlikely || p.to-p.from < shortest/2 || w.madeRoom(&p) {
			continue
		}
		var before *pause
		if len(w.pauses) > 0 {
			before = &w.pauses[len(w.pauses)-1]
		}
		if w.blame(&p, before) {
			w.pauses = append(w.pauses, p)
		}
	}
}

// between looks at the stretch from one start to the next. Asks count only from when an
// effort had ended: before that, a caller that bounds what is under way may have had no
// room. They must have been answered without a call.
func (w *watch) between(i int) (pause, bool) {
	p := pause{before: i, next: i + 1, to: w.last}
	if p.next < len(w.efforts) {
		p.to = w.efforts[p.next].start
	}
	k := w.endsBy(w.efforts[i].start)
	if k == len(w.ends) {
		return p, false
	}
	p.from = w.efforts[w.ends[k]].end
	if p.from >= p.to {
		return p, false
	}
	a := w.askers
	for k := a.from(p.from - a.latest); k < len(a.asks) && a.asks[k].start < p.to; k++ {
		q := &a.asks[k]
		switch {
		case q.lo <= p.from:
		case w.silent(q, &p):
			if p.silent == 0 {
				p.first = q.hi
			}
			p.silent++
			p.unlikely -= math.Log(1 - q.chance)
			p.last = max(p.last, q.mid)
			p.asks = append(p.asks, q.entry)
		case q.hi < p.to:
			p.others++
		}
	}
	return p, p.silent > 0 && p.silent >= p.others && 5*float64(p.silent) >= 2*w.arrive(p.from, p.to)
}

// arrive is how many asks usually begin in such a stretch, by those of the seconds around it:
// a machine that stands still for a while looks like a caller that does not call.
func (w *watch) arrive(from, to time.Duration) float64 {
	a := w.askers
	n := a.from(to+time.Second) - a.from(from-time.Second)
	around := min(to+time.Second, w.last) - max(from-time.Second, a.asks[0].start)
	return float64(n) * float64(to-from) / float64(max(around, 1))
}

// madeRoom tells whether a stretch looks like that of a caller who bounds what is under way,
// rather than of one who stopped: calls are under way, and each of the next ones begins as
// soon as another has ended. (That ends are noted late makes it look as if there had been
// room before.)
func (w *watch) madeRoom(p *pause) bool {
	const soon = 10 * time.Millisecond
	begun := sort.Search(len(w.efforts), func(k int) bool { return w.efforts[k].start > p.last })
	if begun <= w.endsBy(p.last) || p.next == len(w.efforts) {
		return false
	}
	for _, e := range w.efforts[p.next:min(p.next+3, len(w.efforts))] {
		k := w.endsBy(e.start + startLag)
		if k == 0 || w.efforts[w.ends[k-1]].end < e.start-soon {
			return false
		}
	}
	return true
}

// silent tells whether an ask in a stretch without a start was answered without a call: it
// was answered before the next start, or it is certain that none was made for it later.
func (w *watch) silent(q *ask, p *pause) bool {
	for _, u := range w.unseen {
		if q.hi >= u[0] && q.lo < u[1] && p.to >= u[1] {
			return false
		}
	}
	if q.end < p.to {
		return true
	}
	if !w.exact || q.hi+5*time.Millisecond > p.to {
		return false
	}
	for _, c := range w.v.Children[q.entry] {
		if w.v.Entries[c].Edge == w.edge {
			return false
		}
	}
	return true
}

// blame finds the failures that may have opened it: those that ended after the last call
// that was let through had begun, and before the first that was not. Without any it is none.
func (w *watch) blame(p *pause, before *pause) bool {
	since := 0
	if before != nil {
		since = before.next
	}
	to, began := w.endsBy(p.first+startLag), w.decided(p.before)
	from := w.endsBy(began)
	for from > 0 && w.efforts[w.ends[from-1]].end > began-startLag {
		from--
	}
	if from == to && from > 0 {
		from--
	}
	p.causes = nil
	count, clean := w.failuresBefore(from, since, before != nil)
	for k := from; k < to; k++ {
		switch e := &w.efforts[w.ends[k]]; {
		case int(w.ends[k]) < since: // it began before the pause before
		case !e.failed:
			count, clean = 0, false
		default:
			count++
			p.causes = append(p.causes, cause{k, count, clean})
		}
	}
	p.chosen = (len(p.causes) - 1) / 2
	return len(p.causes) > 0
}

// decided is when the caller let an effort through at the earliest: when it began, or, if
// several began at the same moment although they were not asked for then, when the first of
// them did. A machine that stood still lets them all through before it sees one end.
func (w *watch) decided(i int) time.Duration {
	const several, moment = 4, 3 * time.Millisecond
	a := w.askers.asks
	if len(a) < 2 {
		return w.efforts[i].start
	}
	gap := min(moment, (a[len(a)-1].start-a[0].start)/time.Duration(4*len(a)))
	first := i
	for first > 0 && w.efforts[first].start-w.efforts[first-1].start <= gap {
		first--
	}
	if i-first+1 < several {
		return w.efforts[i].start
	}
	return w.efforts[first].start
}

// failuresBefore counts the failures in a row before the end k, of efforts from since on;
// clean, if no success came in between.
func (w *watch) failuresBefore(k, since int, clean bool) (int, bool) {
	count := 0
	for k--; k >= 0; k-- {
		e := &w.efforts[w.ends[k]]
		switch {
		case int(w.ends[k]) >= since && !e.failed:
			return count, false
		case int(w.ends[k]) >= since:
			count++
		case e.end < w.efforts[since].start:
			return count, clean
		}
	}
	return count, clean
}

// doubt tells whether it is not sure which attempts make a call, for many of those that
// failed before a pause: what is counted then may be either.
func (w *watch) doubt(p *pause) bool {
	c := p.cause()
	unsure := 0
	for k := max(0, c.end-c.count+1); k <= c.end; k++ {
		if w.efforts[w.ends[k]].unsure {
			unsure++
		}
	}
	return unsure*4 > c.count
}
