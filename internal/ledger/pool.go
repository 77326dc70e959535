package ledger

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Ways in which an attempt ends, as far as a caller may decide by it to try again.
const (
	endGood = iota
	endTimeout
	endReset
	endError
	endRefused
	endBusy // with a Retry-After
	ends
)

// ordinals is how many retries of a call have statistics of their own; later ones share
// the last.
const ordinals = 8

// wait0 is the density of the waits before retries that were asked for by Retry-After.
const wait0 = ordinals

// pool is the exchanges of one edge that are told apart together, and what was learned of
// their caller: how long after a request's start it makes its call, and how often and
// after how long it tries again.
type pool struct {
	g     *grouper
	v     *View
	at    []int32 // entries, in the order of their starts
	key   []uint64
	share []float64 // of its key among the pool
	end   []uint8   // how it ended
	// failed are local numbers, in the order of their ends, by key; those of no key are
	// under 0, and all of them in any.
	failed map[uint64][]int32
	any    []int32
	above  *callers
	routes []uint8 // of above, in lead
	mine   []bool  // failed ones that have a successor, and will have no other

	// Learned.
	lead    []float64 // share of the callers, by route, that lead to a call here
	each    int       // calls that one of them makes here at most
	start   density   // from their start
	finish  density   // from the end of the last attempt to their end
	usually density   // start, while nothing fails
	ending  density   // finish, while nothing fails
	later   float64   // the density of their end, if it was not the last attempt
	again   [ordinals][ends]float64
	wait    [ordinals + 1]density
	alone   []float64     // calls per second that nobody leads to, by slot
	usual   float64       // calls per second while nothing fails; 0 if not known
	longest time.Duration // wait
	slot    time.Duration
	begin   time.Duration
	wide    [][2]time.Duration // waits that are worth looking at
	nth     [][ordinals]float32
	parent  []int32 // in above, the likeliest; -1
	surely  []float32
	pure    bool    // there are exchanges that are first attempts for certain
	astray  float64 // share of exchanges that have no parent while nothing fails
	orphan  string  // why none has a parent
}

func newPool(g *grouper, at []int32) *pool {
	v := g.v
	p := &pool{g: g, v: v, at: at, above: g.joined.above[v.Entries[at[0]].Edge], each: 1}
	n := len(at)
	p.key, p.end, p.share = make([]uint64, n), make([]uint8, n), make([]float64, n)
	p.nth, p.parent, p.surely = make([][ordinals]float32, n), make([]int32, n), make([]float32, n)
	p.failed, p.mine = map[uint64][]int32{}, make([]bool, n)
	counts := map[uint64]int{}
	for j, i := range at {
		e := &v.Entries[i]
		p.key[j], p.end[j], p.parent[j] = e.Key, endOf(e), -1
		p.nth[j][0] = 1
		counts[e.Key]++
	}
	for j := range at {
		p.share[j] = float64(counts[p.key[j]]) / float64(n)
		if p.end[j] != endGood && p.retriable(j) {
			p.any = append(p.any, int32(j))
		}
	}
	slices.SortFunc(p.any, func(x, y int32) int { return int(min(1, max(-1, p.ended(x)-p.ended(y)))) })
	for _, j := range p.any {
		p.failed[p.key[j]] = append(p.failed[p.key[j]], j)
	}
	p.begin = v.Entries[at[0]].Start
	p.slot = max(time.Second, (v.Entries[at[n-1]].Start-p.begin)/2048)
	p.alone = make([]float64, int((v.Entries[at[n-1]].Start-p.begin)/p.slot)+1)
	if p.above != nil {
		p.routesAbove()
	}
	return p
}

// retriable tells whether another attempt may follow it: not on a connection, nor where
// ids have said which.
func (p *pool) retriable(j int) bool {
	e := &p.v.Entries[p.at[j]]
	return e.Route >= 0 && (!keyed(e) || p.g.joined.choice[p.at[j]] != nil)
}

func endOf(e *Entry) uint8 {
	switch {
	case e.GaveUp():
		return endTimeout
	case e.Cut, e.Status == 0:
		return endReset
	case e.RetryAfter > 0 && (e.Failed() || e.Refused()):
		return endBusy
	case e.Failed():
		return endError
	case e.Refused():
		return endRefused
	}
	return endGood
}

func (p *pool) ended(j int32) time.Duration   { return p.v.Entries[p.at[j]].End }
func (p *pool) started(j int32) time.Duration { return p.v.Entries[p.at[j]].Start }

// routesAbove numbers the routes of the callers, the most frequent ones apart.
func (p *pool) routesAbove() {
	p.routes = make([]uint8, len(p.above.at))
	number := map[int64]uint8{}
	for k, i := range p.above.at {
		e := &p.v.Entries[i]
		id := int64(e.Edge)<<34 | int64(e.Route+1)<<1
		if e.Flow >= 0 {
			id = int64(e.Flow)<<1 | 1
		}
		n, ok := number[id]
		if !ok {
			n = uint8(min(len(number), 63))
			number[id] = n
		}
		p.routes[k] = n
	}
	p.lead = make([]float64, min(len(number), 64))
}

// lag is by how much a retry may seem to begin before the attempt before has ended, as
// relays note ends late.
func (p *pool) lag(i int32) time.Duration {
	if p.end[i] == endTimeout || p.end[i] == endReset {
		return noteLag
	}
	return noteLag / 2
}

// limits of what is looked at for one exchange.
const (
	mostAbove  = 32
	mostLinks  = 14
	mostFailed = 24
)

// gather makes the links of the exchanges from lo to hi.
func (p *pool) gather(lo, hi int, links []link) []link {
	for j := lo; j < hi; j++ {
		first := len(links)
		links = p.fromAbove(j, lo, links)
		if key := p.key[j]; key == 0 {
			links = p.fromFailed(j, lo, p.any, links)
		} else {
			links = p.fromFailed(j, lo, p.failed[key], links)
			links = p.fromFailed(j, lo, p.failed[0], links)
		}
		links = likeliest(links, first)
	}
	return links
}

// likeliest drops those links from first on that are of no account beside the others.
func likeliest(links []link, first int) []link {
	here := links[first:]
	if len(here) < 2 {
		return links
	}
	best := 0.0
	for k := range here {
		best = max(best, here[k].odds)
	}
	here = slices.DeleteFunc(here, func(l link) bool { return l.odds < best/500 })
	if len(here) > mostLinks {
		slices.SortFunc(here, func(x, y link) int { return cmp.Compare(y.odds, x.odds) })
		here = here[:mostLinks]
	}
	return links[:first+len(here)]
}

// fromAbove makes the links from those who may have led to an exchange.
func (p *pool) fromAbove(j, lo int, links []link) []link {
	if p.above == nil || p.orphan != "" {
		return links
	}
	t, rest := p.started(int32(j)), p.rest(j)
	choice := p.g.joined.choice[p.at[j]]
	found := 0
	p.above.around(t, 8*mostAbove, func(k int) bool {
		if choice != nil && !slices.Contains(choice, p.above.at[k]) {
			return true
		}
		lead := min(0.98, p.lead[p.routes[k]])
		odds := lead * p.start.at[binOf(t-p.above.start[k])] * p.share[j] / ((1 - lead) * rest) * p.fits(int32(j), int32(k))
		if odds < 1e-4 {
			return true
		}
		for c := range p.each {
			links = append(links, link{int32(len(p.at) + k*p.each + c), int32(j - lo), min(maxOdds, odds/float64(p.each)), 0})
		}
		found++
		return found < mostAbove
	})
	return links
}

// rest is how many calls like this one come per second for nobody who was seen.
func (p *pool) rest(j int) float64 {
	return max(1e-6, p.alone[int((p.started(int32(j))-p.begin)/p.slot)]*p.share[j])
}

// anyWait is all waits that a call may have.
var anyWait = [][2]time.Duration{{-noteLag, longestCall}}

// fromFailed makes the links from failed attempts that an exchange may be the next of.
func (p *pool) fromFailed(j, lo int, failed []int32, links []link) []link {
	t, rest := p.started(int32(j)), p.rest(j)
	upTo := func(end time.Duration) int {
		return sort.Search(len(failed), func(x int) bool { return p.ended(failed[x]) > end })
	}
	wide := p.wide
	if len(failed) <= mostFailed {
		wide = anyWait
	}
	found := 0
	for _, w := range wide {
		for x := upTo(t-w[0]) - 1; x >= 0 && found < mostFailed; x-- {
			i := failed[x]
			if p.ended(i) < t-w[1] {
				break
			}
			if odds := p.odds(i, int32(j), rest); odds > 1e-4 && !p.mine[i] && int(i) != j {
				links = append(links, link{i, int32(j - lo), min(maxOdds, odds), 0})
				found++
			}
		}
	}
	return links
}

// fits is how much better the end of an exchange fits that of a caller than it would by
// chance: callers answer soon after their last attempt.
func (p *pool) fits(j, k int32) float64 {
	up := &p.v.Entries[p.above.at[k]]
	if up.GaveUp() {
		return 1
	}
	var more float64
	for o, n := range p.nth[j] {
		more += float64(n) * p.again[o][p.end[j]]
	}
	fit := (1 - more) * p.finish.at[binOf(up.End-p.ended(j))] / p.later
	if up.End > p.ended(j) {
		fit += more
	}
	return min(1e4, fit)
}

// odds is how much more likely it is that a failed attempt i is followed by j than that
// it is not, and j is a call of its own.
func (p *pool) odds(i, j int32, rest float64) float64 {
	t := p.started(j)
	gap := t - p.ended(i)
	if gap < -p.lag(i) || p.started(i) >= t {
		return 0
	}
	with, without := 1.0, 1.0 // how well it fits those whom they were made for
	if p.above != nil && p.orphan == "" {
		k := p.above.before(p.started(i))
		if k == 0 || p.above.most[k-1] < t {
			return 0
		}
		if q := p.parent[i]; q >= 0 {
			sure := float64(p.surely[i])
			with, without = 1-sure, 1-sure
			if p.above.until[q] >= t {
				with += sure * p.fits(j, q)
			}
			if up := &p.v.Entries[p.above.at[q]]; up.GaveUp() {
				without += sure
			} else {
				without += sure * p.finish.at[binOf(up.End-p.ended(i))] / p.later
			}
		}
	}
	b := binOf(gap)
	var more, next float64
	for o, n := range p.nth[i] {
		if n == 0 {
			continue
		}
		a := float64(n) * p.again[o][p.end[i]]
		more += a
		next += a * p.waitOf(o, i).at[b]
	}
	return max(1e-3, with) * next / (max(0.02, 1-more) * max(1e-3, without) * rest)
}

func (p *pool) waitOf(o int, i int32) *density {
	if p.end[i] == endBusy {
		return &p.wait[wait0]
	}
	return &p.wait[o]
}
