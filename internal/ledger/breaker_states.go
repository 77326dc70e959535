package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// burst is what was let through after a pause.
type burst struct {
	from, to int // efforts
	start    time.Duration
	// failing: nothing in it went well before it opened again, after least to most
	// failures, likely count.
	failing            bool
	least, count, most int
	// calls that were made, and wanted, from its start to its first end.
	made, wanted float64
}

// bursts lists them. The last is open-ended if no pause follows.
func (w *watch) bursts() []burst {
	var all []burst
	for i := range w.pauses {
		p := &w.pauses[i]
		if p.next == len(w.efforts) {
			break
		}
		b := burst{from: p.next, to: len(w.efforts), start: w.efforts[p.next].start}
		if i+1 < len(w.pauses) {
			q := &w.pauses[i+1]
			b.to = q.before + 1
			b.failing, b.least, b.count, b.most = q.cause().afresh, q.least(), q.cause().count, q.most()
		}
		end := w.efforts[b.from].end
		for _, e := range w.efforts[b.from:b.to] {
			end = min(end, e.end)
		}
		for _, e := range w.efforts[b.from+1 : b.to] {
			if e.start < end {
				b.made++
			}
		}
		for k := w.askers.from(b.start - w.askers.latest); k < len(w.askers.asks) && w.askers.asks[k].start < end; k++ {
			if a := &w.askers.asks[k]; a.lo > b.start+startLag && a.hi < end {
				b.wanted += a.chance
			}
		}
		all = append(all, b)
	}
	return all
}

// halfOpen tells a breaker that probes from one that closes once its pause is over. By
// count: having closed, it lets as many failures through as the first time before it
// opens again; with probes it opens after fewer. By what is under way: while the first
// call after a pause is not answered, others are let through, or turned away.
func (w *watch) halfOpen(b *experiment.Breaker, n opens) {
	var failing []burst
	var sizes []int
	room := 0.0 // calls that were wanted before the first after a pause had ended
	made := 0.0
	for _, s := range w.bursts() {
		made, room = made+s.made, room+s.wanted
		if s.failing {
			failing = append(failing, s)
			sizes = append(sizes, s.to-s.from)
		}
	}
	f := &b.HalfOpen
	f.Samples = len(failing)
	if len(failing) == 0 {
		f.Why = "it did not open again after a pause, so what its first calls then decide was not seen"
		return
	}
	slices.Sort(sizes)
	probes := max(1, sizes[len(sizes)/2])
	byCount, byRoom := n.probing(failing, probes), 0
	if room >= fewestSilent {
		switch share := made / room; {
		case share >= 0.7:
			byRoom = -1
		case share <= 0.3:
			byRoom = 1
		}
	}
	switch {
	case byCount*byRoom < 0 || byCount == 0 && byRoom == 0:
		f.Why = n.undecided(byCount != 0)
	case byCount+byRoom > 0:
		b.Probes = probes
		f.Known, f.Confidence = true, 1-0.3/float64(1+len(failing))
		f.Why = fmt.Sprintf("after a pause it let %s through, and opened again upon failure (seen %s)", countOf(probes, "call"), times(len(failing)))
	default:
		f.Known, f.Confidence = true, 1-0.4/float64(len(failing))
		f.Why = fmt.Sprintf("after a pause it let all calls through, and %d of them failed before it opened again (seen %s)", failing[len(failing)/2].count, times(len(failing)))
	}
	for _, s := range failing {
		for _, e := range w.efforts[s.from:min(s.to, s.from+4)] {
			if len(f.Evidence) < experiment.MaxEvidence {
				f.Evidence = append(f.Evidence, w.v.Entries[e.tries[0]].No)
			}
		}
	}
}

// probing tells by count: 1 for probes, -1 for a breaker that closes at once, 0 if it
// cannot be told. More than three probes are believed only where the count of the closed
// state was seen twice: it may be a breaker by share, which has no count.
func (n opens) probing(failing []burst, probes int) int {
	fewer, full := 0, 0
	for _, s := range failing {
		switch {
		case n.most == 0:
		case s.most < n.least:
			fewer++
		case s.least <= n.most, s.least >= 4:
			full++ // as many, or more: how it began is less exact than how it went on
		}
	}
	switch {
	case n.refuted > 0 && len(failing) >= 3 && probes == 1:
		return 1
	case fewer > 0 && fewer >= 4*full && (probes <= 3 || n.times > 1) && (n.least >= 3 || fewer >= 3):
		return 1
	case n.least >= 3 && full > 0 && full >= 4*fewer, n.most >= 3 && probes >= 4 && full >= 3 && full >= 4*fewer:
		return -1
	}
	return 0
}

func (n opens) undecided(both bool) string {
	switch {
	case both:
		return "what it let through after its pauses fits neither probes nor a breaker that just closes"
	case n.least > 0 && n.least < 3:
		return fmt.Sprintf("a breaker that opens after %d looks the same with probes and without while calls fail", n.least)
	}
	return "after how many failures it opens is not sure enough to tell probes from full load"
}

// What it takes to say that it never closes: it had so long, or twice its own pause.
const (
	longOpen      = 5300 * time.Millisecond // since it opened: longer than the shortest pause that is usual, 5 s
	longAfterLift = 2 * time.Second
	fewestAfter   = 10 // calls that were wanted meanwhile
)

// closed finds out whether it closed after the lift. Known with no ClosedAfter: never.
func (w *watch) closed(b *experiment.Breaker) {
	f := &b.Closed
	lift := w.v.Lift()
	if lift == Never {
		f.Why = "there was no recovery stage"
		return
	}
	p := &w.pauses[len(w.pauses)-1]
	if p.next == len(w.efforts) {
		w.stillOpen(b, p, lift)
		return
	}
	start := w.efforts[p.next].start
	from := max(start, lift)
	wanted, made, good := w.askers.wanted(from, w.last), 0, Never
	goodSeen := 0
	for _, e := range w.efforts[p.next:] {
		if e.start >= from {
			made++
		}
		if !e.failed && e.start >= start && goodSeen < max(1, b.Probes) {
			good = max(good, e.end)
			goodSeen++
		}
	}
	f.Samples = int(wanted)
	switch {
	case goodSeen == 0:
		f.Why = "what it let through after its last pause did not go well"
	case wanted < fewestSteady:
		f.Why = fmt.Sprintf("the run ended too soon: only %.0f calls were wanted after its last pause", wanted)
	case float64(made) >= 0.7*wanted:
		f.Known, f.Confidence = true, 1-1/(1+wanted)
		since := w.liftBy(good, lift)
		b.ClosedAfter = fault.Duration(roundedTo(max(good-since, time.Millisecond)))
		f.Why = fmt.Sprintf("%s after the lift calls were let through as before: %d of %.0f that were wanted", roundedTo(b.ClosedAfter.Std()), made, wanted)
		if start < lift && since == lift {
			f.Why = "it had closed before the lift"
		}
		f.Evidence = w.firstOf(p.next)
	case float64(made) < 0.5*wanted && wanted >= fewestAfter && w.last-from >= max(longAfterLift, 2*w.longestPause()):
		f.Known, f.Confidence = true, 0.8
		f.Why = fmt.Sprintf("to the end of the run it let only %d of %.0f calls through that were wanted, although those that it tries go well", made, wanted)
		f.Evidence = w.firstOf(p.next)
	default:
		f.Why = fmt.Sprintf("%d of %.0f calls that were wanted were made: neither closed nor open", made, wanted)
	}
}

// stillOpen is for a breaker that was open when the run ended.
func (w *watch) stillOpen(b *experiment.Breaker, p *pause, lift time.Duration) {
	f := &b.Closed
	trip := p.trip(w)
	since := max(trip, lift)
	wanted := 0
	elsewhere := 0
	for _, i := range p.asks {
		if w.v.Entries[i].Start < since {
			continue
		}
		wanted++
		if w.servedElsewhere(i) {
			elsewhere++
		}
		if len(f.Evidence) < 6 {
			f.Evidence = append(f.Evidence, w.v.Entries[i].No)
		}
	}
	f.Samples = wanted
	enough := w.last-trip >= longOpen && w.last-since >= longAfterLift
	if usual := w.longestPause(); usual > 0 {
		enough = w.last-since >= 2*usual
	}
	open, after := roundedTo(w.last-trip), roundedTo(w.last-since)
	switch {
	case trip > lift:
		f.Why = fmt.Sprintf("calls failed after the lift, too: it opened %s after it, and was open when the run ended", roundedTo(trip-lift))
	case wanted < fewestAfter:
		f.Why = fmt.Sprintf("it was open when the run ended; only %d calls were wanted after the lift", wanted)
	case elsewhere*2 > wanted:
		f.Why = "the calls go to another callee since: it may have been replaced for good"
	case !enough:
		f.Why = fmt.Sprintf("it was open when the run ended, %s after the lift, which is too soon to say that it never closes", after)
	default:
		f.Known, f.Confidence = true, 1-0.15*min(1, float64(longOpen)/float64(w.last-trip))
		f.Why = fmt.Sprintf("in the %s after the lift its caller was asked %d times for what needs this call, and did not make it once; it had been open for %s when the run ended", after, wanted, open)
	}
}

// servedElsewhere tells whether an ask led to the same route of another callee.
func (w *watch) servedElsewhere(i int32) bool {
	for _, c := range w.v.Children[i] {
		e := &w.v.Entries[c]
		if e.Edge == w.edge || e.Route < 0 {
			continue
		}
		shape := w.askers.route[e.Route]
		for _, own := range w.efforts[:min(len(w.efforts), 50)] {
			if w.askers.route[w.v.Entries[own.tries[0]].Route] == shape {
				return true
			}
		}
	}
	return false
}

// longestPause that was seen to end; where they grow, the next one. 0 without any.
func (w *watch) longestPause() time.Duration {
	var first, last, longest time.Duration
	n := 0
	for i := range w.pauses {
		p := &w.pauses[i]
		if p.next == len(w.efforts) {
			continue
		}
		d := p.to - p.trip(w)
		if n == 0 {
			first = d
		}
		last, longest, n = d, max(longest, d), n+1
	}
	if n > 1 && last > first*3/2 {
		return longest * 2
	}
	return longest
}

// liftBy is the end of the last step before t that failed calls of this edge, or else the
// lift of all.
func (w *watch) liftBy(t, lift time.Duration) time.Duration {
	for i := len(w.v.Spans) - 1; i >= 0; i-- {
		s := &w.v.Spans[i]
		if s.Stage != experiment.StageHurt || s.To > t {
			continue
		}
		for k := w.endsBy(s.To) - 1; k >= 0 && w.efforts[w.ends[k]].end >= s.From; k-- {
			if w.efforts[w.ends[k]].failed {
				if next := w.endOf(i); next <= t {
					return next
				}
				return s.To
			}
		}
	}
	return lift
}

// endOf is when what was hurt in a span was put back: the start of the next one.
func (w *watch) endOf(i int) time.Duration {
	if i+1 < len(w.v.Spans) {
		return w.v.Spans[i+1].From
	}
	return w.v.Spans[i].To
}

func (w *watch) firstOf(from int) []uint64 {
	var nos []uint64
	for _, e := range w.efforts[from:min(len(w.efforts), from+4)] {
		nos = append(nos, w.v.Entries[e.tries[0]].No)
	}
	return nos
}

// spans draws its states over the run.
func (w *watch) spans(b *experiment.Breaker) {
	add := func(s experiment.BreakerState, from, to time.Duration) {
		if to > from {
			b.Spans = append(b.Spans, experiment.BreakerSpan{State: s, From: w.v.Time(from), To: w.v.Time(to)})
		}
	}
	at := w.efforts[0].start
	state := experiment.BreakerClosed
	for i := range w.pauses {
		p := &w.pauses[i]
		trip := min(max(p.trip(w), at), p.to)
		if state == experiment.BreakerHalfOpen && !p.cause().afresh {
			// It closed in between, upon the first success.
			good := trip
			for _, e := range w.efforts[w.pauses[i-1].next : p.before+1] {
				if !e.failed {
					good = min(good, e.end)
				}
			}
			good = max(good, at)
			add(state, at, good)
			at, state = good, experiment.BreakerClosed
		}
		add(state, at, trip)
		add(experiment.BreakerOpen, trip, p.to)
		at, state = p.to, experiment.BreakerClosed
		if b.Probes > 0 {
			state = experiment.BreakerHalfOpen
		}
	}
	if p := &w.pauses[len(w.pauses)-1]; p.next < len(w.efforts) {
		if state == experiment.BreakerHalfOpen {
			good := w.last
			for _, e := range w.efforts[p.next:] {
				if !e.failed {
					good = min(good, e.end)
				}
			}
			add(state, at, good)
			at = max(at, good)
		}
		add(experiment.BreakerClosed, at, w.last)
	}
}
