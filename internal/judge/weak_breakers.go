package judge

import (
	"fmt"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// fewestReopenings is how often a breaker must have opened again, all load upon it, to say
// that it does not probe.
const fewestReopenings = 2

// weakBreakers names breakers that never close, and those that close without a probe.
func weakBreakers(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		e := &v.Run.Behaviour[i]
		b := &e.Breaker
		if !b.Known || !b.Seen {
			continue
		}
		if b.Closed.Known && b.ClosedAfter == 0 {
			all = append(all, experiment.Weakness{
				Kind: experiment.BreakerNeverCloses, Edge: e.Edge,
				Sentence:   fmt.Sprintf("The circuit breaker on %s does not close again although the failure is over: %s.", e.Edge, b.Closed.Why),
				Confidence: min(b.Confidence, b.Closed.Confidence), Samples: b.Closed.Samples, Evidence: shown(b.Evidence, b.Closed.Evidence),
			})
		}
		if b.HalfOpen.Known && b.Probes == 0 && b.HalfOpen.Samples >= fewestReopenings {
			open := ""
			if b.OpenFor > 0 {
				open = fmt.Sprintf(" of %s", b.OpenFor)
			}
			all = append(all, experiment.Weakness{
				Kind: experiment.BreakerWithoutProbes, Edge: e.Edge,
				Sentence:   fmt.Sprintf("The circuit breaker on %s does not try one call first when its pause%s is over: %s.", e.Edge, open, b.HalfOpen.Why),
				Confidence: min(b.Confidence, b.HalfOpen.Confidence), Samples: b.HalfOpen.Samples, Evidence: shown(b.HalfOpen.Evidence, nil),
			})
		}
	}
	return all
}

// shown is evidence of both sorts, half of each at most.
func shown(a, b []uint64) []uint64 {
	most := experiment.MaxEvidence
	if len(a) > 0 && len(b) > 0 {
		most /= 2
	}
	return append(append([]uint64{}, a[:min(len(a), most)]...), b[:min(len(b), most)]...)
}
