package fault

import (
	"errors"
	"slices"
	"sort"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetPartition cuts the network between services.
var NetPartition = define("net.partition",
	"Cut the network between services: bytes are held (drop) or connections are refused (reject).",
	Partition{Direction: CutBoth, Mode: CutDrop},
	`
kind: net.partition
target: {from: [api-service], to: [db-service]}
params: {direction: both, mode: drop}
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		Datagrams:        true,
		WholeConnections: true,
		NoShare:          true,
		Severs:           true,
		Details: `Every edge between the two sides is cut, whoever calls. On a relay, drop accepts connections, dials nobody and moves no byte: what was sent is held and goes on at the lift, so connect timeouts are not exercised; reject resets what is open and closes the listener. On a udp edge drop loses datagrams, which nothing would hold there, and reject has callers answered by ICMP (see net.refuse). direction to stops only the bytes from the from side to the to side, direction from only those coming back.

Shapes choose the sides among the members, with the run's seed: one (one member against the rest), halves (the first half against the second), random-halves, bridge (two halves that only one member can still talk to), majority-ring (every member sees a majority, no two the same one), one-way (bytes from the first member to the others are stopped). The shapes are those of Jepsen's nemeses.`,
	})

// The directions and modes of a partition.
const (
	CutTo     = "to"
	CutFrom   = "from"
	CutBoth   = "both"
	CutDrop   = "drop"
	CutReject = "reject"
)

// Shapes a partition can have, besides the plain cut between from and to.
var Shapes = []string{"one", "halves", "random-halves", "bridge", "majority-ring", "one-way"}

// Partition are the params of net.partition.
type Partition struct {
	// Direction of the bytes that are stopped, seen from the target's From side.
	Direction string `json:"direction,omitempty" doc:"which bytes are stopped, seen from the from side" enum:"both,to,from"`
	// Mode is drop (hold the bytes) or reject (refuse connections).
	Mode string `json:"mode,omitempty" doc:"drop holds the bytes, reject resets and refuses connections" enum:"drop,reject"`
	// Shape chooses the sides among the members.
	Shape string `json:"shape,omitempty" doc:"how the sides are chosen among the members" enum:"one,halves,random-halves,bridge,majority-ring,one-way"`
	// Among are the members a shape is made of.
	Among []string `json:"among,omitempty" doc:"the services a shape is made of, two or more"`
}

// Validate checks the words and that a shape has members enough.
func (p *Partition) Validate() error {
	var errs []error
	if !slices.Contains([]string{CutTo, CutFrom, CutBoth}, p.Direction) {
		errs = append(errs, strict.Fieldf("direction", "must be to, from or both, not %q", strict.Clip(p.Direction)))
	}
	if p.Mode != CutDrop && p.Mode != CutReject {
		errs = append(errs, strict.Fieldf("mode", "must be drop or reject, not %q", strict.Clip(p.Mode)))
	}
	if p.Mode == CutReject && p.Direction != CutBoth {
		errs = append(errs, strict.Fieldf("mode", "reject has no direction: a refused connection moves bytes neither way; leave direction out or use drop"))
	}
	if p.Shape == "" {
		if len(p.Among) > 0 {
			errs = append(errs, strict.Fieldf("among", "goes with a shape; there are: %s", strings.Join(Shapes, ", ")))
		}
		return errors.Join(errs...)
	}
	if !slices.Contains(Shapes, p.Shape) {
		errs = append(errs, strict.Fieldf("shape", "there is no shape %q%s", strict.Clip(p.Shape), strict.Suggest(p.Shape, Shapes)))
	}
	if least := map[string]int{"bridge": 3, "majority-ring": 3}[p.Shape]; len(p.Among) < max(2, least) {
		errs = append(errs, strict.Fieldf("among", "must name %d members or more for the shape %s", max(2, least), p.Shape))
	}
	if len(p.Among) > maxMembers {
		errs = append(errs, strict.Fieldf("among", "must name %d members or fewer", maxMembers))
	}
	sorted := slices.Sorted(slices.Values(p.Among))
	if len(slices.Compact(sorted)) != len(p.Among) {
		errs = append(errs, strict.Fieldf("among", "names a member twice"))
	}
	if p.Mode == CutReject && (p.Shape == "one-way" || p.Shape == "majority-ring" && len(p.Among)/2%2 == 1) {
		errs = append(errs, strict.Fieldf("mode", "reject has no direction, so it does not go with %s of %d members, which cuts some edges one way; use drop", p.Shape, len(p.Among)))
	}
	if p.Direction != CutBoth && p.Direction != "" {
		errs = append(errs, strict.Fieldf("direction", "is chosen by the shape; leave it out, or use the shape one-way"))
	}
	return errors.Join(errs...)
}

// Members are the services a shape is made of.
func (p *Partition) Members() []string { return p.Among }

// Along resolves the direction for an edge: to and from become request and
// response bytes, as its caller sees them.
func (p *Partition) Along(forward bool) Params {
	q := *p
	q.Shape, q.Among = "", nil
	if p.Direction != CutBoth && !forward {
		q.Direction = map[string]string{CutTo: CutFrom, CutFrom: CutTo}[p.Direction]
	}
	return &q
}

// Cut returns the params for an edge of which these bytes are cut.
func (p *Partition) Cut(request, response bool) Params {
	q := *p
	q.Shape, q.Among, q.Direction = "", nil, CutBoth
	switch {
	case request && !response:
		q.Direction = CutTo
	case response && !request:
		q.Direction = CutFrom
	}
	return &q
}

// Stops tells which bytes of an edge are stopped, once Along has resolved the
// direction.
func (p *Partition) Stops() (request, response bool) {
	return p.Direction != CutFrom, p.Direction != CutTo
}

// Cuts returns the directed pairs (sender, receiver) that are cut.
func (p *Partition) Cuts(seed uint64) [][2]string {
	if p.Shape == "" {
		return nil
	}
	m := slices.Clone(p.Among)
	if p.Shape == "random-halves" || p.Shape == "one" || p.Shape == "bridge" || p.Shape == "majority-ring" {
		sort.SliceStable(m, func(i, j int) bool {
			return Hash(seed, "net.partition", p.Shape, m[i]) < Hash(seed, "net.partition", p.Shape, m[j])
		})
	}
	var pairs [][2]string
	apart := func(a, b []string, back bool) {
		for _, x := range a {
			for _, y := range b {
				pairs = append(pairs, [2]string{x, y})
				if back {
					pairs = append(pairs, [2]string{y, x})
				}
			}
		}
	}
	half := len(m) / 2
	switch p.Shape {
	case "one":
		apart(m[:1], m[1:], true)
	case "halves", "random-halves":
		apart(m[:half], m[half:], true)
	case "bridge": // m[half] talks to both sides
		apart(m[:half], m[half+1:], true)
	case "one-way":
		apart(m[:1], m[1:], false)
	case "majority-ring":
		// Each member hears those that follow it on the ring and those that go
		// before it, as many as make a majority together with itself; where
		// their number is odd, one more of those that follow.
		n := len(m)
		before := n / 2 / 2
		after := n/2 - before
		for i := range n {
			for d := after + 1; d < n-before; d++ {
				pairs = append(pairs, [2]string{m[(i+d)%n], m[i]})
			}
		}
	}
	return pairs
}
