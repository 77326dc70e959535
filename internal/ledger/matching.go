package ledger

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// link says that what a successor is may follow from a predecessor: an attempt from the
// failed one before, the first attempt of a call from the request it was made for.
type link struct {
	from, to int32
	odds     float64 // of the two belonging together against each being alone
	p        float64 // the probability, once it is known
}

// maxOdds bounds what one link can be sure of, so that sums stay exact.
const maxOdds = 1e7

// marginals finds the probability of each link, given that nobody has more than one
// predecessor or successor: belief propagation as in Williams and Lau, "Approximate
// evaluation of marginal association probabilities with belief propagation" (2014). What
// it returns is the probability of each successor to have none of its links.
func marginals(links []link, from, to, rounds int) []float64 {
	down := make([]float64, len(links)) // messages from successors
	given, taken := make([]float64, from), make([]float64, to)
	for k := range down {
		down[k] = 1
	}
	sum := func() {
		clear(given)
		for k := range links {
			given[links[k].from] += links[k].odds * down[k]
		}
	}
	for range rounds {
		sum()
		clear(taken)
		for k := range links {
			l := &links[k]
			l.p = l.odds / (1 + max(0, given[l.from]-l.odds*down[k]))
			taken[l.to] += l.p
		}
		var moved float64
		for k := range links {
			next := 1 / (1 + max(0, taken[links[k].to]-links[k].p))
			moved = max(moved, math.Abs(next-down[k]))
			down[k] = next
		}
		if moved < 1e-3 {
			break
		}
	}
	sum()
	for k := range links {
		links[k].p = links[k].odds * down[k] / (1 + given[links[k].from])
	}
	alone := taken
	for i := range alone {
		alone[i] = 1 / (1 + taken[i])
	}
	// Not exact on graphs with loops: what a successor is must sum to one.
	total := make([]float64, to)
	copy(total, alone)
	for k := range links {
		total[links[k].to] += links[k].p
	}
	for k := range links {
		links[k].p /= total[links[k].to]
	}
	for i := range alone {
		alone[i] /= total[i]
	}
	return alone
}

// decide picks links so that none shares an end with another, the likeliest first, and
// none that is less likely than its successor being alone. It calls take for each.
func decide(links []link, alone []float64, from int, take func(k int32)) {
	order := make([]int32, 0, len(links)/2)
	for k := range links {
		if links[k].p > 0.02 && links[k].p > alone[links[k].to] {
			order = append(order, int32(k))
		}
	}
	slices.SortStableFunc(order, func(x, y int32) int { return cmp.Compare(links[y].p, links[x].p) })
	usedFrom, usedTo := make([]bool, from), make([]bool, len(alone))
	for _, k := range order {
		l := &links[k]
		if usedFrom[l.from] || usedTo[l.to] {
			continue
		}
		usedFrom[l.from], usedTo[l.to] = true, true
		take(k)
	}
}

// Waits are counted in bins that widen with the wait: 0.05 ms at first, 1 % of it later.
// Before them are those of waits below zero, of a millisecond each: ends are noted late.
const (
	binScale = float64(5 * time.Millisecond)
	binStep  = 0.01
	below    = int(noteLag / time.Millisecond)
	bins     = 1110 + below // up to five minutes
)

func binOf(d time.Duration) int {
	if d < 0 {
		return max(0, below-1+int(d/time.Millisecond))
	}
	return min(bins-1, below+int(math.Log1p(float64(d)/binScale)/binStep))
}

// binFrom is where a bin begins.
func binFrom(b int) time.Duration {
	if b < below {
		return time.Duration(b-below) * time.Millisecond
	}
	return time.Duration(binScale * math.Expm1(float64(b-below)*binStep))
}

// binWidth in seconds.
var binWidth = func() (w [bins]float64) {
	for b := range w {
		w[b] = (binFrom(b+1) - binFrom(b)).Seconds()
	}
	return w
}()

// density is how waits are spread.
type density struct {
	mass [bins]float64 // as counted
	at   [bins]float64 // per second, smoothed
}

// smooth makes at of mass: each part of it is spread as far as it takes to have some
// company, and a very little goes everywhere, as what has not been seen is not impossible.
func (d *density) smooth() { d.spreadOver(0.1, 0.01) }

// spreadOver smooths with so much company, as a share of all, and so much everywhere.
func (d *density) spreadOver(share, everywhere float64) {
	var sum [bins + 1]float64
	for b, m := range d.mass {
		sum[b+1] = sum[b] + m
	}
	total := sum[bins]
	company := min(5+share*total, 0.9*total)
	var edges [bins + 1]float64
	for b, m := range d.mass {
		if m <= 0 {
			continue
		}
		h := 1
		for h < bins && sum[min(bins, b+h+1)]-sum[max(0, b-h)] < company {
			h++
		}
		lo, hi := max(0, b-h), min(bins, b+h+1)
		edges[lo] += m / float64(hi-lo)
		edges[hi] -= m / float64(hi-lo)
	}
	level := 0.0
	for b := range d.at {
		level = max(0, level+edges[b])
		d.at[b] = ((1-everywhere)*level/max(1e-9, total) + everywhere/float64(bins)) / binWidth[b]
	}
}

// support is the stretches of waits in which a density is worth looking, the densest
// first; least is per second.
func support(at *[bins]float64, least float64) [][2]time.Duration {
	var out [][2]time.Duration
	under := math.Inf(1)
	for level := slices.Max(at[:]) / 4; len(out) < 64; level /= 4 {
		level = max(level, least)
		open := -1
		for b := 0; b <= bins; b++ {
			in := b < bins && at[b] >= level && at[b] < under
			if in && open < 0 {
				open = b
			}
			if !in && open >= 0 {
				out = append(out, [2]time.Duration{binFrom(open), binFrom(b)})
				open = -1
			}
		}
		if under = level; level <= least {
			break
		}
	}
	return out
}
