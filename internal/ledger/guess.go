package ledger

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// guess makes the first idea of all that is learned.
func (p *pool) guess() {
	clean := p.clean()
	if p.above == nil {
		p.orphan = "nobody was seen to call " + p.v.Edges[p.v.Entries[p.at[0]].Edge].From
	} else {
		p.guessStart(clean)
	}
	p.guessWaits()
	p.widen()
}

// clean are the exchanges before which nothing had failed for a while: they are first
// attempts. All, if there are hardly any.
func (p *pool) clean() []int32 {
	const quiet = 30 * time.Second
	var all, clean []int32
	stride := max(1, len(p.at)/8000)
	for j := 0; j < len(p.at); j += stride {
		t := p.started(int32(j))
		k := sort.Search(len(p.any), func(x int) bool { return p.ended(p.any[x]) > t+noteLag })
		if k == 0 || p.ended(p.any[k-1]) < t-quiet {
			clean = append(clean, int32(j))
		}
		all = append(all, int32(j))
	}
	if p.pure = len(clean) >= 5; !p.pure {
		return all
	}
	return clean
}

// guessStart makes the first idea of when a caller makes its call, and tells whether it
// makes it for anybody at all.
func (p *pool) guessStart(clean []int32) {
	var start, finish, chance density
	var in, by, isolated float64
	lead := make([]float64, len(p.lead))
	kids := map[int]int{}
	for _, j := range clean {
		t := p.started(j)
		if p.spread(t, &start, lead, &isolated, kids) {
			p.spreadEnd(j, &finish)
			in++
		}
		if p.spread(t+time.Duration(float64(4*time.Second)*(draw(uint64(j))-0.5)), &chance, nil, nil, nil) {
			by++
		}
	}
	n := float64(len(clean))
	in, by = in/n, by/n
	from := p.v.Edges[p.v.Entries[p.at[0]].Edge].From
	switch {
	case n < 8:
	case in < 0.5, by < 0.9 && in-by < 0.5*(1-by):
		p.orphan = fmt.Sprintf("%.0f %% of its exchanges began while nobody had called %s: it makes them by itself", 100*(1-in), from)
		return
	case by >= 0.9 && p.regular(clean) && apart(&start, &chance) < 0.2:
		p.orphan = "its exchanges come at regular times, whoever calls " + from
		return
	}
	p.astray = min(1, 0.005+(1-in)/max(0.05, 1-by))
	p.start.mass = start.mass
	p.start.smooth()
	if p.pure {
		p.usually, p.ending = start, finish
	}
	p.finish.mass = finish.mass
	p.finish.smooth()
	p.later = 1 / p.longestAbove().Seconds()
	p.each = p.callsEach(clean, kids)
	callers := make([]float64, len(p.lead))
	first, last := p.started(clean[0])-time.Second, p.started(clean[len(clean)-1])
	for k, at := range p.above.start {
		if at >= first && at <= last {
			callers[p.routes[k]]++
		}
	}
	scale := float64(max(1, len(p.at)/8000))
	for r := range p.lead {
		p.lead[r] = min(0.95, max(0.02, lead[r]*scale/float64(p.each)/(callers[r]+1)))
	}
}

// spread adds the waits since all whom an exchange at t may have been made for.
func (p *pool) spread(t time.Duration, d *density, lead []float64, isolated *float64, kids map[int]int) bool {
	var ks [mostAbove]int
	n := 0
	p.above.around(t, 8*mostAbove, func(k int) bool {
		ks[n] = k
		n++
		return n < mostAbove
	})
	for _, k := range ks[:n] {
		d.mass[binOf(t-p.above.start[k])] += 1 / float64(n)
		if lead != nil {
			lead[p.routes[k]] += 1 / float64(n)
		}
	}
	if n == 1 && kids != nil {
		*isolated++
		kids[ks[0]]++
	}
	return n > 0
}

// spreadEnd adds the waits to the ends of all whom an exchange may have been made for.
func (p *pool) spreadEnd(j int32, d *density) {
	var waits [mostAbove]time.Duration
	n := 0
	p.above.around(p.started(j), 8*mostAbove, func(k int) bool {
		if end := p.v.Entries[p.above.at[k]].End; end > p.ended(j)-noteLag {
			waits[n] = end - p.ended(j)
			n++
		}
		return n < mostAbove
	})
	for _, w := range waits[:n] {
		d.mass[binOf(w)] += 1 / float64(n)
	}
}

// callsEach is how many calls one caller leads to here.
func (p *pool) callsEach(clean []int32, kids map[int]int) int {
	if !p.pure {
		return 1
	}
	if len(kids) >= 6 && len(p.at) <= 8000 {
		var all []int
		for _, n := range kids {
			all = append(all, n)
		}
		slices.Sort(all)
		return min(4, all[len(all)*3/4])
	}
	n := 0
	first, last := p.started(clean[0])-time.Second, p.started(clean[len(clean)-1])
	for _, at := range p.above.start {
		if at >= first && at <= last {
			n++
		}
	}
	each := float64(len(clean)*max(1, len(p.at)/8000)) / float64(max(1, n))
	return min(4, max(1, int(math.Ceil(each-0.3))))
}

// regular tells whether exchanges come at even distances.
func (p *pool) regular(clean []int32) bool {
	if len(p.at) > 8000 || len(clean) < 10 {
		return false
	}
	var gaps []float64
	for k := 1; k < len(clean); k++ {
		gaps = append(gaps, (p.started(clean[k]) - p.started(clean[k-1])).Seconds())
	}
	slices.Sort(gaps)
	return gaps[len(gaps)*9/10]-gaps[len(gaps)/10] < 0.2*gaps[len(gaps)/2]
}

// apart is how different two densities are, from 0 to 1.
func apart(a, b *density) float64 {
	var x, y, d float64
	for k := range a.mass {
		x, y = x+a.mass[k], y+b.mass[k]
	}
	for k := range a.mass {
		d += math.Abs(a.mass[k]/max(1e-9, x) - b.mass[k]/max(1e-9, y))
	}
	return d / 2
}

// draw is a number from 0 to 1 that depends on nothing but n (splitmix64).
func draw(n uint64) float64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return float64((n^n>>31)>>11) / (1 << 53)
}
