package ledger

import "github.com/chaosctl/chaosctl/experiment"

// Behaviours infers what the callers of all edges did, in the order of the edges' names.
// Edges that see bytes alone have windows, and nothing else.
func (v *View) Behaviours() []experiment.EdgeBehaviour {
	var all []experiment.EdgeBehaviour
	for i := range v.Edges {
		b := experiment.EdgeBehaviour{Edge: v.Edges[i].Name}
		edge := int32(i)
		v.figures(edge, &b) // grouping.go: Grouping, Windows
		v.retries(edge, &b) // retries.go: Tries, Spacing, Timeout, Retried, RetryAfter
		checks := v.checksOf(edge)
		v.breaker(edge, checks, &b)     // breaker.go: Breaker
		v.amplification(edge, &b)       // amplification.go: Amplification
		v.inversion(edge, &b)           // inversion.go: Inversion
		v.fallback(edge, checks, &b)    // fallback.go: Fallback
		v.healthCheck(edge, checks, &b) // health.go: HealthCheck
		all = append(all, b)
	}
	return all
}
