package ledger

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// What is allowed for when instants are compared: a relay notes the end of an exchange a
// little after its caller knows of it.
const (
	noteLag   = 20 * time.Millisecond
	goesOn    = 50 * time.Millisecond // later than this after a hang-up, nobody meant to stop
	longGhost = 30 * time.Second      // how long one goes on at most for a caller who has gone
)

// callers are the exchanges by which a service was called: the parents that there are for
// what it calls itself.
type callers struct {
	at    []int32         // entries, in the order of their starts
	start []time.Duration // theirs
	until []time.Duration // to when each may have led to something
	most  []time.Duration // the latest of until so far
	// ghosts: it goes on with what a caller has given up.
	ghosts bool
}

// joiner is what is known about parents before calls are made.
type joiner struct {
	v *View
	// of is who called a service.
	of map[string]*callers
	// above is, for each edge, who called its caller.
	above []*callers
	// exact parents: -1 without an id in common. choice are those with several.
	exact  []int32
	choice map[int32][]int32
}

// join finds the parents that ids make certain, and who else might be one. The others
// come with the calls: see group.
func (v *View) join() {
	n := len(v.Entries)
	v.Parent, v.ParentSure, v.Children = make([]int32, n), make([]float32, n), make([][]int32, n)
	for i := range v.Parent {
		v.Parent[i] = -1
	}
	j := &joiner{v: v, of: map[string]*callers{}, exact: make([]int32, n), choice: map[int32][]int32{}}
	v.joined = j
	j.list()
	j.byIDs()
	j.findGhosts()
}

// list finds who called each service. Requests of the traffic call a service only where
// the edge that they took was not seen.
func (j *joiner) list() {
	v := j.v
	relayed := make([]bool, len(v.Edges))
	for i := range v.Entries {
		if v.Entries[i].Flow < 0 {
			relayed[v.Entries[i].Edge] = true
		}
	}
	traffic := make([]*callers, len(v.Edges))
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow >= 0 {
			if traffic[e.Edge] == nil {
				traffic[e.Edge] = &callers{}
			}
			traffic[e.Edge].add(v, int32(i))
			if relayed[e.Edge] {
				continue
			}
		}
		to := v.Edges[e.Edge].To
		if j.of[to] == nil {
			j.of[to] = &callers{}
		}
		j.of[to].add(v, int32(i))
	}
	j.above = make([]*callers, len(v.Edges))
	for i := range v.Edges {
		if v.Edges[i].From == experiment.Users {
			j.above[i] = traffic[i]
		} else {
			j.above[i] = j.of[v.Edges[i].From]
		}
	}
	for _, c := range j.above {
		if c != nil && c.until == nil {
			c.bound(v)
		}
	}
}

func (c *callers) add(v *View, i int32) {
	c.at = append(c.at, i)
	c.start = append(c.start, v.Entries[i].Start)
}

// bound says to when each may have led to something.
func (c *callers) bound(v *View) {
	c.until, c.most = make([]time.Duration, len(c.at)), make([]time.Duration, len(c.at))
	latest := Never
	for k, i := range c.at {
		e := &v.Entries[i]
		c.until[k] = e.End + noteLag/4
		if c.ghosts && e.GaveUp() {
			c.until[k] = e.End + longGhost
		}
		latest = max(latest, c.until[k])
		c.most[k] = latest
	}
}

// before is how many of them began by t.
func (c *callers) before(t time.Duration) int {
	return sort.Search(len(c.start), func(k int) bool { return c.start[k] > t })
}

// around calls do with those that t lies in, the latest first, until it returns false.
// It looks at no more than limit.
func (c *callers) around(t time.Duration, limit int, do func(k int) bool) {
	for k := c.before(t) - 1; k >= 0 && c.most[k] >= t && limit > 0; k, limit = k-1, limit-1 {
		if c.until[k] >= t && !do(k) {
			return
		}
	}
}

// only is the one that t lies in, -1 if there is none or another.
func (c *callers) only(t time.Duration) int {
	found, n := -1, 0
	c.around(t, math.MaxInt, func(k int) bool {
		found, n = k, n+1
		return n < 2
	})
	if n != 1 {
		return -1
	}
	return found
}

// ids are what an exchange and the one that it was made for may have in common, the
// surest first.
func (e *Entry) ids() [3]uint64 {
	ids := [3]uint64{e.Trace, e.Request, 0}
	if e.Keying() == experiment.ByIdempotency {
		ids[2] = e.Key
	}
	return ids
}

// byIDs finds the parents by id. Of several with one id it is the latest around it; where
// one of them was given up and may still be at work, the choice is left open.
func (j *joiner) byIDs() {
	v := j.v
	// The entry before with the same id, of each sort.
	var same [3][]int32
	for s := range same {
		last := map[uint64]int32{}
		for i := range v.Entries {
			id := v.Entries[i].ids()[s]
			if id == 0 {
				continue
			}
			if same[s] == nil {
				same[s] = slices.Repeat([]int32{-1}, len(v.Entries))
			}
			if p, ok := last[id]; ok {
				same[s][i] = p
			}
			last[id] = int32(i)
		}
	}
	var open []int32
	for i := range v.Entries {
		j.exact[i] = -1
		if v.Entries[i].Flow >= 0 {
			continue
		}
		for s := range same {
			if same[s] == nil || v.Entries[i].ids()[s] == 0 {
				continue
			}
			if open = j.sameID(int32(i), same[s], open[:0]); len(open) > 0 {
				j.exact[i] = open[0]
				if len(open) > 1 {
					j.choice[int32(i)] = slices.Clone(open)
				}
				break
			}
		}
	}
}

// sameID are the parents that an entry may have among those with its id, the likeliest
// first.
func (j *joiner) sameID(i int32, same []int32, open []int32) []int32 {
	v := j.v
	e := &v.Entries[i]
	over := int32(-1) // the latest of those that had ended
	for p, steps := same[i], 0; p >= 0 && steps < 512; p, steps = same[p], steps+1 {
		c := &v.Entries[p]
		if !v.isAbove(c, e) {
			continue
		}
		switch {
		case c.End >= e.Start:
			open = append(open, p)
		case c.GaveUp() && e.Start < c.End+longGhost:
			open = append(open, p)
		case over < 0 || v.Entries[over].End < c.End:
			over = p
		}
	}
	if len(open) == 0 && over >= 0 {
		return append(open, over)
	}
	if len(open) < 2 {
		return open
	}
	// One that was about to end, and was not given up, is no choice: its end was noted late.
	kept := slices.DeleteFunc(slices.Clone(open), func(p int32) bool {
		c := &v.Entries[p]
		return !c.GaveUp() && c.End < e.Start+noteLag
	})
	if len(kept) == 0 {
		return open[:1]
	}
	return append(open[:0], kept...)
}

// isAbove tells whether p is on an edge by which the caller of e is called.
func (v *View) isAbove(p, e *Entry) bool {
	from := v.Edges[e.Edge].From
	if from == experiment.Users {
		return p.Flow >= 0 && p.Edge == e.Edge
	}
	return v.Edges[p.Edge].To == from && (p.Flow < 0 || v.joined.of[from].holds(p.Start))
}

// holds tells whether one of them began at t.
func (c *callers) holds(t time.Duration) bool {
	if c == nil {
		return false
	}
	k := c.before(t)
	return k > 0 && c.start[k-1] == t
}

// findGhosts finds the services that go on with what a caller has given up: by what was
// under way when that caller left, and then was not ended soon.
func (j *joiner) findGhosts() {
	v := j.v
	went := map[*callers]int{}
	for i := range v.Entries {
		e := &v.Entries[i]
		c := j.above[e.Edge]
		if e.Flow >= 0 || c == nil {
			continue
		}
		p := j.exact[i]
		if p >= 0 && len(j.choice[int32(i)]) > 1 {
			continue
		}
		if p < 0 {
			k := c.only(e.Start)
			if k < 0 {
				continue
			}
			p = c.at[k]
		}
		if up := &v.Entries[p]; up.GaveUp() && e.End > up.End+goesOn && e.Start <= up.End+longGhost {
			went[c]++
		}
	}
	for c, n := range went {
		if n >= 2 {
			c.ghosts = true
			c.bound(v)
		}
	}
	for i, open := range j.choice {
		if c := j.above[v.Entries[i].Edge]; c == nil || c.ghosts {
			continue
		}
		// Nobody there goes on: who was given up is out, unless nobody else is left.
		left := slices.DeleteFunc(open, func(p int32) bool {
			up := &v.Entries[p]
			return up.GaveUp() && up.End+noteLag < v.Entries[i].Start
		})
		if len(left) > 0 {
			j.exact[i] = left[0]
		}
		delete(j.choice, i)
	}
}

// children makes Children of Parent.
func (v *View) children() {
	counts := make([]int32, len(v.Entries))
	total := 0
	for _, p := range v.Parent {
		if p >= 0 {
			counts[p]++
			total++
		}
	}
	all := make([]int32, total)
	for i, n := range counts {
		if n > 0 {
			v.Children[i], all = all[:0:n], all[n:]
		}
	}
	for i, p := range v.Parent {
		if p >= 0 {
			v.Children[p] = append(v.Children[p], int32(i))
		}
	}
}
