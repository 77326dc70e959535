package ledger

import (
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// longestCall bounds a call by ids: an attempt that comes later than this after the last
// is another call.
const longestCall = 5 * time.Minute

// before is what was found of an entry: which attempt it follows.
type before struct {
	prev int32   // -1: it is a first attempt
	sure float32 // that this is so
	kept float32 // that what follows is what was found to follow
}

// grouper puts attempts together to calls.
type grouper struct {
	v      *View
	joined *joiner
	prev   []before
	// pooled are the entries that statistics decide on, by pool.
	pooled [][]int32
	// keys of entries that are not those of the relay, by entry.
	keys map[int32]uint64
}

// group makes calls: by id where there is one, else by statistics. With the calls come
// the parents of those that have no id.
func (v *View) group() {
	g := &grouper{v: v, joined: v.joined, prev: make([]before, len(v.Entries)), keys: map[int32]uint64{}}
	for i := range g.prev {
		g.prev[i] = before{-1, 1, 1}
	}
	v.Alone = make([]string, len(v.Edges))
	g.byIDs()
	g.pools()
	for _, at := range g.pooled {
		newPool(g, at).solve()
	}
	g.assemble()
}

// byIDs chains the attempts that have an id, if it is certain for whom they were made.
func (g *grouper) byIDs() {
	v := g.v
	type key struct {
		edge   int32
		parent int32
		key    uint64
	}
	fresh := g.freshIDs()
	open := map[key]int32{} // the latest attempt
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow >= 0 || !keyed(e) || g.joined.choice[int32(i)] != nil {
			continue
		}
		k := key{e.Edge, g.joined.exact[i], e.Key}
		if fresh[e.Edge] && e.Keying() == experiment.ByRequestID && k.parent >= 0 && e.Route >= 0 {
			k.key = routeKey(e)
		}
		if p, ok := open[k]; ok && follows(&v.Entries[p], e) {
			g.prev[i].prev = p
			// Of attempts at the same time, the next follows what fails last.
			if v.Entries[p].End > e.End && !v.Entries[p].Failed() {
				continue
			}
		}
		open[k] = int32(i)
	}
}

// keyed tells whether an id makes the exchange an attempt of a call.
func keyed(e *Entry) bool {
	switch e.Keying() {
	case experiment.ByIdempotency, experiment.ByRequestID, experiment.ByTrace:
		return e.Key != 0
	}
	return false
}

// routeKey stands for what was asked for, where nothing better is known.
func routeKey(e *Entry) uint64 { return uint64(e.Route)<<8 | 0xff }

// follows tells whether an exchange with the same id belongs to the call that p is the
// latest attempt of: not if that was over and had succeeded.
func follows(p, e *Entry) bool {
	if e.Start > p.End+longestCall {
		return false
	}
	return p.Failed() || p.Refused() || e.Start+noteLag/4 < p.End
}

// freshIDs finds the edges whose callers make a new request id for each attempt: many
// failed there, and no id came twice.
func (g *grouper) freshIDs() []bool {
	v := g.v
	type key struct {
		edge int32
		key  uint64
	}
	seen := map[key]bool{}
	again, failed := make([]int, len(v.Edges)), make([]int, len(v.Edges))
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow >= 0 || e.Keying() != experiment.ByRequestID {
			continue
		}
		k := key{e.Edge, e.Key}
		if seen[k] {
			again[e.Edge]++
		}
		seen[k] = true
		if e.Failed() {
			failed[e.Edge]++
		}
	}
	fresh := make([]bool, len(v.Edges))
	for i := range fresh {
		fresh[i] = failed[i] >= 3 && again[i] == 0
	}
	return fresh
}

// poolFrom is from how many exchanges on a route has statistics of its own.
const poolFrom = 60

// pools finds what statistics have to decide on: exchanges without an id, and those
// whose parent is open. Each route has its own, as far as it has enough.
func (g *grouper) pools() {
	v := g.v
	type key struct {
		edge  int32
		route int32
		sort  uint8
	}
	routes := map[key]int{}
	asks := func(i int, e *Entry) bool {
		if e.Flow >= 0 {
			return false
		}
		if keyed(e) && g.joined.choice[int32(i)] == nil {
			return g.prev[i].prev < 0 && g.joined.exact[i] < 0
		}
		return true
	}
	for i := range v.Entries {
		if e := &v.Entries[i]; asks(i, e) {
			routes[key{e.Edge, e.Route, sortOf(e)}]++
		}
	}
	place := map[key]int{}
	for i := range v.Entries {
		e := &v.Entries[i]
		if !asks(i, e) {
			continue
		}
		k := key{e.Edge, e.Route, sortOf(e)}
		if routes[k] < poolFrom {
			k.route = -2
		}
		n, ok := place[k]
		if !ok {
			n = len(g.pooled)
			place[k], g.pooled = n, append(g.pooled, nil)
		}
		g.pooled[n] = append(g.pooled[n], int32(i))
	}
}

// sortOf keeps apart what is grouped by an id from what is not.
func sortOf(e *Entry) uint8 {
	if keyed(e) {
		return 1
	}
	return 0
}

// assemble makes the calls of what was found to follow what, and gives each its parent.
func (g *grouper) assemble() {
	v := g.v
	v.CallOf = make([]int32, len(v.Entries))
	v.right = make([]float32, len(v.Entries))
	size := make([]int32, 0, len(v.Entries)/2)
	total := 0
	for i := range v.Entries {
		e := &v.Entries[i]
		v.CallOf[i] = -1
		if e.Flow >= 0 {
			continue
		}
		total++
		p := g.prev[i].prev
		if p >= 0 {
			v.CallOf[i] = v.CallOf[p]
			size[v.CallOf[i]]++
			v.right[i] = v.right[p] * g.prev[i].sure
			continue
		}
		v.CallOf[i], v.right[i] = int32(len(size)), g.prev[i].sure
		size = append(size, 1)
	}
	v.Calls = make([]Call, len(size))
	store := make([]int32, total)
	for c, n := range size {
		v.Calls[c].Attempts, store = store[:0:n], store[n:]
	}
	for i, c := range v.CallOf {
		if c >= 0 {
			v.Calls[c].Attempts = append(v.Calls[c].Attempts, int32(i))
		}
	}
	for c := range v.Calls {
		call := &v.Calls[c]
		first, last := call.Attempts[0], call.Attempts[len(call.Attempts)-1]
		call.Edge, call.By = v.Entries[first].Edge, v.Entries[first].Keying()
		sure := float64(g.prev[last].kept)
		for _, i := range call.Attempts {
			sure *= float64(g.prev[i].sure)
			call.By = wider(call.By, v.Entries[i].Keying())
		}
		call.Sure = min(1, sure)
		g.parentOf(call)
	}
}

// wider is the less certain of two ways to group; of what is not known, the other.
func wider(a, b experiment.Keying) experiment.Keying {
	if a == experiment.Unkeyed {
		return b
	}
	if b == experiment.Unkeyed {
		return a
	}
	order := []experiment.Keying{experiment.ByIdempotency, experiment.ByRequestID, experiment.ByTrace, experiment.ByBody}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// parentOf gives the attempts of a call their parent: the first one's, where statistics
// found it, else each its own by id.
func (g *grouper) parentOf(call *Call) {
	v := g.v
	first := call.Attempts[0]
	for _, i := range call.Attempts {
		switch {
		case g.joined.exact[i] >= 0 && g.joined.choice[i] == nil:
			v.Parent[i], v.ParentSure[i] = g.joined.exact[i], 1
		case i != first:
			v.Parent[i], v.ParentSure[i] = v.Parent[first], v.ParentSure[first]*g.prev[i].sure
		}
	}
	call.Parent = v.Parent[first]
}
