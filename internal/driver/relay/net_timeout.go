package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetTimeout,
	func(p *fault.Timeout) relay.Effect { return timeout{*p} },
	func(p *fault.Timeout) words {
		w := words{
			touches: flow(p.Direction) + " on %s are lost",
			undoes:  "connections that were hurt are closed",
		}
		if p.After > 0 {
			w.touches += ", and a connection is closed when nothing has come for " + p.After.String()
		}
		return w
	})

// timeout loses bytes and closes what is silent.
type timeout struct{ p fault.Timeout }

func (timeout) Raw() {}

// Parting closes what was drawn: bytes are missing, or have been waited for.
func (timeout) Parting(bool) relay.Ending { return relay.Close }

func (e timeout) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	return &void{after: e.p.After.Std(), last: time.Now()}
}

type void struct {
	after time.Duration
	last  time.Time // when bytes came last
}

// Pass loses bytes. The end of the stream is none of them.
func (s *void) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if len(c.Data) > 0 && c.Due.After(s.last) {
		s.last = c.Due
	}
	if c.End != relay.GoesOn {
		emit(relay.Chunk{Due: c.Due, End: c.End})
	}
}

// Deadline is a while after the last byte.
func (s *void) Deadline() (time.Time, relay.Ending) {
	if s.after == 0 {
		return time.Time{}, relay.GoesOn
	}
	return s.last.Add(s.after), relay.Close
}
