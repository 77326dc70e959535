package experiment

import (
	"fmt"
	"slices"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// checkAfter says what is wrong with the edge that a fault waits for: it must be
// there, have a relay, and be none that the fault acts on.
func (g ground) checkAfter(f *fault.Fault) error {
	if f.After == nil {
		return nil
	}
	from, to, ok := splitEdge(f.After.Edge, g.edges)
	if !ok {
		return nil // the fault is not valid by itself
	}
	name := fault.EdgeName(from, to)
	switch {
	case !slices.Contains(g.names(), name):
		return strict.Fieldf("after.edge", "there is no edge %q%s", strict.Clip(name), strict.Suggest(name, g.names()))
	case !g.relayed[name]:
		return strict.Fieldf("after.edge", "no relay stands on %s, so its calls are not seen; give it a `listen` in the topology", name)
	}
	return nil
}

// checkTimes refuses attempts on an edge that sees no requests, and a fault that would
// wait for calls of the edge it acts on.
func (g ground) checkTimes(f *fault.Fault, e Edge) error {
	if p := g.spec.EdgeProtocol(e); f.Attempts != "" && !p.SeesRequests() {
		unit := "connections, and a connection is no attempt of a call"
		if p == UDP {
			unit = "datagrams, and a datagram is no attempt of a call"
		}
		return &Error{Code: Unsupported,
			Message: fmt.Sprintf("attempts need an edge that sees requests; %s is %s: it sees %s", e.Name(), p, unit),
			Hint:    fmt.Sprintf("give the service `%s` `protocol: http` in the topology, or use `pulse`, `after` or `share`", e.To)}
	}
	if f.After == nil {
		return nil
	}
	if from, to, ok := splitEdge(f.After.Edge, g.edges); ok && from == e.From && to == e.To {
		return &Error{Code: BadInput,
			Message: fmt.Sprintf("after: the fault acts on %s itself; it must wait for another edge", e.Name()),
			Hint:    "name another edge, or narrow the target; `attempts` counts the tries of a call"}
	}
	return nil
}

// exactly is an after with the very name of its edge, in which spaces matter to those
// who look it up.
func (g ground) exactly(a *fault.After) *fault.After {
	if a == nil {
		return nil
	}
	from, to, _ := splitEdge(a.Edge, g.edges)
	return &fault.After{Edge: fault.EdgeName(from, to), Calls: a.Calls}
}
