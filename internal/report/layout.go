package report

import (
	"cmp"
	"slices"

	"github.com/chaosctl/chaosctl/experiment"
)

// layout places services in columns by their distance from the users, and edges that
// skip columns on places of their own in between.
type layout struct {
	nodes   []string
	columns [][]*slotNode
	routes  [][]*slotNode // of each edge, from its caller to its callee
	back    []bool        // the edge goes against the columns
	node    float64       // width of a service
	gap     float64       // between columns
}

// slotNode is a place in a column: a service, or where an edge passes.
type slotNode struct {
	name   string // empty where an edge passes
	column int
	order  float64
	y      float64
	before []*slotNode
	after  []*slotNode
}

// hop is an edge by the numbers of its services.
type hop struct{ from, to int }

func layOut(edges []edgeFacts) *layout {
	l := &layout{back: make([]bool, len(edges)), routes: make([][]*slotNode, len(edges))}
	index := map[string]int{}
	node := func(name string) int {
		i, ok := index[name]
		if !ok {
			i = len(l.nodes)
			index[name] = i
			l.nodes = append(l.nodes, name)
		}
		return i
	}
	hops := make([]hop, len(edges))
	for i, e := range edges {
		hops[i] = hop{node(e.from), node(e.to)}
	}
	if len(l.nodes) > maxNodes || len(edges) > maxLinks {
		return l
	}
	order := l.order(hops)
	l.turnBack(hops, order)
	column := make([]int, len(l.nodes))
	for range l.nodes { // the longest way decides; no circle is left, so this ends
		for i, h := range hops {
			if !l.back[i] {
				column[h.to] = max(column[h.to], column[h.from]+1)
			}
		}
	}
	slots := make([]*slotNode, len(l.nodes))
	for _, n := range order {
		slots[n] = l.put(&slotNode{name: l.nodes[n], column: column[n]})
	}
	for i, h := range hops {
		l.route(i, slots[h.from], slots[h.to])
	}
	l.sort()
	return l
}

// order is the services, those first that others are called for.
func (l *layout) order(hops []hop) []int {
	called := map[int]bool{}
	for _, h := range hops {
		called[h.to] = true
	}
	order := make([]int, len(l.nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(rootRank(l.nodes[x], called[x]), rootRank(l.nodes[y], called[y]))
	})
	return order
}

// turnBack finds the edges that close a circle: they go back.
func (l *layout) turnBack(hops []hop, order []int) {
	out := map[int][]int{}
	for i, h := range hops {
		out[h.from] = append(out[h.from], i)
	}
	const underWay, done = 1, 2
	state := make([]int, len(l.nodes))
	var visit func(n int)
	visit = func(n int) {
		state[n] = underWay
		for _, i := range out[n] {
			switch to := hops[i].to; state[to] {
			case 0:
				visit(to)
			case underWay:
				l.back[i] = true
			}
		}
		state[n] = done
	}
	for _, n := range order {
		if state[n] == 0 {
			visit(n)
		}
	}
}

// route leads an edge through the columns between its ends.
func (l *layout) route(i int, from, to *slotNode) {
	l.routes[i] = []*slotNode{from}
	if l.back[i] {
		l.routes[i] = append(l.routes[i], to)
		return
	}
	at := from
	for c := from.column + 1; c <= to.column; c++ {
		next := to
		if c < to.column {
			next = l.put(&slotNode{column: c})
		}
		at.after, next.before = append(at.after, next), append(next.before, at)
		l.routes[i] = append(l.routes[i], next)
		at = next
	}
}

// rootRank puts users first, then those whom nobody calls.
func rootRank(name string, called bool) int {
	switch {
	case name == experiment.Users:
		return 0
	case !called:
		return 1
	}
	return 2
}

func (l *layout) put(s *slotNode) *slotNode {
	for len(l.columns) <= s.column {
		l.columns = append(l.columns, nil)
	}
	s.order = float64(len(l.columns[s.column]))
	l.columns[s.column] = append(l.columns[s.column], s)
	return s
}

// sort brings neighbours in neighbouring columns to the same height, by the mean of
// their orders, there and back (the barycentre method of layered graph drawing).
func (l *layout) sort() {
	one := func(column []*slotNode, of func(*slotNode) []*slotNode) {
		for _, s := range column {
			near := of(s)
			if len(near) == 0 {
				continue
			}
			s.y = 0
			for _, n := range near {
				s.y += n.order / float64(len(near))
			}
		}
		slices.SortStableFunc(column, func(x, y *slotNode) int { return cmp.Compare(x.y, y.y) })
		for i, s := range column {
			s.order = float64(i) - float64(len(column)-1)/2
			s.y = s.order
		}
	}
	for range 4 {
		for _, c := range l.columns {
			one(c, func(s *slotNode) []*slotNode { return s.before })
		}
		for i := len(l.columns) - 1; i >= 0; i-- {
			one(l.columns[i], func(s *slotNode) []*slotNode { return s.after })
		}
	}
}
