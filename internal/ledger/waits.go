package ledger

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

// longestGuess is how long a wait before a retry is looked for at first.
const longestGuess = 60 * time.Second

// guessWaits makes the first idea of how long the caller waits before it tries again: by
// the waits that are more frequent from the end of failed attempts than they would be by
// chance.
func (p *pool) guessWaits() {
	var found density
	more := p.guessAlone()
	p.longest = longestGuess
	if n := len(p.any); n > 0 { // longer ones are drowned in how failures come and go
		p.longest = min(p.longest, max(time.Second, (p.ended(p.any[n-1])-p.ended(p.any[0]))/3))
	}
	if p.orphan == "" {
		p.longest = min(p.longest, p.longestAbove())
	}
	var sure density
	if n, ok := p.sureWaits(&sure); ok {
		more, found = n, sure
	} else {
		p.chanceWaits(&found, more)
	}
	found.smooth()
	for o := range p.wait {
		p.wait[o] = found
	}
	for o := range p.again {
		for e := range p.again[o] {
			p.again[o][e] = min(0.9, max(0.05, more))
		}
		p.again[o][endGood] = 0
	}
}

// longestAbove is how long nearly all callers took at most.
func (p *pool) longestAbove() time.Duration {
	var all []time.Duration
	stride := 1 + len(p.above.at)/4000
	for k := 0; k < len(p.above.at); k += stride {
		all = append(all, p.above.until[k]-p.above.start[k])
	}
	slices.Sort(all)
	return all[len(all)*99/100] + 100*time.Millisecond
}

// sureWaits are the waits within a caller that was the only one at both times.
func (p *pool) sureWaits(found *density) (float64, bool) {
	if p.above == nil || p.orphan != "" {
		return 0, false
	}
	pairs, tried := 0.0, 0.0
	last := map[uint64]int32{}
	stride := 1 + len(p.at)/40_000
	for j := range p.at {
		i, ok := last[p.key[j]]
		last[p.key[j]] = int32(j)
		if !ok || p.end[i] == endGood || j/1000%stride != 0 {
			continue
		}
		k := p.above.only(p.started(i))
		if k < 0 {
			continue
		}
		tried++
		if q := p.above.only(p.started(int32(j))); q != k || p.ended(i) > p.started(int32(j))+p.lag(i) {
			continue
		}
		pairs++
		found.mass[binOf(p.started(int32(j))-p.ended(i))]++
	}
	return pairs / max(1, tried), tried >= 20 && pairs >= 10 && 2*pairs >= tried
}

// chanceWaits compares how frequent waits are with others that are nearly as long.
func (p *pool) chanceWaits(found *density, more float64) {
	var seen [bins]float64
	stride := p.waitStride()
	for j := range p.at {
		if j%stride != 0 {
			continue
		}
		list := p.failed[p.key[j]]
		if p.key[j] == 0 {
			list = p.any
		}
		p.addWaits(list, int32(j), p.started(int32(j)), &seen)
	}
	chance := byChance(&seen)
	enough := more * float64(len(p.any)) / float64(stride)
	total := preferred(&seen, &chance, enough, binOf(p.longest), found)
	const octave = 70
	for b := 0; b < bins; b += octave { // what is rare is an accident
		var had float64
		for k := b; k < min(bins, b+octave); k++ {
			had += found.mass[k]
		}
		if had < 0.1*float64(len(p.any))/float64(stride) {
			clear(found.mass[b:min(bins, b+octave)])
			total -= had
		}
	}
	if total < 5 || total < 0.05*float64(len(p.any))/float64(stride) {
		for b := below; b < binOf(min(10*time.Second, p.longest)); b++ {
			found.mass[b]++
		}
	}
}

// preferred puts those waits into found that stand out most from what they would be by
// chance, until there are enough, and returns how many there are; last is the longest.
func preferred(seen, chance *[bins]float64, enough float64, last int, found *density) float64 {
	type stretch struct {
		from, to int
		ratio    float64
	}
	var all []stretch
	for _, wide := range []int{3, 12, 48} {
		for b := below; b+wide <= last; b += max(1, wide/4) {
			var s, c float64
			for k := b; k < b+wide; k++ {
				s, c = s+seen[k], c+chance[k]
			}
			if s-c > 4*math.Sqrt(c+1) {
				all = append(all, stretch{b, b + wide, (s - 3*math.Sqrt(s)) / (c + 0.1*enough + 1)})
			}
		}
	}
	slices.SortFunc(all, func(x, y stretch) int { return cmp.Compare(y.ratio, x.ratio) })
	total := 0.0
	for _, st := range all {
		if st.ratio < 1.1 || total >= enough {
			break
		}
		for k := st.from; k < st.to; k++ {
			if found.mass[k] == 0 && seen[k] > chance[k] {
				found.mass[k] = seen[k] - chance[k]
				total += found.mass[k]
			}
		}
	}
	return total
}

// byChance is how many waits a bin would have if no waits were preferred: as many as most
// of those a little shorter and a little longer.
func byChance(seen *[bins]float64) (chance [bins]float64) {
	const group = 4
	var piles []pile
	for b := 0; b+group <= bins; b += group {
		var n, w float64
		for k := b; k < b+group; k++ {
			n, w = n+seen[k], w+binWidth[k]
		}
		piles = append(piles, pile{n / w, w})
	}
	for b := below; b < bins; b++ {
		at := binFrom(b)
		reach := max(30*time.Millisecond, min(2*time.Second, at))
		side := func(from, to int) float64 {
			return mostly(piles[max(0, min(from, len(piles)-1)):max(1, min(to+1, len(piles)))])
		}
		chance[b] = (side(max(below, binOf(at-reach))/group, b/group) + side(b/group, binOf(at+reach)/group)) / 2 * binWidth[b]
	}
	return chance
}

// pile is some bins together.
type pile struct{ rate, width float64 }

// mostly is the rate of the piles but for the half with the highest.
func mostly(some []pile) float64 {
	near := slices.Clone(some)
	slices.SortFunc(near, func(x, y pile) int { return cmp.Compare(x.rate, y.rate) })
	var width, n, w float64
	for _, q := range near {
		width += q.width
	}
	for _, q := range near {
		if w > 0 && w+q.width > 0.5*width {
			break
		}
		n, w = n+q.rate*q.width, w+q.width
	}
	return n / max(1e-12, w)
}

// demand is how many calls per second there are while nothing fails; 0 if that is not
// known.
func (p *pool) demand() float64 {
	const quiet = 10 * time.Second
	failing := make([]bool, len(p.alone))
	for _, j := range p.any {
		from := int((p.ended(j) - p.begin) / p.slot)
		for s := int((p.started(j) - p.begin) / p.slot); s <= from+int(quiet/p.slot); s++ {
			if s >= 0 && s < len(failing) {
				failing[s] = true
			}
		}
	}
	n := make([]int, len(p.alone))
	for j := range p.at {
		n[int((p.started(int32(j))-p.begin)/p.slot)]++
	}
	var exchanges, slots int
	for s := 0; s+1 < len(n); s++ { // the last one is not whole
		if !failing[s] {
			exchanges, slots = exchanges+n[s], slots+1
		}
	}
	if slots < 2 || exchanges < 10 {
		return 0
	}
	return float64(exchanges) / (float64(slots) * p.slot.Seconds())
}

// guessAlone makes the first idea of how many calls per second nobody leads to, and of
// the share of failed attempts that are followed by another.
func (p *pool) guessAlone() float64 {
	rate := p.rates()
	p.usual = p.demand()
	var extra float64
	for s, r := range rate {
		p.alone[s] = 0.5 * r
		if p.usual > 0 {
			p.alone[s] = max(0.05*r, min(r, p.usual))
			extra += max(0, r-p.usual) * p.slot.Seconds()
		}
		if p.orphan == "" {
			p.alone[s] *= min(0.05, p.astray)
		}
	}
	if p.usual == 0 {
		return 0.5
	}
	return min(0.9, max(0.02, extra/float64(max(1, len(p.any)))))
}

// addWaits counts the waits from the ends of failed attempts up to t.
func (p *pool) addWaits(failed []int32, j int32, t time.Duration, to *[bins]float64) {
	x := sort.Search(len(failed), func(x int) bool { return p.ended(failed[x]) > t+noteLag/2 })
	for x--; x >= 0; x-- {
		gap := t - p.ended(failed[x])
		if gap > 2*p.longest+5*time.Second {
			return
		}
		if failed[x] != j {
			to[binOf(gap)]++
		}
	}
}

// waitStride bounds how many waits are counted.
func (p *pool) waitStride() int {
	const most = 4e6
	span := p.started(int32(len(p.at)-1)) - p.begin + time.Second
	each := float64(len(p.any)) * min(1, float64(2*p.longest+5*time.Second)/float64(span))
	return max(1, int(math.Ceil(2*each*float64(len(p.at))/most)))
}
