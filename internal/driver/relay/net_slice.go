package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetSlice,
	func(p *fault.Slice) relay.Effect { return slice{*p} },
	func(p *fault.Slice) words {
		w := words{
			touches: flow(p.Direction) + " on %s are cut into pieces of " + p.Size.String(),
			undoes:  "pieces that wait leave at once",
		}
		if p.Variation > 0 {
			w.touches += " ± " + p.Variation.String()
		}
		if p.Delay > 0 {
			w.touches += ", " + p.Delay.String() + " apart"
		}
		return w
	})

// slice cuts chunks into pieces.
type slice struct{ p fault.Slice }

func (slice) Raw() {}

func (e slice) Stage(way relay.Way, _ fault.Unit, r *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	return &knife{size: int(e.p.Size), variation: int(e.p.Variation), delay: e.p.Delay.Std(), r: r}
}

type knife struct {
	size, variation int
	delay           time.Duration
	r               *relay.Rand
	next            time.Time // before which no piece leaves
}

// Pass cuts what it is given; what two chunks hold is not put together.
func (k *knife) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	for data := c.Data; len(data) > 0; {
		n := min(k.length(), len(data))
		due := c.Due
		if due.Before(k.next) {
			due = k.next
		}
		k.next = due.Add(k.delay)
		emit(relay.Chunk{Data: data[:n], Due: due, Free: c.Free, Alone: true})
		data = data[n:]
	}
	if len(c.Data) == 0 || c.End != relay.GoesOn {
		emit(relay.Chunk{Due: c.Due, End: c.End})
	}
}

// length draws the length of a piece.
func (k *knife) length() int {
	if k.variation == 0 {
		return k.size
	}
	return max(1, k.size-k.variation+int(k.r.Float()*(2*float64(k.variation)+1)))
}

// portion is how many pieces may wait: few enough that a queue of small ones,
// each with its own cost, stays small, and enough that the relay, which reads a
// part of the bound at a time, seldom cuts a piece short.
const portion = 512

// Bound is the size of a portion; a read gives a chunk of 64 KiB at most.
func (k *knife) Bound() int { return portion * min(k.size, 8<<10) }

// Rate is that of pieces of the mean size.
func (k *knife) Rate() float64 {
	if k.delay == 0 {
		return float64(fault.MaxRate)
	}
	return float64(k.size) / k.delay.Seconds()
}
