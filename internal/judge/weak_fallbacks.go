package judge

import (
	"fmt"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// weakFallbacks names fallbacks that need who has failed, and health checks that nobody
// listens to.
func weakFallbacks(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		e := &v.Run.Behaviour[i]
		if f := &e.Fallback; f.Known && f.To != "" && f.SameCallee {
			all = append(all, experiment.Weakness{
				Kind: experiment.FallbackToSame, Edge: e.Edge,
				Sentence:   fmt.Sprintf("When a call on %s fails, its caller falls back to %s, which is the same callee: of %d calls that failed, %d were answered well.", e.Edge, f.To, f.Failed, f.Answered),
				Confidence: f.Confidence, Samples: f.Samples, Evidence: shown(f.Evidence, nil),
			})
		}
		if h := &e.HealthCheck; h.Known && h.Seen && h.Ignored {
			all = append(all, experiment.Weakness{
				Kind: experiment.HealthIgnored, Edge: e.Edge,
				Sentence:   fmt.Sprintf("The caller on %s checks the health of its callee, and calls it whatever the answer: %s.", e.Edge, h.Why),
				Confidence: h.Confidence, Samples: h.Samples, Evidence: shown(h.Evidence, nil),
			})
		}
	}
	return all
}
