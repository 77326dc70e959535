package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const (
	// fewHangUps is how many hang-ups at the same age make a timeout.
	fewHangUps = 3
	// LongWait is how long a caller must have waited for a callee that does not answer
	// to be one without a timeout, and fewWaits how often.
	LongWait = 5 * time.Second
	fewWaits = 3
)

// hangUp is an attempt that the caller gave up by its own decision.
type hangUp struct {
	e     *Entry
	call  *pursuit
	index int
}

func (h hangUp) took() time.Duration { return h.e.Took() }

// total is the age of the whole call.
func (h hangUp) total() time.Duration { return h.e.End - h.call.tries[0].Start }

// patience is what the caller's waiting shows.
type patience struct {
	own    []hangUp
	route  map[int32]int // own hang-ups
	long   []*Entry      // waits of LongWait and more that the caller did not end
	waited time.Duration // longest that was not ended by the caller itself
}

// timeout infers when the caller hangs up by itself.
func (c *caller) timeout() experiment.Timeout {
	w := c.patience()
	// Where it hangs up on one route, it may still have no limit on another.
	w.long = slices.DeleteFunc(w.long, func(e *Entry) bool { return w.route[e.Route] > 0 })
	if len(w.long) >= fewWaits {
		return c.noTimeout(&w)
	}
	unknown := experiment.Timeout{AtLeast: rounded(w.waited), Finding: experiment.Finding{Samples: len(w.own)}}
	if len(w.own) < fewHangUps {
		unknown.Why = fmt.Sprintf("the caller hung up by itself on %s, and %d are needed; the longest that it was seen to wait is %s", countOf(len(w.own), "exchange"), fewHangUps, unknown.AtLeast)
		return unknown
	}
	var t experiment.Timeout
	group := oneTry(w.own)
	if len(group) > 0 {
		t.PerTry = rounded(median(group, hangUp.took))
	}
	totals := wholeCalls(w.own, t.PerTry.Std())
	if len(totals) > 0 {
		t.Total = rounded(median(totals, hangUp.total))
	}
	if len(group)+len(totals) == 0 {
		unknown.Why = fmt.Sprintf("the caller hung up on %s, at no common age", countOf(len(w.own), "exchange"))
		return unknown
	}
	var shown []*Entry
	for _, h := range append(slices.Clone(group), totals...) {
		shown = append(shown, h.e)
	}
	t.Finding = experiment.Finding{Known: true, Samples: len(w.own), Confidence: c.trust(max(len(group), len(totals)), len(w.own)), Evidence: nos(shown...)}
	switch {
	case len(group) == 0:
		t.Why = fmt.Sprintf("the last attempts of %s were cut short so that the whole call took %s", countOf(len(totals), "call"), t.Total)
	case len(totals) > 0:
		t.Why = fmt.Sprintf("the caller hung up on %d of %d attempts after %s, and on %s so that all attempts together took %s", len(group), len(w.own), t.PerTry, countOf(len(totals), "last one"), t.Total)
	default:
		t.Why = fmt.Sprintf("the caller hung up on %d of %d attempts after %s", len(group), len(w.own), t.PerTry)
	}
	return t
}

// patience collects hang-ups and long waits.
func (c *caller) patience() patience {
	w := patience{route: map[int32]int{}}
	steady := map[int32]bool{} // routes where long waits are usual: nothing fails there
	quick := map[int32]bool{}  // routes that were seen to be answered before anything was hurt
	for i := range c.calls {
		p := &c.calls[i]
		for k, e := range p.tries {
			above := e.GaveUp() && c.fromAbove(p, e)
			if e.GaveUp() && !above {
				if !raced(p, e) {
					w.own = append(w.own, hangUp{e, p, k})
					w.route[e.Route]++
				}
				continue
			}
			waited, span := quiet(e), c.v.SpanAt(e.Start)
			w.waited = max(w.waited, waited)
			before := span == nil && len(c.v.Spans) > 0 && e.Start < c.v.Spans[0].From
			switch hurt := e.Hurt || !before && (span == nil || span.Stage == experiment.StageHurt); {
			case !hurt && waited >= LongWait/2:
				steady[e.Route] = true
			case !hurt:
				quick[e.Route] = quick[e.Route] || !e.Cut
			case waited >= LongWait:
				w.long = append(w.long, e)
			}
		}
	}
	// What no fault was applied to and was answered well may be meant to take its time, as
	// long polling is, unless such answers were seen to come quickly before.
	w.long = slices.DeleteFunc(w.long, func(e *Entry) bool {
		return steady[e.Route] || !e.Hurt && !e.Failed() && !quick[e.Route]
	})
	return w
}

// quiet is how long the callee left the caller without an answer. What a fault was
// applied to counts whole: the callee may have begun to answer, and the caller not
// have heard it.
func quiet(e *Entry) time.Duration {
	if e.Hurt || e.FirstByte == Never {
		return e.Took()
	}
	return min(e.Took(), max(0, e.FirstByte-max(e.Start, e.LastIn)))
}

// raced tells whether an attempt was given up because another one of the same call,
// made at the same time, was answered.
func raced(p *pursuit, e *Entry) bool {
	for _, o := range p.tries {
		if o != e && !o.GaveUp() && o.Start < e.End && o.End > e.Start && o.End <= e.End+together/6 && o.End >= e.End-together {
			return true
		}
	}
	return false
}

// noTimeout says that no end of the caller's patience was seen.
func (c *caller) noTimeout(w *patience) experiment.Timeout {
	n, above, longest := len(w.long), 0, time.Duration(0)
	for _, e := range w.long {
		longest = max(longest, quiet(e))
		if e.GaveUp() {
			above++
		}
	}
	t := experiment.Timeout{None: true, AtLeast: rounded(longest), Finding: experiment.Finding{Known: true, Samples: n, Confidence: c.trust(n, n), Evidence: nos(w.long...),
		Why: fmt.Sprintf("%s waited %s or more for an answer, up to %s, and the caller did not hang up", countOf(n, "exchange"), fault.Duration(LongWait), rounded(longest))}}
	if above > 0 {
		t.Why += fmt.Sprintf(" but for %d times that it was given up itself", above)
	}
	return t
}

// oneTry is the hang-ups that show the time limit of one attempt: most of them are of
// the same age, or most of those on first attempts are, if a limit on the whole call
// makes the later ones shorter.
func oneTry(own []hangUp) []hangUp {
	var first []hangUp
	for _, h := range own {
		if h.index == 0 {
			first = append(first, h)
		}
	}
	if f := cluster(first, hangUp.took); len(f) >= fewHangUps && len(f)*2 >= len(first) {
		all := cluster(own, hangUp.took)
		if median(all, hangUp.took) >= median(f, hangUp.took)*9/10 {
			return all
		}
		return f
	}
	if all := cluster(own, hangUp.took); len(all) >= fewHangUps && len(all)*2 >= len(own) {
		return all
	}
	return nil
}

// wholeCalls is the hang-ups that show a time limit on whole calls: on last attempts,
// sooner than on others, and always at the same age of the call.
func wholeCalls(own []hangUp, perTry time.Duration) []hangUp {
	var short []hangUp
	for _, h := range own {
		last := h.index > 0 && h.index == len(h.call.tries)-1
		if last && (perTry == 0 || h.took() < perTry-max(perTry/10, together/3)) {
			short = append(short, h)
		}
	}
	if c := cluster(short, hangUp.total); len(c) >= fewHangUps && len(c)*3 >= len(short)*2 {
		return c
	}
	return nil
}

// cluster is those of the same age, give or take a little: the most that there are.
func cluster(all []hangUp, age func(hangUp) time.Duration) []hangUp {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b hangUp) int { return int(max(-1, min(1, age(a)-age(b)))) })
	from, to := 0, 0
	for i, j := 0, 0; i < len(all); i++ {
		for j < len(all) && age(all[j]) <= age(all[i])+max(age(all[i])/20, together/3) {
			j++
		}
		if j-i > to-from {
			from, to = i, j
		}
	}
	return all[from:to]
}

func median(all []hangUp, age func(hangUp) time.Duration) time.Duration {
	d := make([]time.Duration, len(all))
	for i, h := range all {
		d[i] = age(h)
	}
	return middle(d)
}
