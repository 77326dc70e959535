package judge

import (
	"cmp"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// sureCall is the probability from which a call counts as put together right.
const sureCall = 0.9

// hangsUpBy judges a limit on one attempt. It is put to the test by exchanges that
// the caller gave up, and broken by any that it waited longer for. Where it is known that
// the caller hangs up in time, some of them may be late by what a machine stands still.
func hangsUpBy(v *ledger.View, b *experiment.EdgeBehaviour, limit time.Duration) said {
	var late, kept []uint64
	var longest time.Duration
	allowed := limit + margin(limit)
	if hangsUpInTime(v, b, limit) {
		allowed += standstill
	}
	hurtEntries(v, b.Edge, func(_ int, e *ledger.Entry, _ *ledger.Span) {
		switch took := e.Took(); {
		case took > allowed:
			late = append(late, e.No)
			longest = max(longest, took)
		case e.GaveUp():
			kept = append(kept, e.No)
			longest = max(longest, took)
		}
	})
	switch {
	case len(late) > 0:
		return said{standing: experiment.Broken, confidence: 1, evidence: late,
			why: fmt.Sprintf("%s lasted longer than %s, the longest %s", exchangeCount(len(late)), fault.Duration(limit), rounded(longest))}
	case len(kept) > 0:
		return said{standing: experiment.Held, confidence: cmp.Or(b.Timeout.Confidence, 1), evidence: kept,
			why: fmt.Sprintf("its caller hung up on %s, after %s at the latest", exchangeCount(len(kept)), rounded(longest))}
	}
	return unknown("its caller never had to wait long enough to hang up: no exchange lasted %s", fault.Duration(limit))
}

// standstill is how long a busy machine may stand still, all of its clocks included.
const standstill = 300 * time.Millisecond

// hangsUpInTime tells whether a caller is seen to have the limit: half of what reached it,
// five at least, was given up within the margin around it.
func hangsUpInTime(v *ledger.View, b *experiment.EdgeBehaviour, limit time.Duration) bool {
	near, later := 0, 0
	hurtEntries(v, b.Edge, func(_ int, e *ledger.Entry, _ *ledger.Span) {
		switch took := e.Took(); {
		case took < limit-margin(limit):
		case took > limit+margin(limit):
			later++
		case e.GaveUp():
			near++
		}
	})
	return near >= 5 && near >= later
}

// waitsFor judges how long the caller waits at least.
func waitsFor(b *experiment.EdgeBehaviour, least fault.Duration) said {
	t := &b.Timeout
	s := by(t.Finding)
	switch {
	case t.Known && t.PerTry > 0:
		early := t.PerTry.Std()+margin(least.Std()) < least.Std()
		return s.verdictOf(!early, fmt.Sprintf("its caller hangs up after %s", rounded(t.PerTry.Std())), fmt.Sprintf("its caller hangs up after %s already", rounded(t.PerTry.Std())))
	case t.AtLeast >= least:
		return s.verdictOf(true, fmt.Sprintf("its caller waited %s without hanging up", rounded(t.AtLeast.Std())), "")
	}
	return unknown("its caller was not seen to wait %s: %s", least, t.Why)
}

// callsWithin judges a limit on whole calls. Calls that failed put it to the test.
func callsWithin(v *ledger.View, b *experiment.EdgeBehaviour, limit time.Duration) said {
	var late, kept []uint64
	var longest time.Duration
	eachHurtCall(v, b.Edge, func(c *ledger.Call) {
		first, last := &v.Entries[c.Attempts[0]], &v.Entries[c.Attempts[len(c.Attempts)-1]]
		took := last.End - first.Start
		switch {
		case c.Sure < sureCall:
		case took > limit+margin(limit):
			late = append(late, first.No, last.No)
			longest = max(longest, took)
		case last.Failed():
			kept = append(kept, last.No)
			longest = max(longest, took)
		}
	})
	switch {
	case len(late) > 0:
		return said{standing: experiment.Broken, confidence: b.Grouping.Sure, evidence: late,
			why: fmt.Sprintf("%s took longer than %s, the longest %s", callCount(len(late)/2), fault.Duration(limit), rounded(longest))}
	case len(kept) >= 3:
		return said{standing: experiment.Held, confidence: b.Grouping.Sure, evidence: kept,
			why: fmt.Sprintf("%s failed, and the longest took %s", callCount(len(kept)), rounded(longest))}
	}
	return unknown("too few calls failed to tell: %d, at least 3 are needed", len(kept))
}

// eachHurtCall visits the calls of an edge that began while something was hurt.
func eachHurtCall(v *ledger.View, edge string, visit func(c *ledger.Call)) {
	at := v.EdgeOf(edge)
	for i := range v.Calls {
		c := &v.Calls[i]
		if c.Edge != at {
			continue
		}
		if s := v.SpanAt(v.Entries[c.Attempts[0]].Start); s != nil && s.Stage == experiment.StageHurt {
			visit(c)
		}
	}
}

// retryCount judges how often a call is tried again.
func retryCount(v *ledger.View, b *experiment.EdgeBehaviour, r *experiment.ExpectRetries, most bool) said {
	t := &b.Tries
	if most {
		var beyond []uint64
		calls, more, top := 0, 0, 0
		eachHurtCall(v, b.Edge, func(c *ledger.Call) {
			if calls++; c.Sure >= sureCall && len(c.Attempts) > *r.AtMost+1 {
				more++
				top = max(top, len(c.Attempts))
				beyond = append(beyond, v.Entries[c.Attempts[len(c.Attempts)-1]].No)
			}
		})
		// What ids have put together is proof; of what statistics have, one in twenty may
		// be put together wrong.
		if more > 0 && (b.Grouping.Sure >= 0.999 || more*20 > calls) {
			return said{standing: experiment.Broken, confidence: b.Grouping.Sure, evidence: beyond,
				why: fmt.Sprintf("%s of %d had more than %s, up to %s", callCount(more), calls, attemptCount(*r.AtMost+1), attemptCount(top))}
		}
	}
	if !t.Known {
		return unknown("how often a failed call is tried again is not known: %s", t.Why)
	}
	s := by(t.Finding)
	does := fmt.Sprintf("a call that fails gets %s", attemptCount(t.Most))
	if t.Endless {
		does = fmt.Sprintf("a call that fails is tried without an end: %s were seen", attemptCount(t.Most))
	}
	if most {
		return s.verdictOf(!t.Endless && t.Most <= *r.AtMost+1, does, does)
	}
	return s.verdictOf(t.Endless || t.Most >= *r.AtLeast+1, does, does)
}

// spacing judges the waits between attempts.
func spacing(b *experiment.EdgeBehaviour, r *experiment.ExpectRetries, field string) said {
	p := &b.Spacing
	if b.Tries.Known && b.Tries.Most == 1 {
		return unknown("a call that fails is not tried again, so there are no waits")
	}
	if !p.Known {
		return unknown("the waits between attempts are not known: %s", p.Why)
	}
	s, does := by(p.Finding), waitsInWords(p)
	switch field {
	case "retries.backoff":
		return s.verdictOf(p.Kind == r.Backoff, does, does)
	case "retries.jitter":
		return s.verdictOf(p.Jitter == *r.Jitter, does, does)
	}
	if p.FirstAtOnce {
		return s.verdictOf(false, "", "the first retry comes at once")
	}
	return s.verdictOf(p.Kind != experiment.SpacingNone && p.Base.Std()+margin(r.Wait.Std()) >= r.Wait.Std(), does, does)
}

// waitsInWords says how a caller waits.
func waitsInWords(p *experiment.Spacing) string {
	jitter := "without jitter"
	if p.Jitter {
		jitter = "with jitter"
	}
	switch p.Kind {
	case experiment.SpacingNone:
		return "it tries again at once"
	case experiment.SpacingFixed:
		return fmt.Sprintf("it waits %s each time, %s", rounded(p.Base.Std()), jitter)
	case experiment.SpacingLinear:
		return fmt.Sprintf("it waits %s, and %s longer each time, %s", rounded(p.Base.Std()), rounded(p.Step.Std()), jitter)
	}
	return fmt.Sprintf("it waits %s, and %.3g times as long each time, %s", rounded(p.Base.Std()), p.Factor, jitter)
}

// notOn judges that some outcomes are final.
func notOn(b *experiment.EdgeBehaviour, words []experiment.OutcomeWord) said {
	var ended, retried uint64
	var evidence []uint64
	for _, o := range b.Retried {
		for _, w := range words {
			if w.Fits(o.Outcome) {
				ended, retried = ended+o.Ended, retried+o.Retried
				if o.Retried > 0 {
					evidence = append(evidence, o.Evidence...)
				}
				break
			}
		}
	}
	switch {
	case retried > 0 && (b.Grouping.Sure >= 0.999 || retried*20 > ended):
		return said{standing: experiment.Broken, confidence: b.Grouping.Sure, evidence: evidence,
			why: fmt.Sprintf("%d of %d attempts that ended so were followed by another", retried, ended)}
	case ended >= 3:
		return said{standing: experiment.Held, confidence: b.Grouping.Sure, why: fmt.Sprintf("%d attempts ended so, and none of them was followed by another", ended)}
	}
	return unknown("too few attempts ended so to tell: %d, at least 3 are needed", ended)
}

// retryAfter judges that the callee's wish is obeyed.
func retryAfter(b *experiment.EdgeBehaviour) said {
	r := &b.RetryAfter
	if !r.Known || r.Asked == 0 {
		return unknown("whether Retry-After is obeyed is not known: %s", cmp.Or(r.Why, "no answer with that header was followed by another attempt"))
	}
	does := fmt.Sprintf("%d of %d retries waited as long as Retry-After asked (asked %s, waited %s)", r.Obeyed, r.Asked, rounded(r.Wanted.Std()), rounded(r.Waited.Std()))
	return by(r.Finding).verdictOf(r.Obeyed == r.Asked, does, does)
}

// unsafe judges that what must not be done twice is not tried twice.
func unsafe(b *experiment.EdgeBehaviour) said {
	var ended, retried uint64
	var evidence []uint64
	for _, o := range b.Retried {
		if o.Keyed || o.Method != "POST" && o.Method != "PATCH" {
			continue
		}
		ended, retried = ended+o.Ended, retried+o.Retried
		if o.Retried > 0 {
			evidence = append(evidence, o.Evidence...)
		}
	}
	switch {
	case retried > 0 && (b.Grouping.Sure >= 0.999 || retried*20 > ended):
		return said{standing: experiment.Broken, confidence: b.Grouping.Sure, evidence: evidence,
			why: fmt.Sprintf("%d of %d failed POST or PATCH attempts without an idempotency key were tried again", retried, ended)}
	case ended >= 3:
		return said{standing: experiment.Held, confidence: b.Grouping.Sure, why: fmt.Sprintf("%d POST or PATCH attempts without an idempotency key failed, and none was tried again", ended)}
	}
	return unknown("too few POST or PATCH attempts without an idempotency key failed: %d, at least 3 are needed", ended)
}

func rounded(d time.Duration) fault.Duration { return fault.Duration(d.Round(time.Millisecond)) }

func exchangeCount(n int) string { return counted(n, "exchange") }
func callCount(n int) string     { return counted(n, "call") }
func attemptCount(n int) string  { return counted(n, "attempt") }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
