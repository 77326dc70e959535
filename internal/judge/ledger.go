package judge

import (
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// Ledger judges what the ledger of a run holds and writes it into the record: what
// callers did, what users got, how the system came back, what is weak, and whether it
// was as expected. The spec is that of the run.
func Ledger(r *experiment.Run, spec *experiment.Spec, b *ledger.Book) {
	v := ledger.Look(b, r)
	r.Behaviour = v.Behaviours()
	given := classify(v, spec)
	r.Outcomes = given.flows
	recovery(given)
	r.Weaknesses = weaknesses(v)
	r.Expectations = expectations(v, spec)
	r.Lanes = lanes(v)
}

// weaknesses are all that were found.
func weaknesses(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for _, find := range []func(*ledger.View) []experiment.Weakness{
		weakRetries,   // weak_retries.go
		weakTimeouts,  // weak_timeouts.go
		weakInversion, // weak_inversion.go
		weakBreakers,  // weak_breakers.go
		weakFallbacks, // weak_fallbacks.go: fallbacks, health checks
		weakLayers,    // weak_layers.go: several layers
		weakOutcomes,  // weak_outcomes.go: garbage, bulkheads, stays broken
	} {
		all = append(all, find(v)...)
	}
	return all
}

// NoLedger says in the record that there is nothing to judge callers by, and why:
// every expectation is unknown.
func NoLedger(r *experiment.Run, spec *experiment.Spec, why string) {
	r.Expectations = unjudged(spec, why)
}
