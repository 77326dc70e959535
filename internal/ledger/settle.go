package ledger

import "math"

// settle decides for the exchanges from lo to hi.
func (p *pool) settle(lo, hi int) {
	links, alone, _ := p.weigh(lo, hi)
	p.order(lo, links, alone)
	next := map[int32]float64{} // how sure it is that they have a successor
	first := make([]float64, hi-lo)
	retry := make([]float64, hi-lo) // the likeliest
	copy(first, alone)
	for k := range links {
		if l := &links[k]; int(l.from) < len(p.at) {
			next[l.from] += l.p
			retry[l.to] = max(retry[l.to], l.p)
		} else {
			first[l.to] += l.p
		}
	}
	for i, sure := range next {
		p.g.prev[p.at[i]].kept = float32(max(0, 1-sure))
	}
	missed := p.missed(lo, first)
	for s, sure := range first {
		sure *= 1 - missed[int((p.started(int32(lo+s))-p.begin)/p.slot)]
		p.g.prev[p.at[lo+s]].sure = float32(sure)
	}
	number := map[int32]int32{}
	kept := links[:0:0]
	for _, l := range links {
		if (int(l.from) < len(p.at)) != (retry[l.to] > first[l.to]) {
			continue // the other is likelier: to be a first attempt, or to be none
		}
		kept = append(kept, l)
	}
	for k := range kept {
		if _, ok := number[kept[k].from]; !ok {
			number[kept[k].from] = int32(len(number))
		}
	}
	who := make([]int32, len(number))
	for w, n := range number {
		who[n] = w
	}
	for k := range kept {
		kept[k].from = number[kept[k].from]
	}
	made := map[[2]int32]float64{} // for whom, whichever of its calls it is
	for k := range kept {
		if l := &kept[k]; int(who[l.from]) >= len(p.at) {
			made[[2]int32{(who[l.from] - int32(len(p.at))) / int32(p.each), l.to}] += l.p
		}
	}
	decide(kept, alone, len(who), func(k int32) {
		l := &kept[k]
		from, j := who[l.from], p.at[lo+int(l.to)]
		if above := int(from) - len(p.at); above >= 0 {
			p.v.Parent[j], p.v.ParentSure[j] = p.above.at[above/p.each], float32(min(1, made[[2]int32{int32(above / p.each), l.to}]))
			return
		}
		p.mine[from] = true
		p.g.prev[j] = before{prev: p.at[from], sure: float32(math.Pow(l.p, doubted)), kept: p.g.prev[j].kept}
		p.g.prev[p.at[from]].kept = 1
	})
}

// missed is, by slot, the share of exchanges that must be retries, as there are more than
// callers want, and were not found to be any.
func (p *pool) missed(lo int, first []float64) []float64 {
	out := make([]float64, len(p.alone))
	if p.usual == 0 || p.orphan == "" || len(p.any) == 0 {
		return out
	}
	n, found := make([]float64, len(out)), make([]float64, len(out))
	for s, sure := range first {
		slot := int((p.started(int32(lo+s)) - p.begin) / p.slot)
		n[slot]++
		found[slot] += 1 - sure
	}
	for s, rate := range p.rates() {
		if n[s] > 0 {
			out[s] = max(0, 1-1.2*p.usual/rate-found[s]/n[s])
		}
	}
	return out
}
