package ledger

import (
	"container/heap"
	"math"
	"slices"
)

// How often chains are learned from, and how long families may take to agree.
const (
	studies   = 16
	agreeing  = 3  // rounds while learning
	agreement = 40 // rounds in the end
)

// solve learns how the caller behaves and decides which exchanges are a chain. It learns
// from several first ideas, and believes the one that explains most.
func (c *chains) solve() {
	p := c.p
	sample := c.sample()
	type idea struct {
		start, finish density
		ends          [2]density
		wait          [ordinals + 1]density
		again         [ordinals][ends]float64
		lead          []float64
	}
	keep := func() idea {
		return idea{p.start, p.finish, c.finish, p.wait, p.again, slices.Clone(p.lead)}
	}
	use := func(d *idea) {
		p.start, p.finish, c.finish, p.wait, p.again = d.start, d.finish, d.ends, d.wait, d.again
		copy(p.lead, d.lead)
	}
	first := keep()
	var best idea
	most := math.Inf(-1)
	for try := range 3 {
		use(&first)
		c.forget()
		c.imagine(try)
		for range studies {
			for _, fams := range sample {
				c.agree(fams, agreeing)
			}
			c.study(slices.Concat(sample...))
		}
		worth := 0.0
		for _, fams := range sample {
			worth += c.decide(fams, nil)
		}
		if worth > most {
			best, most = keep(), worth
		}
	}
	use(&best)
	c.doubt()
	c.forget()
	c.agree(c.fams, agreement)
	c.settle()
}

// imagine changes the first idea of the waits: as it is found by what stands out, any
// that fit, and short ones.
func (c *chains) imagine(try int) {
	p := c.p
	if try == 0 {
		return
	}
	var any density
	for b := below; b < binOf(p.longest); b++ {
		any.mass[b] = 1
		if try == 2 {
			any.mass[b] = binWidth[b]
		}
	}
	any.smooth()
	for o := range p.wait {
		p.wait[o] = any
	}
}

// doubt takes back some of what was learned.
func (c *chains) doubt() {
	c.p.doubt()
	for e := range c.finish {
		c.finish[e].spreadOver(0.3, 0.05)
	}
}

// forget makes the families begin anew.
func (c *chains) forget() {
	clear(c.wanted)
	for k := range c.fams {
		clear(c.fams[k].give)
	}
}

// sample is the families that are learned from: all, or some spread over the run.
func (c *chains) sample() [][]family {
	const most = 1200
	if len(c.fams) <= most {
		return [][]family{c.fams}
	}
	var all [][]family
	for b := range learnBlocks {
		lo := (len(c.fams) - most/learnBlocks) * b / (learnBlocks - 1)
		all = append(all, c.fams[lo:lo+most/learnBlocks])
	}
	return all
}

// path is the likeliest chain of a family.
type path struct {
	f     *family
	tries []uint8
	p     float64 // of all its chains
	worth float64 // its logarithm, against none
}

// best finds the likeliest chain of a family among those exchanges that are free.
func (c *chains) best(f *family, free func(j int32) bool) path {
	type step struct {
		w    float64
		from int16
	}
	var at [mostWithin][ordinals]step
	for b, j := range f.at {
		if free(j) {
			at[b][0] = step{c.leads(f, b) * f.take[b], -1}
		}
	}
	for _, q := range f.pairs {
		if !free(f.at[q.b]) {
			continue
		}
		for o := range ordinals {
			if at[q.a][o].w == 0 {
				continue
			}
			n := min(o+1, ordinals-1)
			if w := at[q.a][o].w * c.goesOn(f, q, o) * f.take[q.b]; w > at[q.b][n].w {
				at[q.b][n] = step{w, int16(q.a)*ordinals + int16(o)}
			}
		}
	}
	found, last := path{f: f, p: 1 - min(0.995, c.p.lead[c.p.routes[f.k]])}, int16(-1)
	none := found.p
	for a := range f.at {
		for o := range ordinals {
			if w := at[a][o].w * c.stops(f, a, o); w > found.p {
				found.p, last = w, int16(a)*ordinals+int16(o)
			}
		}
	}
	found.worth = math.Log(found.p / none)
	for ; last >= 0; last = at[last/ordinals][last%ordinals].from {
		found.tries = append(found.tries, uint8(last/ordinals))
		found.worth -= math.Log(f.take[last/ordinals])
	}
	slices.Reverse(found.tries)
	return found
}

// paths are the likeliest first.
type paths []path

func (h paths) Len() int           { return len(h) }
func (h paths) Less(i, j int) bool { return h[i].p > h[j].p }
func (h paths) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *paths) Push(x any)        { *h = append(*h, x.(path)) }
func (h *paths) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// decide gives each family its likeliest chain of what is left, the likeliest first, and
// returns what all are worth.
func (c *chains) decide(fams []family, take func(path)) float64 {
	var left paths
	used := map[int32]bool{}
	free := func(j int32) bool { return !used[j] }
	push := func(f *family) {
		c.listen(f)
		c.sum(f)
		b := c.best(f, free)
		b.p = min(1, b.p/c.whole)
		if len(b.tries) > 0 {
			left = append(left, b)
		}
	}
	for x := range fams {
		push(&fams[x])
	}
	heap.Init(&left)
	worth := 0.0
	for len(left) > 0 {
		b := heap.Pop(&left).(path)
		if slices.ContainsFunc(b.tries, func(a uint8) bool { return used[b.f.at[a]] }) {
			n := len(left)
			push(b.f)
			if len(left) > n {
				heap.Fix(&left, n)
			}
			continue
		}
		for _, a := range b.tries {
			used[b.f.at[a]] = true
		}
		worth += b.worth
		if take != nil {
			take(b)
		}
	}
	return worth
}

// settle takes over what was decided.
func (c *chains) settle() {
	p := c.p
	for j, i := range p.at {
		p.g.prev[i].sure = float32(1 / (1 + c.wanted[j]))
	}
	c.decide(c.fams, func(b path) {
		c.listen(b.f)
		c.sum(b.f)
		parent := 0.0
		before := 1.0
		w := 1.0
		prev := int32(-1)
		for o, a := range b.tries {
			n := min(o, ordinals-1)
			if o == 0 {
				w = c.leads(b.f, int(a)) * b.f.take[a]
			} else {
				k, _ := slices.BinarySearchFunc(b.f.pairs, [2]uint8{b.tries[o-1], a}, func(q pair, to [2]uint8) int {
					if q.b != to[1] {
						return int(q.b) - int(to[1])
					}
					return int(q.a) - int(to[0])
				})
				w *= c.goesOn(b.f, b.f.pairs[k], min(o-1, ordinals-1)) * b.f.take[a]
			}
			sure := min(before, w*c.back[a][n]/c.whole) // that the chain has these first ones
			i := p.at[b.f.at[a]]
			p.g.prev[i].prev, p.g.prev[i].sure = prev, float32(sure/max(1e-9, before))
			if o == 0 {
				parent = sure
			}
			before, prev = sure, i
		}
		p.g.prev[prev].kept = float32(min(1, b.p/max(1e-9, before)))
		first := p.at[b.f.at[b.tries[0]]]
		p.v.Parent[first], p.v.ParentSure[first] = p.above.at[b.f.k], float32(parent)
	})
}
