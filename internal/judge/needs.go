package judge

import (
	"math"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// needs are the edges that the requests of flows lead to.
type needs struct {
	v        *ledger.View
	requests []int // steady ones, by flow
	traced   []bool
	reach    [][]bool          // by flow and edge: the service may call it, directly or not
	below    []map[string]bool // by flow: the services that may work for it
	bytes    []bool            // edges that see bytes
	count    [][]int           // traced edges: steady requests that led to it
	later    [][][]int         // the same, by span
	alone    []int             // steady requests that no other flow's overlapped
	votes    [][]int           // steady exchanges during those
	only     [][]int           // steady exchanges that began while requests of one flow alone were under way
	seen     []int             // steady exchanges
}

func newNeeds(v *ledger.View, t *trees) *needs {
	n := &needs{v: v, requests: make([]int, len(v.Flows)), traced: make([]bool, len(v.Edges)), alone: make([]int, len(v.Flows)), seen: make([]int, len(v.Edges))}
	for range v.Flows {
		n.count = append(n.count, make([]int, len(v.Edges)))
		n.votes = append(n.votes, make([]int, len(v.Edges)))
		n.only = append(n.only, make([]int, len(v.Edges)))
		n.reach = append(n.reach, make([]bool, len(v.Edges)))
		n.later = append(n.later, make([][]int, len(v.Spans)))
		for s := range v.Spans {
			n.later[len(n.later)-1][s] = make([]int, len(v.Edges))
		}
	}
	n.bytes = make([]bool, len(v.Edges))
	for i := range v.Entries {
		if e := &v.Entries[i]; e.Flow < 0 && e.Route < 0 {
			n.bytes[e.Edge] = true
		}
	}
	n.trace(t)
	n.overlap()
	n.reachable()
	return n
}

// trace counts the requests that led to each edge, where parents are certain.
func (n *needs) trace(t *trees) {
	v := n.v
	certainOf := make([]int, len(v.Edges))
	type pair struct{ root, edge int32 }
	counted := map[pair]bool{}
	for i := range v.Entries {
		e := &v.Entries[i]
		span := v.SpanAt(e.Start)
		if span == nil {
			continue
		}
		steady := span.Stage == experiment.StageSteady
		if e.Flow >= 0 {
			if steady {
				n.requests[e.Flow]++
			}
			continue
		}
		if steady {
			n.seen[e.Edge]++
		}
		root := t.root[i]
		if root < 0 || t.sure[i] < certain {
			continue
		}
		if steady {
			certainOf[e.Edge]++
		}
		if counted[pair{root, e.Edge}] {
			continue
		}
		counted[pair{root, e.Edge}] = true
		flow := v.Entries[root].Flow
		if steady {
			n.count[flow][e.Edge]++
		}
		for s := range v.Spans {
			if &v.Spans[s] == span {
				n.later[flow][s][e.Edge]++
			}
		}
	}
	for e := range v.Edges {
		n.traced[e] = n.seen[e] > 0 && 10*certainOf[e] >= 9*n.seen[e]
	}
}

// overlap counts the exchanges that began while requests of one flow alone were under
// way: what they were made for needs no id.
func (n *needs) overlap() {
	v := n.v
	var active []int32
	notAlone := map[int32]bool{}
	votes := map[int32][]int32{} // edges, by request
	for i := range v.Entries {
		e := &v.Entries[i]
		s := v.SpanAt(e.Start)
		if s == nil || s.Stage != experiment.StageSteady {
			continue
		}
		active = slices.DeleteFunc(active, func(a int32) bool { return v.Entries[a].End < e.Start })
		if e.Flow < 0 {
			if len(active) > 0 && !slices.ContainsFunc(active, func(a int32) bool { return v.Entries[a].Flow != v.Entries[active[0]].Flow }) {
				last := active[len(active)-1]
				n.only[v.Entries[last].Flow][e.Edge]++
				votes[last] = append(votes[last], e.Edge)
			}
			continue
		}
		for _, a := range active {
			if v.Entries[a].Flow != e.Flow {
				notAlone[a], notAlone[int32(i)] = true, true
			}
		}
		if active = append(active, int32(i)); len(active) > 64 { // so many at once are never alone
			notAlone[active[0]] = true
			active = active[1:]
		}
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow < 0 || notAlone[int32(i)] {
			continue
		}
		if s := v.SpanAt(e.Start); s == nil || s.Stage != experiment.StageSteady {
			continue
		}
		n.alone[e.Flow]++
		for _, edge := range votes[int32(i)] {
			n.votes[e.Flow][edge]++
		}
	}
}

// reachable finds the edges below the services that flows call, by who calls whom. Who
// is called by nobody that was seen may be called by anybody.
func (n *needs) reachable() {
	v := n.v
	calls, called := map[string][]string{}, map[string]bool{}
	for _, e := range v.Edges {
		calls[e.From], called[e.To] = append(calls[e.From], e.To), true
	}
	for _, e := range v.Run.Edges {
		calls[e.From], called[e.To] = append(calls[e.From], e.To), true
	}
	n.below = make([]map[string]bool, len(v.Flows))
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow < 0 || n.below[e.Flow] != nil {
			continue
		}
		first := v.Edges[e.Edge].To
		below := map[string]bool{first: true}
		for at := []string{first}; len(at) > 0; at = at[1:] {
			for _, to := range calls[at[0]] {
				if !below[to] {
					below[to] = true
					at = append(at, to)
				}
			}
		}
		for from := range calls {
			below[from] = below[from] || !called[from] && from != experiment.Users
		}
		n.below[e.Flow] = below
		n.reach[e.Flow][e.Edge] = true
		for k := range v.Edges {
			n.reach[e.Flow][k] = n.reach[e.Flow][k] || below[v.Edges[k].From]
		}
	}
}

// outside tells whether a flow cannot lead to an edge on which nothing was seen.
func (n *needs) outside(flow int32, edge string) bool {
	from, _, ok := strings.Cut(edge, " -> ")
	return ok && !n.below[flow][from] && !(from == experiment.Users && n.below[flow][strings.TrimPrefix(edge, experiment.Users+" -> ")])
}

// never tells whether it is known that a flow does not lead to an edge, neither before
// nor in a span. Connections that carry many requests tell nothing about single ones.
func (n *needs) never(flow, edge int32, span int) bool {
	switch {
	case !n.reach[flow][edge]:
		return true
	case n.bytes[edge] || n.seen[edge] == 0:
		return false
	case n.traced[edge]:
		return n.count[flow][edge] == 0 && n.later[flow][span][edge] == 0
	}
	if n.alone[flow] >= 2*learned && 50*n.votes[flow][edge] <= n.alone[flow] {
		return true
	}
	return n.addsUp(flow, edge)
}

// addsUp tells whether the exchanges of an edge can be accounted for in one way alone:
// so many for each request of the flows that may call it, the same number for each
// request of a flow, and none for those of this one.
func (n *needs) addsUp(flow, edge int32) bool {
	const most = 3 // flows, and exchanges for one request
	var flows []int32
	for g := range n.v.Flows {
		if n.reach[g][edge] {
			flows = append(flows, int32(g))
		}
	}
	if len(flows) < 2 || len(flows) > most || n.seen[edge] < plenty || n.only[flow][edge] > 1 {
		return false
	}
	spare := 1 + 0.01*float64(n.seen[edge])
	found, none := 0, true
	var try func(k int, rest float64)
	try = func(k int, rest float64) {
		if k == len(flows) {
			if math.Abs(rest) <= spare {
				found++
			}
			return
		}
		g := flows[k]
		least := 0
		if n.only[g][edge] > 1 {
			least = 1
		}
		for each := least; each < most; each++ {
			before := found
			if try(k+1, rest-float64(each*n.requests[g])); g == flow && each > 0 && found > before {
				none = false
			}
		}
	}
	try(0, float64(n.seen[edge]))
	return found > 0 && none
}

// othersAddNothing tells whether no other flow is known to lead to an edge, and some
// are known not to.
func (n *needs) othersAddNothing(flow, edge int32) bool {
	for g := range n.v.Flows {
		if int32(g) != flow && n.reach[g][edge] && !n.addsUp(int32(g), edge) {
			return false
		}
	}
	return true
}

// share is the share of a flow's requests that lead to an edge, 0 if it is not known.
func (n *needs) share(flow, edge int32) float64 {
	switch {
	case n.requests[flow] < learned || !n.reach[flow][edge]:
		return 0
	case n.traced[edge]:
		return float64(n.count[flow][edge]) / float64(n.requests[flow])
	case n.alone[flow] < 2*learned:
		if n.only[flow][edge] > 1 && n.othersAddNothing(flow, edge) {
			return 1
		}
		return 0
	}
	return min(1, float64(n.votes[flow][edge])/float64(n.alone[flow]))
}

// of names the edges that a flow needs, and says how that is known.
func (n *needs) of(flow int32) (edges []string, by string) {
	guessed := false
	for e := range n.v.Edges {
		if n.seen[e] == 0 || !n.reach[flow][e] {
			continue
		}
		guessed = guessed || !n.traced[e]
		if n.share(flow, int32(e)) >= 0.05 {
			edges = append(edges, n.v.Edges[e].Name)
		}
	}
	slices.Sort(edges)
	if guessed {
		return edges, "statistics"
	}
	return edges, "trace"
}
