package ledger

import (
	"slices"
	"sort"
)

// Limits of where whole chains of attempts are weighed against each other.
const (
	mostWithin = 60      // exchanges that began while one caller above was at work
	mostPairs  = 600_000 // of exchanges that may follow each other
	mostGain   = 3e4     // by which one attempt makes a chain likelier
	chainFrom  = 5       // failed exchanges, at least
)

// pair says that the exchange b of a family may be the next attempt after a.
type pair struct {
	a, b uint8
	bin  uint16
}

// family is one of those above with the exchanges that it may have made: those that
// began while it was at work. What it made of them is a chain: a first attempt soon
// after its start, others after waits, a last one soon before its end.
type family struct {
	k     int32 // in above
	at    []int32
	pairs []pair // by b
	start []uint16
	end   []uint16
	open  bool      // it was given up: its end tells nothing
	take  []float64 // how far each is free of others
	give  []float64 // how much it is wanted here
	// What was learned makes of it.
	lead []float64           // by how much being the first makes each likelier
	next [][ordinals]float64 // the same of being the next, by pair
	stop [][ordinals]float64 // and of being the last
	none float64             // that nothing was made
}

// chains weighs the chains of all families: each has one or none, and an exchange is in
// one or none. Within a family that is exact, by sums over all paths; between families it
// is belief propagation.
type chains struct {
	p      *pool
	fams   []family
	rest   []float64 // by exchange
	wanted []float64 // sum of give, by exchange
	finish [2]density
	usual  density
	took   density // of the callers: how long they take
	// Of the family at hand, by exchange and ordinal.
	ahead, back [mostWithin][ordinals]float64
	whole       float64
}

// newChains lists the families. There is none if there would be too much to weigh, or if
// callers make several calls each.
func newChains(p *pool) *chains {
	if p.above == nil || p.orphan != "" || p.each != 1 || len(p.any) < chainFrom || sortOf(&p.v.Entries[p.at[0]]) != 0 {
		return nil
	}
	c := &chains{p: p, rest: make([]float64, len(p.at)), wanted: make([]float64, len(p.at))}
	for j := range p.at {
		c.rest[j] = p.rest(j)
	}
	for k, i := range p.above.at {
		c.took.mass[binOf(p.v.Entries[i].End-p.above.start[k])]++
	}
	c.took.smooth()
	total, cut := 0, 0
	for k, start := range p.above.start {
		lo := sort.Search(len(p.at), func(j int) bool { return p.started(int32(j)) >= start })
		f := family{k: int32(k), open: p.v.Entries[p.above.at[k]].GaveUp()}
		for j := lo; j < len(p.at) && p.started(int32(j)) <= p.above.until[k]; j++ {
			if len(f.at) == mostWithin {
				cut++
				break
			}
			f.at = append(f.at, int32(j))
		}
		if len(f.at) == 0 {
			continue
		}
		total += len(f.at) * len(f.at) / 2
		if total > mostPairs || cut > 5+k/50 {
			return nil
		}
		c.fams = append(c.fams, f)
	}
	for k := range c.fams {
		c.fill(&c.fams[k])
	}
	c.usual = p.finish
	c.finish = [2]density{p.finish, p.finish}
	return c
}

// fill finds what may follow what in a family.
func (c *chains) fill(f *family) {
	p := c.p
	begun, over := p.above.start[f.k], p.v.Entries[p.above.at[f.k]].End
	for b, j := range f.at {
		f.start = append(f.start, uint16(binOf(p.started(j)-begun)))
		f.end = append(f.end, uint16(binOf(over-p.ended(j))))
		for a, i := range f.at[:b] {
			gap := p.started(j) - p.ended(i)
			if p.end[i] == endGood || !p.retriable(int(i)) || gap < -p.lag(i) || p.key[i] != p.key[j] && p.key[i] != 0 && p.key[j] != 0 {
				continue
			}
			f.pairs = append(f.pairs, pair{uint8(a), uint8(b), uint16(binOf(gap))})
		}
	}
	f.take, f.give = slices.Repeat([]float64{1}, len(f.at)), make([]float64, len(f.at))
}

// more is the probability that another attempt follows.
func (p *pool) more(o int, j int32) float64 {
	if p.end[j] == endGood {
		return 0
	}
	return p.again[o][p.end[j]]
}

// weigh takes over what was learned.
func (c *chains) weigh(f *family) {
	p := c.p
	lead := min(0.995, p.lead[p.routes[f.k]])
	f.none = 1 - lead
	if took := p.v.Entries[p.above.at[f.k]].End - p.above.start[f.k]; !f.open {
		f.none *= max(1, c.took.at[binOf(took)]/p.later)
	}
	f.lead, f.stop, f.next = make([]float64, len(f.at)), make([][ordinals]float64, len(f.at)), make([][ordinals]float64, len(f.pairs))
	for a, j := range f.at {
		f.lead[a] = lead * min(mostGain, p.start.at[f.start[a]]*p.share[j]/c.rest[j])
		fits := min(mostGain, c.finish[ended(p.end[j])].at[f.end[a]]/p.later)
		if f.end[a] == 0 { // of all that ended long after their caller
			fits = 1e-3
		}
		for o := range ordinals {
			if f.stop[a][o] = 1; !f.open {
				f.stop[a][o] = (1 - p.more(o, j)) * fits
			}
		}
	}
	for k, q := range f.pairs {
		i, j := f.at[q.a], f.at[q.b]
		for o := range ordinals {
			f.next[k][o] = p.more(o, i) * min(mostGain, p.waitOf(o, i).at[q.bin]/c.rest[j])
		}
	}
}

func ended(end uint8) int {
	if end == endGood {
		return 0
	}
	return 1
}

// sum sums over all chains of a family.
func (c *chains) sum(f *family) {
	n := len(f.at)
	for b := range n {
		c.ahead[b] = [ordinals]float64{f.lead[b] * f.take[b]}
	}
	for k, q := range f.pairs {
		for o := range ordinals {
			if v := c.ahead[q.a][o]; v > 0 {
				c.ahead[q.b][min(o+1, ordinals-1)] += v * f.next[k][o] * f.take[q.b]
			}
		}
	}
	c.whole = f.none
	for a := range n {
		for o := range ordinals {
			c.back[a][o] = 0
			if c.ahead[a][o] > 0 {
				c.back[a][o] = f.stop[a][o]
				c.whole += c.ahead[a][o] * c.back[a][o]
			}
		}
	}
	// All that follow b come later in pairs than those that b follows.
	for k := len(f.pairs) - 1; k >= 0; k-- {
		q := f.pairs[k]
		for o := range ordinals {
			if c.ahead[q.a][o] > 0 {
				c.back[q.a][o] += f.next[k][o] * f.take[q.b] * c.back[q.b][min(o+1, ordinals-1)]
			}
		}
	}
}

// through is the sum over the chains that a is in.
func (c *chains) through(a int) float64 {
	var sum float64
	for o, v := range c.ahead[a] {
		sum += v * c.back[a][o]
	}
	return sum
}

// agree lets the families from lo to hi find who has what.
func (c *chains) agree(fams []family, rounds int) {
	for round := range rounds {
		moved := 0.0
		for x := range fams {
			f := &fams[x]
			if round%2 == 1 {
				f = &fams[len(fams)-1-x]
			}
			c.listen(f)
			c.sum(f)
			for a, j := range f.at {
				in := c.through(a)
				give := min(1e9, in/f.take[a]/max(1e-12*c.whole, c.whole-in))
				share := give/(1+give) - f.give[a]/(1+f.give[a])
				moved = max(moved, max(share, -share))
				c.wanted[j] += give - f.give[a]
				f.give[a] = give
			}
		}
		if moved < 1e-3 {
			return
		}
	}
}

// listen takes over how far the exchanges of a family are wanted by others.
func (c *chains) listen(f *family) {
	for a, j := range f.at {
		f.take[a] = 1 / (1 + max(0, c.wanted[j]-f.give[a]))
	}
}

// study is what a round of learning counts.
func (c *chains) study(fams []family) {
	p := c.p
	t := c.lesson()
	for x := range fams {
		f := &fams[x]
		c.listen(f)
		c.sum(f)
		r := p.routes[f.k]
		c.countCaller(t, fams, x)
		t.led[r] += 1 - f.none/c.whole
		for a, j := range f.at {
			t.start.mass[f.start[a]] += c.ahead[a][0] * c.back[a][0] / c.whole
			for o, v := range c.ahead[a] {
				if v == 0 {
					continue
				}
				last := v * f.stop[a][o] / c.whole
				if !f.open {
					t.last[ended(p.end[j])].mass[f.end[a]] += last
					t.ended[o][p.end[j]] += v * c.back[a][o] / c.whole
				} else {
					t.ended[o][p.end[j]] += v*c.back[a][o]/c.whole - last
				}
			}
		}
		for k, q := range f.pairs {
			i := f.at[q.a]
			for o, v := range c.ahead[q.a] {
				if v == 0 {
					continue
				}
				m := v * f.next[k][o] * f.take[q.b] * c.back[q.b][min(o+1, ordinals-1)] / c.whole
				t.more[o][p.end[i]] += m
				if p.end[i] == endBusy {
					t.wait[wait0].mass[q.bin] += m
				} else {
					t.wait[o].mass[q.bin] += m
				}
			}
		}
	}
	c.learn(t)
}

// chainLesson is what is counted of chains.
type chainLesson struct {
	lesson
	last       [2]density // finish
	led, could []float64  // callers, by route
}

func (c *chains) lesson() *chainLesson {
	n := len(c.p.lead)
	return &chainLesson{led: make([]float64, n), could: make([]float64, n)}
}

// countCaller counts a family, and those before it who made nothing for certain.
func (c *chains) countCaller(t *chainLesson, fams []family, x int) {
	t.could[c.p.routes[fams[x].k]]++
	if x == 0 || fams[x].k > fams[x-1].k+200 { // of two samples
		return
	}
	for k := fams[x-1].k + 1; k < fams[x].k; k++ {
		t.could[c.p.routes[k]]++
	}
}

// learn takes over what was counted.
func (c *chains) learn(t *chainLesson) {
	p := c.p
	p.start.mass = t.start.mass
	p.start.trust(&p.usually)
	p.start.smooth()
	for e := range t.last {
		t.last[e].mass[0] = 0
		if e == 0 {
			t.last[e].trust(&p.ending)
		}
		for b, m := range c.usual.mass {
			t.last[e].mass[b] += 0.02 * m
		}
		c.finish[e].mass = t.last[e].mass
		c.finish[e].smooth()
	}
	p.learnWaits(&t.lesson)
	for r := range p.lead {
		if t.could[r] > 0 {
			p.lead[r] = (t.led[r] + 0.5) / (t.could[r] + 1)
		}
	}
}
