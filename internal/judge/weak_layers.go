package judge

import (
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// fewestFailedRequests is how many requests of users must have failed attempts below.
const fewestFailedRequests = 5

// weakLayers names retries that multiply from layer to layer, once for each path: at its
// lowest edge.
func weakLayers(v *ledger.View) []experiment.Weakness {
	found := map[string]experiment.Amplification{}
	upper := map[string]bool{} // edges that are part of a longer path
	for i := range v.Run.Behaviour {
		b := &v.Run.Behaviour[i]
		a := &b.Amplification
		n := len(a.Layers)
		if !a.Known || n < 2 || a.Layers[n-1].Edge != b.Edge || a.Samples < fewestFailedRequests || !failsMuch(b) {
			continue
		}
		found[b.Edge] = *a
		for _, l := range a.Layers[:n-1] {
			upper[l.Edge] = true
		}
	}
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		edge := v.Run.Behaviour[i].Edge
		a, ok := found[edge]
		if !ok || upper[edge] {
			continue
		}
		product := 1.0
		var at []string
		for _, l := range a.Layers {
			product *= l.Factor
			at = append(at, fmt.Sprintf("%.3g at %s", l.Factor, l.Edge))
		}
		became := a.EndToEnd
		if became == 0 {
			became = product
		}
		all = append(all, experiment.Weakness{
			Kind: experiment.RetriesAtLayers, Edge: edge,
			Sentence:   fmt.Sprintf("One request of a user became %.3g calls of %s: %s (together %.3g times).", became, edge, strings.Join(at, ", "), product),
			Confidence: a.Confidence, Samples: a.Samples, Evidence: a.Evidence,
		})
	}
	return all
}

// failsMuch tells whether an edge failed in a step, and not only now and then.
func failsMuch(b *experiment.EdgeBehaviour) bool {
	for _, w := range b.Windows {
		if w.Stage == experiment.StageHurt && w.Failed >= fewestFailedRequests && w.Failed*4 >= w.Exchanges {
			return true
		}
	}
	return false
}
