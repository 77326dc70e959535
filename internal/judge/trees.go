package judge

import (
	"slices"

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
)

// below is what lies below a request of the traffic.
type below struct {
	failed bool // an exchange failed, or was given up
	// garbled: the callee's answer was whole and good, and a fault was applied to it.
	garbled bool
}

// trees are the exchanges that requests of the traffic led to.
type trees struct {
	v    *ledger.View
	root []int32 // of each entry, the request that it was made for; -1 if it is not known
	sure []float32
	low  map[int32]*below // by request
	none below
}

func newTrees(v *ledger.View) *trees {
	t := &trees{v: v, root: make([]int32, len(v.Entries)), sure: make([]float32, len(v.Entries)), low: map[int32]*below{}}
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

func (t *trees) note(root int32, e *ledger.Entry) {
	failed := e.Failed() || e.Hurt && e.End > t.v.Entries[root].End // it was not waited for
	garbled := e.Hurt && !failed && !e.Refused()
	if !failed && !garbled {
		return
	}
	b := t.low[root]
	if b == nil {
		b = &below{}
		t.low[root] = b
	}
	b.failed = b.failed || failed && t.v.Edges[e.Edge].From != experiment.Users
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
