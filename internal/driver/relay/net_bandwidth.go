package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetBandwidth,
	func(p *fault.Bandwidth) relay.Effect { return bandwidth{*p} },
	func(p *fault.Bandwidth) words {
		return words{
			touches: flow(p.Direction) + " on %s pass at " + p.Rate.String() + " at most",
			undoes:  "bytes that wait leave at once",
		}
	})

// bandwidth gives chunks the due times of a line of that rate.
type bandwidth struct{ p fault.Bandwidth }

func (b bandwidth) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(b.p.Direction, way) {
		return nil
	}
	return &line{rate: float64(b.p.Rate)}
}

// grain is how much of a second's bytes go in one piece.
const grain = 10 * time.Millisecond

type line struct {
	rate float64   // bytes per second
	free time.Time // when the line has sent what it was given
}

// Pass sends what it is given piece by piece: a piece is due when its last byte
// has passed the line.
func (l *line) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if l.free.Before(c.Due) {
		l.free = c.Due
	}
	piece := max(1, int(l.rate*grain.Seconds()))
	for len(c.Data) > piece {
		emit(relay.Chunk{Data: c.Data[:piece], Due: l.send(piece)})
		c.Data = c.Data[piece:]
	}
	c.Due = l.send(len(c.Data))
	emit(c)
}

func (l *line) send(n int) time.Time {
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free
}

// Bound lets a fifth of a second wait, so that the sender feels the limit.
func (l *line) Bound() int { return int(min(max(l.rate/5, 512), 4<<20)) }

// Rate is the line's, in bytes per second.
func (l *line) Rate() float64 { return l.rate }
