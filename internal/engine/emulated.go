package engine

import (
	"fmt"
	"slices"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// emulated says in sentences which of some placed faults are only imitated where they
// are, leaving out those that were said.
func emulated(top *experiment.TopologySpec, places []fault.Fault, said []string) []string {
	var all []string
	for _, f := range places {
		k := f.Info()
		if k.Emulated == "" || f.At == nil || f.At.Relay == nil {
			continue
		}
		e := experiment.Edge{From: f.At.Relay.From, To: f.At.Relay.To}
		if i := slices.IndexFunc(top.Edges, func(o experiment.Edge) bool { return o.Name() == e.Name() }); i >= 0 {
			e = top.Edges[i]
		}
		p := top.EdgeProtocol(e)
		if p == experiment.UDP {
			continue
		}
		s := fmt.Sprintf("%s is emulated on %s, a %s edge: %s", k.Name, e.Name(), p, k.Emulated)
		if !slices.Contains(said, s) && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
