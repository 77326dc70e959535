package ledger

import (
	"math"
	"time"
)

// ideas is how many first ideas of the waits are tried.
const ideas = 5

// imagine changes the first idea of the waits: it is what stands out among all exchanges,
// or any wait that fits, or any but rather a short one, or what stands out most among
// exchanges of one caller, or the like of that.
func (c *chains) imagine(try int) {
	p := c.p
	if try == 0 {
		return
	}
	var any density
	for b := below; b < binOf(p.longest); b++ {
		any.mass[b] = 1
		if try != 1 {
			any.mass[b] = binWidth[b]
		}
	}
	if try >= 3 {
		most := 1
		if try == 4 {
			most = 4
		}
		found := c.standOut(most)
		if len(found) == 0 {
			return
		}
		var sum float64
		for _, m := range any.mass {
			sum += m
		}
		for _, w := range found {
			lo, hi := binOf(w-3*time.Millisecond), binOf(w+3*time.Millisecond)
			for b := lo; b <= hi; b++ {
				any.mass[b] += 6 * sum / float64(len(found)*(hi-lo+1))
			}
		}
	}
	any.smooth()
	for o := range p.wait {
		p.wait[o] = any
	}
}

// standOut is the waits between exchanges of one caller that are most frequent, against
// those that are nearly as long.
func (c *chains) standOut(most int) []time.Duration {
	const step, wide, side = time.Millisecond, 3, 40
	n := make([]float64, min(10_000, int(c.p.longest/step)+1)+side)
	for x := range c.fams {
		f := &c.fams[x]
		for _, q := range f.pairs {
			gap := c.p.started(f.at[q.b]) - c.p.ended(f.at[q.a])
			if k := int(gap / step); gap >= 0 && k < len(n)-side {
				n[k]++
			}
		}
	}
	var found []time.Duration
	strongest := 0.0
	for len(found) < most {
		best, at := 0.0, -1
		for k := range n[:len(n)-side] {
			var near, around, width float64
			for d := max(0, k-side); d <= k+side; d++ {
				if d >= k-wide && d <= k+wide {
					near += n[d]
				} else {
					around, width = around+n[d], width+1
				}
			}
			chance := around / width * (2*wide + 1)
			if more := near - chance; more > best && more > 4*math.Sqrt(chance+1) {
				best, at = more, k
			}
		}
		if at < 0 || best < 0.3*strongest {
			break
		}
		strongest = max(strongest, best)
		found = append(found, time.Duration(at)*step+step/2)
		clear(n[max(0, at-2*wide) : at+2*wide+1])
	}
	return found
}
