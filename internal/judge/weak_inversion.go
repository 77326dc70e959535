package judge

import (
	"fmt"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// weakInversion names callers that wait longer than they are waited for.
func weakInversion(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		b := &v.Run.Behaviour[i]
		f := &b.Inversion
		if !f.Known || !f.Seen {
			continue
		}
		least := ""
		if f.InnerAtLeast {
			least = "at least "
		}
		all = append(all, experiment.Weakness{
			Kind: experiment.TimeoutInversion, Edge: b.Edge,
			Sentence:   fmt.Sprintf("On %s the caller hangs up after %s, but on %s the callee goes on for %s%s: it works for nobody.", f.Above, f.Outer, b.Edge, least, f.Inner),
			Confidence: f.Confidence, Samples: f.Samples, Evidence: f.Evidence,
		})
	}
	return all
}
