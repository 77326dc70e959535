package relay

import (
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPSlowBody,
	func(p *fault.SlowBody) relay.Effect { return trickler{*p} },
	func(p *fault.SlowBody) words {
		var what []string
		switch {
		case p.Rate > 0:
			what = append(what, "trickle at "+p.Rate.String())
		case p.Over > 0:
			what = append(what, "are spread over "+p.Over.String())
		}
		if p.FirstByte > 0 {
			what = append(what, "begin "+p.FirstByte.String()+" behind their heads")
		}
		text := "bodies of answers on %s " + strings.Join(what, " and ")
		return words{touches: text, undoes: "what waits leaves at once"}
	})

// trickler gives the bytes of bodies the due times of a slow line, one for each.
type trickler struct{ p fault.SlowBody }

// Stage leaves alone what is no answer of a callee.
func (trickler) Stage(relay.Way, fault.Unit, *relay.Rand) relay.Stage { return nil }

func (t trickler) StageBody(r *relay.Reply) relay.Stage {
	if !r.HasBody() || r.Length == 0 || t.p.Over > 0 && r.Length < 0 {
		return nil
	}
	s := &trickle{wait: t.p.FirstByte.Std(), rate: float64(t.p.Rate), piece: int64(t.p.Chunk)}
	if t.p.Over > 0 {
		s.rate, s.total = float64(r.Length)/t.p.Over.Std().Seconds(), r.Length
	}
	if s.rate == 0 {
		return (*lateBody)(s)
	}
	if s.piece == 0 {
		s.piece = int64(newLine(fault.Rate(max(1, s.rate))).piece)
	}
	return s
}

// trickle lets the first byte of a body wait, and sends it piece by piece: all bytes
// of a piece are due when the last of them is. Time in which nothing came is lost.
type trickle struct {
	wait  time.Duration
	rate  float64 // bytes per second
	piece int64
	total int64 // bytes in all; 0 for unknown

	begun time.Time // when the first byte may leave
	since time.Time // when there was nothing to send last
	base  int64     // bytes that had been sent by then
	sent  int64
}

// later keeps bytes back until the first may leave; the head and the end keep their
// times.
func (s *trickle) later(c relay.Chunk) relay.Chunk {
	if len(c.Data) == 0 {
		return c
	}
	if s.begun.IsZero() {
		s.begun = c.Due.Add(s.wait)
	}
	if c.Due.Before(s.begun) {
		c.Due = s.begun
	}
	return c
}

// Pass gives each piece the time at which it would have passed a line of that rate.
func (s *trickle) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	c = s.later(c)
	end := c.End
	for len(c.Data) > 0 {
		if s.since.IsZero() || s.due().Before(c.Due) {
			s.since, s.base = c.Due, s.sent
		}
		n := min(int64(len(c.Data)), s.piece-s.sent%s.piece)
		s.sent += n
		emit(relay.Chunk{Data: c.Data[:n], Due: s.due(), Free: c.Free})
		c.Data, c.Due = c.Data[n:], s.since
		if len(c.Data) == 0 && end == relay.GoesOn {
			return
		}
	}
	if end != relay.GoesOn && !s.since.IsZero() && c.Due.Before(s.due()) {
		c.Due = s.due()
	}
	emit(c)
}

// due is when the piece that was begun last has passed.
func (s *trickle) due() time.Time {
	upto := (s.sent + s.piece - 1) / s.piece * s.piece
	if s.total > 0 {
		upto = min(upto, s.total)
	}
	return s.since.Add(time.Duration(float64(upto-s.base) / s.rate * float64(time.Second)))
}

// Bound is what the body is ahead of the rate, and a piece at least.
func (s *trickle) Bound() int {
	return int(min(max(s.rate*ahead.Seconds(), 512, float64(s.piece)), 8<<20))
}

// Rate is that of the body, in bytes per second.
func (s *trickle) Rate() float64 { return s.rate }

// lateBody is a trickle without a rate.
type lateBody trickle

// Pass gives the first bytes a later due time.
func (s *lateBody) Pass(c relay.Chunk, emit func(relay.Chunk)) { emit((*trickle)(s).later(c)) }
