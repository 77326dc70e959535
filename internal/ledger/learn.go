package ledger

import (
	"slices"
)

// How much is looked at while learning, and how often.
const (
	learnFrom   = 6_000 // exchanges, in blocks
	learnBlocks = 6
	learnRounds = 10
	chunk       = 16_000 // exchanges that are decided on at a time
	beliefs     = 10     // rounds of belief propagation
	doubted     = 1.6    // the power to which a link is trusted: marginals are too sure of themselves
)

// solve learns how the caller behaves and decides which exchange follows which.
func (p *pool) solve() {
	p.guess()
	if c := newChains(p); c != nil {
		c.solve()
		return
	}
	blocks := p.blocks()
	for range min(3*learnRounds, max(learnRounds, 20_000/len(p.at))) {
		t := lesson{alone: make([]float64, len(p.alone)), seen: make([]float64, len(p.alone))}
		for _, b := range blocks {
			links, alone, _ := p.weigh(b[0], b[1])
			p.order(b[0], links, alone)
			p.count(&t, b[0], links, alone)
		}
		p.learn(&t)
	}
	p.doubt()
	for j := range p.nth {
		p.nth[j] = [ordinals]float32{1}
		p.parent[j], p.surely[j] = -1, 0
	}
	for lo := 0; lo < len(p.at); lo += chunk {
		p.settle(lo, min(lo+chunk, len(p.at)))
	}
	if p.orphan != "" {
		p.v.Alone[p.v.Entries[p.at[0]].Edge] = p.orphan
	}
}

// doubt takes back some of what was learned: it fits what it was learned from better than
// it should.
func (p *pool) doubt() {
	for o := range p.wait {
		p.wait[o].spreadOver(0.3, 0.1)
	}
	p.start.spreadOver(0.3, 0.05)
	p.finish.spreadOver(0.3, 0.05)
	for o := range p.again {
		for e := range p.again[o] {
			p.again[o][e] = min(0.97, max(0.03, p.again[o][e]))
		}
	}
	p.widen()
}

// blocks are the stretches that are learned from: all, or some spread over the run.
func (p *pool) blocks() [][2]int {
	n := len(p.at)
	if n <= learnFrom {
		return [][2]int{{0, n}}
	}
	var all [][2]int
	for b := range learnBlocks {
		lo := (n - learnFrom/learnBlocks) * b / (learnBlocks - 1)
		all = append(all, [2]int{lo, lo + learnFrom/learnBlocks})
	}
	return all
}

// weigh finds the probabilities of the links of the exchanges from lo to hi. Whoever
// comes first in a link is numbered anew; who is their number.
func (p *pool) weigh(lo, hi int) (links []link, alone []float64, who []int32) {
	links = p.gather(lo, hi, make([]link, 0, 4*(hi-lo)))
	number := map[int32]int32{}
	for k := range links {
		n, ok := number[links[k].from]
		if !ok {
			n = int32(len(who))
			number[links[k].from] = n
			who = append(who, links[k].from)
		}
		links[k].from = n
	}
	alone = marginals(links, len(who), hi-lo, beliefs)
	for k := range links {
		links[k].from = who[links[k].from]
	}
	return links, alone, who
}

// order finds, from the first to the last, which attempt of its call each exchange is,
// and who it was made for.
func (p *pool) order(lo int, links []link, alone []float64) {
	k := 0
	for s := range alone {
		j := lo + s
		var nth [ordinals]float32
		nth[0] = float32(alone[s])
		best, parent, surely := 0.0, int32(-1), float32(0)
		for ; k < len(links) && int(links[k].to) == s; k++ {
			l := &links[k]
			if above := int(l.from) - len(p.at); above >= 0 {
				nth[0] += float32(l.p)
				if l.p > best {
					best, parent, surely = l.p, int32(above/p.each), float32(l.p)
				}
				continue
			}
			for o, n := range p.nth[l.from] {
				nth[min(o+1, ordinals-1)] += n * float32(l.p)
			}
			if l.p > best {
				best, parent, surely = l.p, p.parent[l.from], float32(l.p)*p.surely[l.from]
			}
		}
		p.nth[j], p.parent[j], p.surely[j] = nth, parent, surely
	}
}

// lesson is what one round of learning counts.
type lesson struct {
	start       density
	finish      density
	lead        [64]float64
	wait        [ordinals + 1]density
	more, ended [ordinals][ends]float64
	alone, seen []float64
}

// count adds a block to a lesson.
func (p *pool) count(t *lesson, lo int, links []link, alone []float64) {
	for k := range links {
		l := &links[k]
		at := p.started(int32(lo) + l.to)
		if above := int(l.from) - len(p.at); above >= 0 {
			q := above / p.each
			t.start.mass[binOf(at-p.above.start[q])] += l.p
			t.lead[p.routes[q]] += l.p
			continue
		}
		i, b := l.from, binOf(at-p.ended(l.from))
		var each [ordinals]float64
		var sum float64
		for o, n := range p.nth[i] {
			each[o] = float64(n) * p.again[o][p.end[i]] * p.waitOf(o, i).at[b]
			sum += each[o]
		}
		if sum == 0 {
			continue
		}
		for o := range each {
			m := l.p * each[o] / sum
			t.more[o][p.end[i]] += m
			if p.end[i] == endBusy {
				t.wait[wait0].mass[b] += m
			} else {
				t.wait[o].mass[b] += m
			}
		}
	}
	followed := make(map[int32]float64, len(links)/2)
	for k := range links {
		if int(links[k].from) < len(p.at) {
			followed[links[k].from] += links[k].p
		}
	}
	for s := range alone {
		j := lo + s
		if q := p.parent[j]; q >= 0 {
			if up := &p.v.Entries[p.above.at[q]]; !up.GaveUp() {
				t.finish.mass[binOf(up.End-p.ended(int32(j)))] += float64(p.surely[j]) * max(0, 1-followed[int32(j)])
			}
		}
		slot := int((p.started(int32(j)) - p.begin) / p.slot)
		t.alone[slot] += alone[s]
		t.seen[slot]++
		if p.end[j] != endGood {
			for o, n := range p.nth[j] {
				t.ended[o][p.end[j]] += float64(n)
			}
		}
	}
}

// learn takes over what was counted.
func (p *pool) learn(t *lesson) {
	if p.lead != nil && p.orphan == "" {
		p.start.mass = t.start.mass
		p.start.trust(&p.usually)
		p.start.smooth()
		p.finish.mass = t.finish.mass
		p.finish.trust(&p.ending)
		p.finish.smooth()
		callers := p.callersSeen(t)
		for r := range p.lead {
			p.lead[r] = (t.lead[r]/float64(p.each) + 0.01) / (max(callers[r], t.lead[r]/float64(p.each)) + 0.5)
		}
	}
	p.learnWaits(t)
	p.learnAlone(t)
	p.widen()
}

// learnWaits takes over how often another attempt came, and how long after.
func (p *pool) learnWaits(t *lesson) {
	for o := range p.wait {
		var total float64
		for _, m := range t.wait[o].mass {
			total += m
		}
		p.wait[o].mass = t.wait[o].mass
		if total < 20 && o > 0 && o < ordinals { // too few for a shape of their own
			for b, m := range p.wait[o-1].mass {
				p.wait[o].mass[b] += m * 0.05
			}
		}
		p.wait[o].smooth()
	}
	for o := range p.again {
		for e := range p.again[o] {
			p.again[o][e] = min(0.995, (t.more[o][e]+0.02)/(t.ended[o][e]+0.2))
		}
	}
}

// trust mixes in what was seen while nothing failed: two parts of that, one of what was
// learned, as long as there was any.
func (d *density) trust(usually *density) {
	var learned, seen float64
	for b := range d.mass {
		learned, seen = learned+d.mass[b], seen+usually.mass[b]
	}
	if seen == 0 {
		return
	}
	for b := range d.mass {
		d.mass[b] = d.mass[b]/3 + usually.mass[b]/seen*learned*2/3
	}
}

// callersSeen counts who might have led to the exchanges of the blocks, by route.
func (p *pool) callersSeen(t *lesson) []float64 {
	seen := make([]float64, len(p.lead))
	for k, at := range p.above.start {
		if slot := int((at - p.begin) / p.slot); at >= p.begin && slot < len(t.seen) && t.seen[slot] > 0 {
			seen[p.routes[k]]++
		}
	}
	if len(p.at) > learnFrom { // the blocks hold a part of what the slots do
		part := float64(learnFrom) / float64(len(p.at))
		for r := range seen {
			seen[r] = max(seen[r]*part, t.lead[r]/float64(p.each))
		}
	}
	return seen
}

// learnAlone takes over how many calls per second nobody leads to.
func (p *pool) learnAlone(t *lesson) {
	var alone, seen float64
	for s := range t.alone {
		alone += t.alone[s]
		seen += t.seen[s]
	}
	least := 0.02
	if p.lead != nil && p.orphan == "" {
		least = 0.002
	}
	usual := max(least, alone/max(1, seen))
	rate := p.rates()
	for s := range p.alone {
		var a, n float64
		for d := -1; d <= 1; d++ {
			if q := s + d; q >= 0 && q < len(t.alone) {
				w := float64(2 - d*d)
				a, n = a+w*t.alone[q], n+w*t.seen[q]
			}
		}
		share := (a + 2*usual) / (n + 2)
		if p.usual > 0 && least == 0.02 {
			share = (2*share + min(1, p.usual/rate[s])) / 3 // callers want what they wanted before
		}
		if p.orphan == "" {
			share = min(share, p.astray)
		}
		p.alone[s] = max(least, share) * rate[s]
	}
}

// rates are the exchanges per second, by slot, evened out a little.
func (p *pool) rates() []float64 {
	n := make([]float64, len(p.alone))
	for j := range p.at {
		n[int((p.started(int32(j))-p.begin)/p.slot)]++
	}
	out := make([]float64, len(n))
	for s := range n {
		var sum, w float64
		for d := -1; d <= 1; d++ {
			if q := s + d; q >= 0 && q < len(n) {
				sum, w = sum+n[q], w+1
			}
		}
		out[s] = max(0.2, sum/w) / p.slot.Seconds()
	}
	return out
}

// widen says which waits are worth looking at.
func (p *pool) widen() {
	var best [bins]float64
	for o := range p.wait {
		var more float64
		if o < ordinals {
			more = slices.Max(p.again[o][:])
		} else {
			for q := range p.again {
				more = max(more, p.again[q][endBusy])
			}
		}
		for b, at := range p.wait[o].at {
			best[b] = max(best[b], more*at)
		}
	}
	var rest float64
	for _, a := range p.alone {
		rest += a / float64(len(p.alone))
	}
	p.wide = support(&best, max(1e-9, 3e-3*rest))
}
