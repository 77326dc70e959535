package judge

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// expectations judges every rule of `expect:`. What was not put to the test is
// unknown, never held.
func expectations(v *ledger.View, spec *experiment.Spec) []experiment.ExpectationResult {
	var all []experiment.ExpectationResult
	for i := range spec.Expect {
		e := &spec.Expect[i]
		for _, rule := range e.Rules() {
			var s said
			if e.Traffic != "" {
				s = judgeFlow(v, e, rule.Field)
			} else {
				s = judgeEdge(v, e, rule.Field)
			}
			s = s.withLoss(v)
			all = append(all, experiment.ExpectationResult{
				Expectation: e.Title(), Of: e.Of(), Rule: rule.Words, Result: s.standing, Why: Sentence(s.why),
				Confidence: s.confidence, Evidence: s.evidence[:min(len(s.evidence), experiment.MaxEvidence)],
			})
		}
	}
	return all
}

// unjudged are the expectations of a run without a ledger.
func unjudged(spec *experiment.Spec, why string) []experiment.ExpectationResult {
	var all []experiment.ExpectationResult
	for i := range spec.Expect {
		e := &spec.Expect[i]
		for _, rule := range e.Rules() {
			all = append(all, experiment.ExpectationResult{Expectation: e.Title(), Of: e.Of(), Rule: rule.Words, Result: experiment.Untested, Why: Sentence(why)})
		}
	}
	return all
}

// said is what is said of one rule.
type said struct {
	standing   experiment.Standing
	why        string
	confidence float64
	evidence   []uint64
}

// verdictOf says held or broken, with the sentence for each.
func (s said) verdictOf(holds bool, held, broken string) said {
	s.standing, s.why = experiment.Broken, broken
	if holds {
		s.standing, s.why = experiment.Held, held
	}
	return s
}

func unknown(format string, args ...any) said {
	return said{standing: experiment.Untested, why: fmt.Sprintf(format, args...)}
}

// by takes confidence and evidence from a finding.
func by(f experiment.Finding) said {
	return said{confidence: f.Confidence, evidence: f.Evidence}
}

// withLoss takes back what held while some exchanges were lost: the one that breaks
// it may be among them.
func (s said) withLoss(v *ledger.View) said {
	if l := v.Run.Ledger; l != nil && l.Lost > 0 && s.standing == experiment.Held {
		return unknown("it held in what was recorded, but %d exchanges were lost: %s", l.Lost, l.Why)
	}
	return s
}

// behaviourOf is what was seen of an edge; nil if nothing was.
func behaviourOf(r *experiment.Run, edge string) *experiment.EdgeBehaviour {
	i := slices.IndexFunc(r.Behaviour, func(b experiment.EdgeBehaviour) bool { return b.Edge == edge })
	if i < 0 {
		return nil
	}
	return &r.Behaviour[i]
}

// judgeEdge judges one rule on the caller of an edge.
func judgeEdge(v *ledger.View, e *experiment.Expectation, field string) said {
	b := behaviourOf(v.Run, e.Of())
	if b == nil {
		return unknown("%s carried no request", e.Of())
	}
	switch field {
	case "timeout.atMost":
		return hangsUpBy(v, b, e.Timeout.AtMost.Std())
	case "timeout.atLeast":
		return waitsFor(b, e.Timeout.AtLeast)
	case "timeout.total":
		return callsWithin(v, b, e.Timeout.Total.Std())
	case "retries.atMost", "retries.atLeast":
		return retryCount(v, b, e.Retries, field == "retries.atMost")
	case "retries.backoff", "retries.jitter", "retries.wait":
		return spacing(b, e.Retries, field)
	case "retries.notOn":
		return notOn(b, e.Retries.NotOn)
	case "retries.retryAfter":
		return retryAfter(b)
	case "retries.unsafe":
		return unsafe(b)
	case "breaker", "breaker.opensAfter", "breaker.closesWithin", "breaker.probes":
		var lift *time.Time
		if r := v.Run.Recovery; r != nil {
			lift = &r.Lift
		}
		return breakerRule(b, e.Breaker, field, lift)
	case "fallback", "fallback.cost":
		return fallbackRule(b, e.Fallback, field)
	case "amplification.atMost", "amplification.endToEnd":
		return amplificationRule(b, e.Amplification, field)
	case "timeoutInversion":
		return inversionRule(b)
	}
	return unknown("nothing judges this rule")
}

// margin is how much later than a limit something may be seen that was on time: the
// clock of the caller is not ours, and machines are busy.
func margin(limit time.Duration) time.Duration { return limit/20 + 20*time.Millisecond }

// hurtEntries visits the exchanges of an edge that began while something was hurt.
func hurtEntries(v *ledger.View, edge string, visit func(i int, e *ledger.Entry, s *ledger.Span)) {
	at := v.EdgeOf(edge)
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Edge != at || e.Flow >= 0 {
			continue
		}
		if s := v.SpanAt(e.Start); s != nil && s.Stage == experiment.StageHurt {
			visit(i, e, s)
		}
	}
}

// judgeFlow judges one rule on what users are given.
func judgeFlow(v *ledger.View, e *experiment.Expectation, field string) said {
	i := slices.IndexFunc(v.Run.Outcomes, func(o experiment.FlowOutcomes) bool { return o.Flow == e.Traffic })
	if i < 0 {
		return unknown("nothing was recorded of %s", e.Traffic)
	}
	o := &v.Run.Outcomes[i]
	if field == "bulkhead" {
		return bulkheadRule(v, o)
	}
	return outcomeRule(o, e)
}
