package judge

import (
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

const (
	// likely is how sure it must be that an exchange belongs to a request for it to say
	// something about the answer; certain, for it to say which edges requests need.
	likely  = 0.5
	certain = 0.95
	// deepestTree bounds a chain of parents.
	deepestTree = 64
	// outlived is how long after an answer to the users an exchange must have ended for
	// it not to have been waited for: two relays note two ends, on a busy machine.
	outlived = 60 * time.Millisecond
)

// leaveBodies are the kinds of faults that hold, break or mark an answer. What comes through
// whole is what the callee has said.
var leaveBodies = []string{
	"grpc.delay", "http.abort", "http.delay", "http.header", "http.rate-limit", "http.reply-lost", "http.slow-body", "net.bandwidth", "net.blackhole",
	"net.connect-timeout", "net.kill", "net.latency", "net.limit", "net.loss", "net.noop", "net.partition", "net.refuse", "net.reset", "net.slice",
	"net.slow-accept", "net.slow-close", "net.stall", "net.timeout",
}

// below is what lies below a request of the traffic.
type below struct {
	failed bool // an exchange failed, or was given up
	// failedOn are the edges between services that one did on.
	failedOn []int32
	// garbled: the callee's answer was whole and good, and a fault that may change it was
	// applied to it.
	garbled bool
}

// trees are the exchanges that requests of the traffic led to.
type trees struct {
	v    *ledger.View
	root []int32 // of each entry, the request that it was made for; -1 if it is not known
	sure []float32
	low  map[int32]*below // by request
	none below
	// intact are steps and the edges on which every fault leaves bodies as they are.
	intact map[[2]string]bool
}

func newTrees(v *ledger.View) *trees {
	t := &trees{v: v, root: make([]int32, len(v.Entries)), sure: make([]float32, len(v.Entries)), low: map[int32]*below{}, intact: intact(v.Run)}
	const unseen = -2
	for i := range t.root {
		t.root[i] = unseen
	}
	var chain []int32
	for i := range v.Entries {
		chain = chain[:0]
		at, root, sure := int32(i), int32(-1), float32(0)
		for len(chain) < deepestTree {
			if t.root[at] != unseen {
				root, sure = t.root[at], t.sure[at]
				break
			}
			if v.Entries[at].Flow >= 0 {
				root, sure = at, 1
				t.root[at], t.sure[at] = root, sure
				break
			}
			chain = append(chain, at)
			if at = v.Parent[at]; at < 0 {
				break
			}
		}
		for _, e := range slices.Backward(chain) {
			sure *= v.ParentSure[e]
			t.root[e], t.sure[e] = root, sure
		}
	}
	for i := range v.Entries {
		if root := t.root[i]; root >= 0 && v.Entries[i].Flow < 0 && t.sure[i] >= likely {
			t.note(root, &v.Entries[i])
		}
	}
	return t
}

// intact tells on which edges, step by step, no fault changes a body.
func intact(r *experiment.Run) map[[2]string]bool {
	all := map[[2]string]bool{}
	for i, in := range r.Injections {
		if i >= len(r.Plan.Steps) {
			break
		}
		for _, a := range in.Armed {
			at := [2]string{r.Plan.Steps[i].Name, a.Where}
			before, seen := all[at]
			all[at] = (before || !seen) && slices.Contains(leaveBodies, a.Fault.Kind)
		}
	}
	return all
}

// changed tells whether the callee's answer may not have come through as it was.
func (t *trees) changed(e *ledger.Entry) bool {
	s := t.v.SpanAt(e.Start)
	return e.Hurt && (s == nil || !t.intact[[2]string{s.Step, t.v.Edges[e.Edge].Name}])
}

func (t *trees) note(root int32, e *ledger.Entry) {
	failed := e.Failed() || e.Hurt && e.End > t.v.Entries[root].End+outlived // it was not waited for
	garbled := !failed && !e.Refused() && t.changed(e)
	if !failed && !garbled {
		return
	}
	b := t.low[root]
	if b == nil {
		b = &below{}
		t.low[root] = b
	}
	if failed && t.v.Edges[e.Edge].From != experiment.Users {
		b.failed = true
		if !slices.Contains(b.failedOn, e.Edge) {
			b.failedOn = append(b.failedOn, e.Edge)
		}
	}
	b.garbled = b.garbled || garbled
}

// of is what lies below a request.
func (t *trees) of(request int32) *below {
	if b := t.low[request]; b != nil {
		return b
	}
	return &t.none
}

// led tells whether a request is seen to have led to an exchange on an edge.
func (t *trees) led(request, edge int32) bool {
	var look func(at int32, depth int) bool
	look = func(at int32, depth int) bool {
		for _, c := range t.v.Children[at] {
			if t.v.Entries[c].Edge == edge && t.v.Entries[c].Flow < 0 || depth < deepestTree && look(c, depth+1) {
				return true
			}
		}
		return false
	}
	return look(request, 0)
}
