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
	for try := range ideas {
		use(&first)
		c.forget()
		c.imagine(try)
		for range studies {
			c.weighAll(sample)
			for _, fams := range sample {
				c.agree(fams, agreeing)
			}
			c.study(slices.Concat(sample...))
		}
		worth := 0.0
		c.weighAll(sample)
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
	c.weighAll([][]family{c.fams})
	c.agree(c.fams, agreement)
	c.settle()
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
			at[b][0] = step{f.lead[b] * f.take[b], -1}
		}
	}
	for k, q := range f.pairs {
		if !free(f.at[q.b]) {
			continue
		}
		for o := range ordinals {
			if at[q.a][o].w == 0 {
				continue
			}
			n := min(o+1, ordinals-1)
			if w := at[q.a][o].w * f.next[k][o] * f.take[q.b]; w > at[q.b][n].w {
				at[q.b][n] = step{w, int16(q.a)*ordinals + int16(o)}
			}
		}
	}
	found, last := path{f: f, p: f.none}, int16(-1)
	for a := range f.at {
		for o := range ordinals {
			if w := at[a][o].w * f.stop[a][o]; w > found.p {
				found.p, last = w, int16(a)*ordinals+int16(o)
			}
		}
	}
	found.worth = math.Log(found.p / f.none)
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

// weighAll takes over what was learned.
func (c *chains) weighAll(some [][]family) {
	for _, fams := range some {
		for k := range fams {
			c.weigh(&fams[k])
		}
	}
}

// settle takes over what was decided, and finds how sure that is.
func (c *chains) settle() {
	p := c.p
	w := c.walker()
	c.decide(c.fams, func(b path) {
		w.put(b)
		prev := int32(-1)
		for _, a := range b.tries {
			i := p.at[b.f.at[a]]
			p.g.prev[i].prev = prev
			prev = i
		}
		first := p.at[b.f.at[b.tries[0]]]
		p.v.Parent[first] = p.above.at[b.f.k]
	})
	w.walk()
	doubt := w.doubt()
	for j, i := range p.at {
		before := 1.0
		if q := w.decided[j]; q >= 0 {
			before = w.share(w.same[q])
		}
		p.g.prev[i].sure = float32(min(1, w.share(w.same[j])/max(1e-9, before)))
		p.g.prev[i].kept = float32(min(1, w.share(w.whole[j])/max(1e-9, w.share(w.same[j]))))
		if w.hard[j] {
			p.g.prev[i].kept *= doubt
		}
		if p.v.Parent[i] >= 0 {
			p.v.ParentSure[i] = float32(w.share(w.led[j]))
		}
	}
}
