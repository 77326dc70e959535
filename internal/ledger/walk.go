package ledger

import (
	"math"
	"math/rand/v2"
	"slices"
)

// How many solutions are looked at, and how much work that may be, in pairs.
const (
	fewWalks, mostWalks = 12, 400
	walkWork            = 12_000_000
	relearned           = 6 // after so many, what is learned is learned anew
)

// walker goes from one solution to others, each as often as it is likely (Metropolis and
// Hastings): belief propagation finds a good solution, but is too sure of it where
// callers overlap.
type walker struct {
	c       *chains
	r       *rand.Rand
	owner   []int32 // family, by exchange; -1
	prev    []int32
	chain   [][]uint8 // of each family
	near    [][]int32 // families that share exchanges with one
	of      map[*family]int32
	decided []int32 // prev of what was decided
	leader  []int32 // owner of what was decided
	// How many solutions have the same first attempts up to an exchange, the same call
	// that ends with it, the same family for it.
	same, whole, led []int32
	seen             int32
	hard             []bool // the last of a call that failed at times
}

func (c *chains) walker() *walker {
	n := len(c.p.at)
	w := &walker{c: c, r: rand.New(rand.NewPCG(1, uint64(n))), owner: slices.Repeat([]int32{-1}, n), prev: slices.Repeat([]int32{-1}, n), chain: make([][]uint8, len(c.fams)), near: make([][]int32, len(c.fams)), of: map[*family]int32{}, same: make([]int32, n), whole: make([]int32, n), led: make([]int32, n)}
	for x := range c.fams {
		w.of[&c.fams[x]] = int32(x)
	}
	return w
}

func (w *walker) put(b path) { w.set(w.of[b.f], b.tries) }

// set gives a family a chain in place of what it had.
func (w *walker) set(x int32, chain []uint8) {
	w.clear(x)
	prev := int32(-1)
	for _, a := range chain {
		j := w.c.fams[x].at[a]
		w.owner[j], w.prev[j] = x, prev
		prev = j
	}
	w.chain[x] = chain
}

func (w *walker) clear(x int32) {
	for _, a := range w.chain[x] {
		j := w.c.fams[x].at[a]
		w.owner[j], w.prev[j] = -1, -1
	}
	w.chain[x] = nil
}

// walk looks at other solutions.
func (w *walker) walk() {
	w.decided, w.leader = slices.Clone(w.prev), slices.Clone(w.owner)
	work := 1
	var open []int32
	for x := range w.c.fams {
		w.neighbours(int32(x))
		if len(w.near[x]) > 0 || len(w.c.fams[x].at) > 1 {
			open = append(open, int32(x))
			work += 3*len(w.c.fams[x].pairs) + 10*len(w.c.fams[x].at)
		}
	}
	rounds := max(fewWalks, min(mostWalks, walkWork/work))
	for round := range rounds {
		if rounds >= 8*relearned && round%relearned == relearned-1 {
			w.relearn()
		}
		for _, x := range open {
			w.step(x)
		}
		if round >= rounds/6 {
			w.count()
		}
	}
}

// relearn learns from the solution at hand: what was learned from the best one alone
// fits that too well.
func (w *walker) relearn() {
	c, p := w.c, w.c.p
	t := c.lesson()
	for x := range c.fams {
		f := &c.fams[x]
		r := p.routes[f.k]
		c.countCaller(t, c.fams, x)
		if len(w.chain[x]) == 0 {
			continue
		}
		t.led[r]++
		for k, a := range w.chain[x] {
			o, j := min(k, ordinals-1), f.at[a]
			e := p.end[j]
			if k == 0 {
				t.start.mass[f.start[a]]++
			}
			if k+1 < len(w.chain[x]) {
				t.ended[o][e]++
				t.more[o][e]++
				d := &t.wait[o]
				if e == endBusy {
					d = &t.wait[wait0]
				}
				d.mass[binOf(p.started(f.at[w.chain[x][k+1]])-p.ended(j))]++
			} else if !f.open {
				t.ended[o][e]++
				t.last[ended(e)].mass[f.end[a]]++
			}
		}
	}
	c.learn(t)
	c.doubt()
	c.weighAll([][]family{c.fams})
}

// neighbours are the families that share exchanges with one.
func (w *walker) neighbours(x int32) {
	f := &w.c.fams[x]
	for _, d := range []int32{-1, 1} {
		for y := x + d; y >= 0 && int(y) < len(w.c.fams) && len(w.near[x]) < 64; y += d {
			g := &w.c.fams[y]
			if g.at[0] > f.at[len(f.at)-1] || d < 0 && x-y > 200 {
				break
			}
			if g.at[len(g.at)-1] >= f.at[0] {
				w.near[x] = append(w.near[x], y)
			}
		}
	}
}

// free says what a family may take: what is nobody's, x's or y's.
func (w *walker) free(f *family, x, y int32) {
	for a, j := range f.at {
		f.take[a] = 0
		if o := w.owner[j]; o < 0 || o == x || o == y {
			f.take[a] = 1
		}
	}
}

// step draws new chains for a family and one near it. The first is drawn from all that
// the two may have, the second from what the first leaves; what the second then has to
// choose from, against before, is how often the step is made.
func (w *walker) step(x int32) {
	y := x
	if n := len(w.near[x]); n > 0 && w.r.IntN(4) > 0 {
		y = w.near[x][w.r.IntN(n)]
	}
	c := w.c
	f, g := &c.fams[x], &c.fams[y]
	mine, others := w.chain[x], w.chain[y]
	if x == y {
		w.free(f, x, x)
		c.sum(f)
		w.set(x, w.draw(f))
		return
	}
	w.clear(y) // of no account for the first
	w.free(g, y, y)
	c.sum(g)
	before := c.whole
	w.free(f, x, y)
	c.sum(f)
	w.set(x, w.draw(f))
	w.free(g, y, y)
	c.sum(g)
	if c.whole >= before*w.r.Float64() {
		w.set(y, w.draw(g))
		return
	}
	w.set(x, mine)
	w.set(y, others)
}

// draw takes a chain of those that were summed.
func (w *walker) draw(f *family) []uint8 {
	c := w.c
	left := w.r.Float64()*c.whole - f.none
	if left < 0 {
		return nil
	}
	at := -1
	for a := range f.at {
		if v := c.ahead[a][0] * c.back[a][0]; v > 0 {
			at = a
			if left -= v; left < 0 {
				break
			}
		}
	}
	if at < 0 {
		return nil
	}
	chain := []uint8{uint8(at)}
	for o := 0; ; o = min(o+1, ordinals-1) {
		left := w.r.Float64()*c.back[at][o] - f.stop[at][o]
		if left < 0 {
			return chain
		}
		n, next := min(o+1, ordinals-1), -1
		for k, q := range f.pairs {
			if int(q.a) != at || f.take[q.b] == 0 {
				continue
			}
			if v := f.next[k][o] * c.back[q.b][n]; v > 0 {
				next = int(q.b)
				if left -= v; left < 0 {
					break
				}
			}
		}
		if next < 0 {
			return chain
		}
		at = next
		chain = append(chain, uint8(at))
	}
}

// count compares a solution with what was decided.
func (w *walker) count() {
	w.seen++
	n := len(w.prev)
	same := make([]bool, n)
	followed := make([]bool, n)
	for j := range w.prev {
		if p := w.prev[j]; p >= 0 {
			followed[p] = true
		}
	}
	for j := range w.prev {
		p := w.prev[j]
		if same[j] = p == w.decided[j] && (p < 0 || same[p]); !same[j] {
			continue
		}
		w.same[j]++
		if !followed[j] {
			w.whole[j]++
		}
		if w.owner[j] == w.leader[j] {
			w.led[j]++
		}
	}
}

// doubt is by how much calls with failures are less sure than the solutions agree: where
// they agree on few, what was learned of the waits is wrong for some of the others too.
func (w *walker) doubt() float32 {
	p := w.c.p
	w.hard = make([]bool, len(p.at))
	failed, followed := make([]bool, len(p.at)), make([]bool, len(p.at))
	for j, i := range w.decided {
		failed[j] = p.end[j] != endGood
		if i >= 0 {
			failed[j] = true
			followed[i] = true
		}
	}
	var sure, n float64
	for j := range w.decided {
		if w.hard[j] = failed[j] && !followed[j]; w.hard[j] {
			sure += w.share(w.whole[j])
			n++
		}
	}
	mean := sure / max(1, n)
	if n == 0 {
		return 1
	}
	return float32(math.Pow(mean, 0.35+0.35*min(1, max(0, (0.7-mean)/0.2)))) // by simulation
}

// share is how likely it is what so many solutions have.
func (w *walker) share(n int32) float64 { return (float64(n) + 0.3) / (float64(w.seen) + 0.6) }
