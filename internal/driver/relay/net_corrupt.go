package relay

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetCorrupt,
	func(p *fault.Corrupt) relay.Effect { return corrupt{*p} },
	func(p *fault.Corrupt) words {
		bits := "a bit is"
		if p.Bits > 1 {
			bits = fmt.Sprintf("%d bits are", p.Bits)
		}
		return words{
			touches:  fmt.Sprintf("%s flipped in %.4g%%%% of the datagrams of %s on %%s", bits, float64(p.Rate)*100, flow(p.Direction)),
			emulated: fmt.Sprintf("%s flipped in %.4g%%%% of the segments of %s on %%s (emulated)", bits, float64(p.Rate)*100, flow(p.Direction)),
		}
	})

// corrupt flips bits. It keeps nothing about datagrams, so that it is its own lane.
type corrupt struct{ p fault.Corrupt }

func (corrupt) Raw() {}

func (e corrupt) Lane(way relay.Way) relay.Lane {
	if !along(e.p.Direction, way) {
		return nil
	}
	return e
}

func (e corrupt) Packet(size int, _ time.Time, chance *relay.Rand) (f relay.Fate) {
	if size > 0 && chance.Float() < float64(e.p.Rate) {
		f.Edit = func(b []byte) { flip(b, e.p.Bits, chance) }
	}
	return f
}

// flip flips so many bits, or all, each once.
func flip(b []byte, bits int, r *relay.Rand) {
	total := 8 * len(b)
	// Each of those that are left is taken with the chance of being among those
	// that are wanted still (Knuth, selection sampling): for few bits that would
	// be slow, so they are drawn and drawn again if they were taken.
	if bits*4 >= total {
		for i := range total {
			if r.Float()*float64(total-i) < float64(bits) {
				b[i/8] ^= 1 << (i % 8)
				bits--
			}
		}
		return
	}
	taken := make(map[int]bool, bits)
	for len(taken) < bits {
		if i := int(r.Float() * float64(total)); !taken[i] {
			taken[i] = true
			b[i/8] ^= 1 << (i % 8)
		}
	}
}

func (e corrupt) Stage(way relay.Way, _ fault.Unit, r *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	return &damage{p: e.p, spare: int64(e.p.After), r: r}
}

// damage flips bits in a stream.
type damage struct {
	p     fault.Corrupt
	spare int64 // bytes to be left alone yet
	r     *relay.Rand
}

// Pass takes what it is given as segments; one that spans two chunks counts as two.
func (d *damage) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	rest := c.Data
	if n := min(d.spare, int64(len(rest))); n > 0 {
		d.spare -= n
		rest = rest[n:]
	}
	for len(rest) > 0 {
		n := min(segment, len(rest))
		if d.r.Float() < float64(d.p.Rate) {
			flip(rest[:n], d.p.Bits, d.r)
		}
		rest = rest[n:]
	}
	emit(c)
}
