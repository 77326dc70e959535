package relay

import (
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetBandwidth,
	func(p *fault.Bandwidth) relay.Effect { return newBandwidth(*p) },
	func(p *fault.Bandwidth) words {
		w := words{
			touches: flow(p.Direction) + " on %s pass at " + p.Rate.String() + " at most",
			undoes:  "bytes that wait leave at once",
		}
		if p.Scope == fault.PerEdge {
			w.touches += " in all"
		}
		w.datagrams = &words{touches: w.touches, undoes: "datagrams that wait leave at once"}
		return w
	})

// bandwidth gives chunks the due times of a line of that rate: each way of each
// unit has one of its own, or all share one for each way.
type bandwidth struct {
	p      fault.Bandwidth
	shared [2]*line // by way; nil without
}

func newBandwidth(p fault.Bandwidth) relay.Effect {
	b := bandwidth{p: p}
	if p.Scope == fault.PerEdge {
		b.shared = [2]*line{newLine(p.Rate), newLine(p.Rate)}
	}
	return b
}

func (b bandwidth) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(b.p.Direction, way) {
		return nil
	}
	l := b.shared[way]
	if l == nil {
		l = newLine(b.p.Rate)
	}
	return &pace{line: l}
}

// Lane has datagrams wait for their turn on the same line.
func (b bandwidth) Lane(way relay.Way) relay.Lane {
	if !along(b.p.Direction, way) {
		return nil
	}
	l := b.shared[way]
	if l == nil {
		l = newLine(b.p.Rate)
	}
	most := time.Duration(float64(b.p.Queue) / l.rate * float64(time.Second))
	if b.p.Queue == 0 {
		most = max(ahead, time.Duration(leastQueue/l.rate*float64(time.Second)))
	}
	return &tail{line: l, of: &pace{line: l}, most: most}
}

// leastQueue is how many bytes of datagrams may wait where nothing else is asked for,
// however slow the line is.
const leastQueue = 16 << 10

// tail drops datagrams that would have to wait for too long.
type tail struct {
	line *line
	of   *pace
	most time.Duration
}

func (t *tail) Packet(size int, came time.Time, _ *relay.Rand) relay.Fate {
	if size == 0 {
		return relay.Fate{}
	}
	if t.line.wait(came) > t.most {
		return relay.Fate{Drop: true}
	}
	since, sent := t.line.take(t.of, size, came)
	return relay.Fate{Delay: t.line.over(since, sent+int64(size)).Sub(came)}
}

// pace sends the bytes of one way of one unit over a line.
type pace struct {
	line    *line
	pending int // turns on the line that are not over; guarded by line.mu
}

// Pass sends what it is given piece by piece: a piece is due when its last byte
// has passed the line. What shares the line goes in the order of its chunks.
func (s *pace) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if len(c.Data) == 0 {
		emit(c)
		return
	}
	l := s.line
	since, sent := l.take(s, len(c.Data), c.Due)
	pass := func(n int) {
		sent += int64(n)
		emit(relay.Chunk{Data: c.Data[:n], Due: l.over(since, sent), Free: c.Free})
		c.Data = c.Data[n:]
	}
	for len(c.Data) > l.piece {
		pass(l.piece)
	}
	end := c.End
	c.End = relay.GoesOn
	pass(len(c.Data))
	if end != relay.GoesOn {
		emit(relay.Chunk{Due: l.over(since, sent), End: end})
	}
}

const (
	// ahead is how much of the line's time may wait, so that it never runs dry
	// while the relay is busy elsewhere, and the sender feels the limit all the
	// same.
	ahead = 100 * time.Millisecond
	// grain is the time that a piece takes; on a slow line, where that would be
	// less than a packet, it is up to longest.
	grain, longest = 2 * time.Millisecond, 50 * time.Millisecond
	packet         = 512
)

// Bound is the unit's part of what may wait.
func (s *pace) Bound() int {
	return int(min(max(s.line.part(s)*ahead.Seconds(), 512), 8<<20))
}

// Rate is the unit's part of the line's, in bytes per second.
func (s *pace) Rate() float64 { return s.line.part(s) }

// line is a wire of one rate. Time in which it was idle is lost.
type line struct {
	rate  float64 // bytes per second
	piece int     // bytes that are sent at a time

	mu    sync.Mutex
	since time.Time // when it was idle last
	sent  int64     // bytes that it was given since
	turns []turn    // that are not over, in order
	units int       // that have any of those
}

// turn is a chunk on the line.
type turn struct {
	of   *pace
	over time.Time
}

func newLine(r fault.Rate) *line {
	rate := float64(r)
	return &line{rate: rate, piece: int(max(1, rate*grain.Seconds(), min(packet, rate*longest.Seconds())))}
}

// take gives the line n bytes that came at a time. They begin to pass when sent
// bytes have since a moment. The moment changes only when the line was idle, so
// that no rounding adds up.
func (l *line) take(s *pace, n int, came time.Time) (since time.Time, sent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := l.over(l.since, l.sent)
	if free.Before(came) {
		l.since, l.sent = came, 0
	} else if free.Sub(l.since) > time.Hour { // before the numbers grow too large
		l.since, l.sent = free, 0
	}
	since, sent = l.since, l.sent
	l.sent += int64(n)
	l.expire(came)
	l.turns = append(l.turns, turn{s, l.over(since, l.sent)})
	if s.pending++; s.pending == 1 {
		l.units++
	}
	return since, sent
}

// wait is how long what comes at a time waits until the line is free.
func (l *line) wait(came time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over(l.since, l.sent).Sub(came)
}

// over is when so many bytes have passed since a moment.
func (l *line) over(since time.Time, sent int64) time.Time {
	return since.Add(time.Duration(float64(sent) / l.rate * float64(time.Second)))
}

// expire forgets the turns that are over.
func (l *line) expire(now time.Time) {
	for len(l.turns) > 0 && !l.turns[0].over.After(now) {
		s := l.turns[0].of
		if s.pending--; s.pending == 0 {
			l.units--
		}
		l.turns = l.turns[1:]
	}
}

// part is what a unit gets of the line as long as it and others use it.
func (l *line) part(s *pace) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	units := l.units
	if s.pending == 0 {
		units++
	}
	return l.rate / float64(units)
}
