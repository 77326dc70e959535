package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// After has a fault sleep until another edge was called.
type After struct {
	// Edge is the other edge, "caller -> callee". A relay must stand on it.
	Edge string `json:"edge" doc:"the other edge: caller -> callee"`
	// Calls is how many there must have been since the arming: requests that were
	// read on edges that see them, connections or UDP sessions that came in on
	// others; 1 by default.
	Calls int `json:"calls,omitempty" doc:"how many requests (on edges that see none, connections) that edge must have seen since the arming; 1 by default" strict:"positive"`
}

// maxCalls bounds After.Calls.
const maxCalls = 1_000_000_000

// Validate checks that an edge is named.
func (a *After) Validate() error {
	var errs []error
	if a.Edge == "" {
		errs = append(errs, strict.Fieldf("edge", "is missing; it must name the edge that is called first, `caller -> callee`"))
	} else if _, _, ok := SplitEdge(a.Edge); !ok {
		errs = append(errs, strict.Fieldf("edge", "must be `caller -> callee`, not %q", strict.Clip(a.Edge)))
	}
	if a.Calls < 0 || a.Calls > maxCalls {
		errs = append(errs, strict.Fieldf("calls", "must be from 1 to %d, not %d", maxCalls, a.Calls))
	}
	return errors.Join(errs...)
}

// Number is how many calls there must have been.
func (a *After) Number() uint64 { return uint64(max(a.Calls, 1)) }
