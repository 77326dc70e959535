package judge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// weakTimeouts names callers that wait for a silent callee without an end. Calls that are
// over sooner than ledger.LongWait, because the observation is, tell nothing.
func weakTimeouts(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		b := &v.Run.Behaviour[i]
		from, to, _ := strings.Cut(b.Edge, " -> ")
		if t := &b.Timeout; from != experiment.Users && t.Known && t.None {
			all = append(all, experiment.Weakness{Kind: experiment.NoTimeout, Edge: b.Edge, Confidence: t.Confidence, Samples: t.Samples, Evidence: slices.Clone(t.Evidence),
				Sentence: fmt.Sprintf("While %s did not answer, %s waited for it %s or longer on %s, up to %s, and did not hang up by itself.",
					to, from, fault.Duration(ledger.LongWait), callCount(t.Samples), t.AtLeast)})
		}
	}
	return all
}
