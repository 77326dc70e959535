package judge

import (
	"fmt"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

const (
	// goodAgain is the share of the steady goodput that counts as back, and clearlyDown
	// that below which it is still down at the end.
	goodAgain, clearlyDown = 0.95, 0.8
	// hardlyAny is the share of good answers of a flow that is plainly down.
	hardlyAny = 0.2
	// fewAttempts and littleMore say how many attempts per call count as before.
	fewAttempts, littleMore = 1.1, 0.05
	// window is the least width of the sliding windows, and enough what one must hold.
	window = time.Second
	enough = 20
)

// recovery fills in Shape and Parts of the run's recovery.
func recovery(c *classified) {
	rec := c.v.Run.Recovery
	if rec == nil {
		return
	}
	var span *ledger.Span
	for i := range c.v.Spans {
		if c.v.Spans[i].Stage == experiment.StageRecovery {
			span = &c.v.Spans[i]
		}
	}
	if span == nil {
		return
	}
	w := &wayBack{classified: c, rec: rec, span: span, rates: ratesOf(c.v, span)}
	w.gates()
	w.breakers()
	w.attempts()
	w.goodput()
	rec.Parts = w.parts
	var why string
	rec.Shape, why = w.shape()
	if why != "" && rec.Result == experiment.Fail && !strings.HasSuffix(rec.Why, why) {
		rec.Why += "; " + why
	}
}

// wayBack is how a system came back.
type wayBack struct {
	*classified
	rec   *experiment.RecoveryResult
	span  *ledger.Span
	parts []experiment.RecoveryPart
	rates []rate // by edge
}

// back adds a part that came back; from is when, counted as entries are.
func (w *wayBack) back(what, of string, from time.Duration, why string) {
	took := fault.Duration(max(0, from-w.span.From).Round(time.Millisecond))
	result := experiment.Pass
	if took > w.rec.Within {
		result = experiment.Fail
	}
	w.parts = append(w.parts, experiment.RecoveryPart{What: what, Of: of, Took: &took, Result: result, Why: fmt.Sprintf(why, took)})
}

// never adds one that did not, or of which that is not known.
func (w *wayBack) never(what, of string, result experiment.Result, why string) {
	w.parts = append(w.parts, experiment.RecoveryPart{What: what, Of: of, Result: result, Why: why})
}

func (w *wayBack) gates() {
	rec := w.rec
	switch {
	case rec.Took != nil:
		w.back("gates", "", w.span.From+rec.Took.Std(), "all gates held again %s after the lift")
	case rec.Result == experiment.Fail:
		w.never("gates", "", rec.Result, fmt.Sprintf("the gates did not hold again, %s after the lift", w.lasted()))
	case rec.Result == experiment.Unknown: // else no gate is judged in recovery
		w.never("gates", "", rec.Result, rec.Why)
	}
}

func (w *wayBack) breakers() {
	for i := range w.v.Run.Behaviour {
		b := &w.v.Run.Behaviour[i]
		if !b.Breaker.Seen {
			continue
		}
		closed := b.Breaker.ClosedAfter > 0
		if n := len(b.Breaker.Spans); n > 0 {
			closed = b.Breaker.Spans[n-1].State == experiment.BreakerClosed
		}
		switch {
		case !b.Breaker.Closed.Known:
			w.never("breaker", b.Edge, experiment.Unknown, "whether the breaker closed is unknown: "+b.Breaker.Closed.Why)
		case closed:
			w.back("breaker", b.Edge, w.span.From+b.Breaker.ClosedAfter.Std(), "the breaker was closed %s after the lift")
		default:
			w.never("breaker", b.Edge, experiment.Fail, fmt.Sprintf("the breaker was still open at the end, %s after the lift", w.lasted()))
		}
	}
}

func (w *wayBack) lasted() time.Duration {
	return (w.span.To - w.span.From).Round(100 * time.Millisecond)
}

// attempts looks at each edge whose attempts per call rose.
func (w *wayBack) attempts() {
	v := w.v
	steady, after, rose := make([]spread, len(v.Edges)), make([][]event, len(v.Edges)), make([]spread, len(v.Edges))
	for i := range v.Calls {
		c := &v.Calls[i]
		if len(c.Attempts) == 0 || v.Edges[c.Edge].From == experiment.Users {
			continue
		}
		at, n := v.Entries[c.Attempts[0]].Start, float64(len(c.Attempts))
		switch s := v.SpanAt(at); {
		case s == nil:
		case s.Stage == experiment.StageSteady:
			steady[c.Edge].add(n)
		case s == w.span:
			after[c.Edge] = append(after[c.Edge], event{at, n})
		default:
			rose[c.Edge].add(n)
		}
	}
	for e := range v.Edges {
		s := &steady[e]
		if s.n < enough || len(after[e]) == 0 && rose[e].n == 0 {
			continue
		}
		bad := func(n int, sum float64) bool { return sum/float64(n) > s.bound(n) }
		from, state := settle(after[e], w.span, s.n, v, bad, func(x float64) bool { return x > s.mean() })
		if rose[e].n < enough || !bad(rose[e].n, rose[e].sum) {
			if state != stillBad && from == w.span.From {
				continue // they never rose
			}
		}
		name, before := v.Edges[e].Name, s.mean()
		switch state {
		case tooFew:
			w.never("attempts", name, experiment.Unknown, fmt.Sprintf("attempts per call are unknown: %s made %d calls after the lift, too few", v.Edges[e].From, len(after[e])))
		case stillBad:
			last := latest(after[e], w.span)
			w.never("attempts", name, experiment.Fail, fmt.Sprintf("%s still had %.1f attempts per call at the end, %s after the lift, and %.1f before", name, last.mean(), w.lasted(), before))
		default:
			w.back("attempts", name, from, fmt.Sprintf("%s was back at %.1f attempts per call %%s after the lift", name, before))
		}
	}
}

// goodput looks at each flow.
func (w *wayBack) goodput() {
	for _, f := range w.flows {
		flow := -1
		for i, name := range w.v.Flows {
			if name == f.Flow {
				flow = i
			}
		}
		if flow < 0 {
			continue
		}
		var steady spread
		var after []event
		for i := range w.v.Entries {
			e := &w.v.Entries[i]
			if e.Flow != int32(flow) {
				continue
			}
			is := 0.0
			if w.served(int32(i)) {
				is = 1
			}
			switch s := w.v.SpanAt(e.Start); {
			case s == nil:
			case s.Stage == experiment.StageSteady:
				steady.add(is)
			case s == w.span:
				after = append(after, event{e.Start, is})
			}
		}
		if steady.n < learned || steady.mean() == 0 {
			w.never("goodput", f.Flow, experiment.Unknown, fmt.Sprintf("the goodput of %s is unknown: before anything was hurt it had %.0f good answers of %d", f.Flow, steady.sum, steady.n))
			continue
		}
		share := goodAgain * steady.mean()
		bad := func(n int, sum float64) bool { return sum < float64(int(share*float64(n))) }
		from, state := settle(after, w.span, steady.n, w.v, bad, func(x float64) bool { return x == 0 })
		perSecond := steady.sum / w.steadySeconds()
		at, clean := turn(after)
		if state == stillBad && clean {
			from, state = at, isBack
		}
		switch state {
		case tooFew:
			w.never("goodput", f.Flow, experiment.Unknown, fmt.Sprintf("the goodput of %s is unknown: %d requests after the lift are too few", f.Flow, len(after)))
		case stillBad:
			last, result := latest(after, w.span), experiment.Fail
			if last.mean() >= clearlyDown*steady.mean() || at > 0 || w.merelyLate(int32(flow), after, share) {
				result = experiment.Unknown // neither back nor down, or back so late that it may not last
			}
			w.never("goodput", f.Flow, result, fmt.Sprintf("%s still had %.0f%% good answers at the end, %s after the lift, and %.0f%% before", f.Flow, 100*last.mean(), w.lasted(), 100*steady.mean()))
		default:
			w.back("goodput", f.Flow, from, fmt.Sprintf("%s had its %.1f good answers per second again %%s after the lift", f.Flow, perSecond))
		}
	}
}

// merelyLate tells whether a flow was back, and then had late answers at the very end, but no
// error: the machine may have stood still for a moment.
func (w *wayBack) merelyLate(flow int32, after []event, share float64) bool {
	end := latestFrom(w.span)
	for i := range w.v.Entries {
		if e := &w.v.Entries[i]; e.Flow == flow && e.Start >= end && e.Start < w.span.To && !e.OK {
			return false
		}
	}
	var before spread
	for _, e := range after {
		if e.at < end {
			before.add(e.x)
		}
	}
	return before.n >= enough && before.mean() >= share
}

func (w *wayBack) steadySeconds() float64 {
	for _, s := range w.v.Spans {
		if s.Stage == experiment.StageSteady {
			return max(0.001, (s.To - s.From).Seconds())
		}
	}
	return 1
}

// shape names how it came back, with one sentence where it did not in time.
func (w *wayBack) shape() (experiment.RecoveryShape, string) {
	var last, users fault.Duration
	known, broken, served, flows := 0, 0, 0, 0
	never := map[string]string{}
	for _, p := range w.parts {
		if p.What == "goodput" {
			flows++
		}
		switch {
		case p.Took != nil:
			known++
			last = max(last, *p.Took)
			if p.What == "goodput" {
				served++
				users = max(users, *p.Took)
			}
		case p.Result == experiment.Fail:
			broken++
			never[p.What] = p.Why
		}
	}
	down := never["goodput"] != "" || never["gates"] != "" && flows == 0
	storm := w.storm(never["attempts"])
	switch {
	case never["breaker"] != "" && (storm == "" || !down):
		return experiment.RecoveryBreakerOpen, never["breaker"]
	case down && storm != "":
		return experiment.RecoveryRetryStorm, "the trigger is gone, and the failure keeps itself up (metastable): " + storm
	case down:
		return experiment.RecoveryBroken, "nothing is hurt any more, and it stays broken by itself"
	case served < flows:
		return experiment.RecoveryUnknown, ""
	case never["gates"] != "" && (users > w.rec.Within || w.span.To-w.span.From-users.Std() < w.rec.Hold.Std()):
		return experiment.RecoveryLate, fmt.Sprintf("users had their answers again %s after the lift", users)
	case never["gates"] != "":
		return experiment.RecoveryBroken, "users have their answers again, and yet the gates do not hold"
	case broken > 0 || known == 0:
		return experiment.RecoveryUnknown, ""
	case last > w.rec.Within:
		return experiment.RecoveryLate, ""
	}
	return experiment.RecoveryHealed, ""
}

// storm says what load keeps a broken system down; empty if none is seen.
func (w *wayBack) storm(attempts string) string {
	if attempts != "" {
		return attempts
	}
	for e, r := range w.rates {
		if r.steadyN >= enough && r.lateN >= enough && r.late >= 1.3*r.steady {
			return fmt.Sprintf("%s had %.1f exchanges per second at the end, and %.1f before", w.v.Edges[e].Name, r.late, r.steady)
		}
	}
	if !w.unanswered() {
		return ""
	}
	for e, r := range w.rates {
		if r.steadyN >= enough && r.late >= 0.9*r.steady {
			return fmt.Sprintf("%s was called %.1f times per second at the end, and %.1f before, for requests that nobody waits for any more", w.v.Edges[e].Name, r.late, r.steady)
		}
	}
	return ""
}

// unanswered tells whether what users miss at the end are answers in time rather than
// good ones: what a queue that is too long does to them.
func (w *wayBack) unanswered() bool {
	waited, bad := 0, 0
	for i := range w.v.Entries {
		e := &w.v.Entries[i]
		if e.Flow < 0 || e.Start < middle(w.span) || e.Start >= w.span.To || w.served(int32(i)) {
			continue
		}
		bad++
		if c := w.v.Classes[e.Class]; e.OK || c == "timeout" || c == "overrun" {
			waited++
		}
	}
	return bad > 0 && 2*waited > bad
}
