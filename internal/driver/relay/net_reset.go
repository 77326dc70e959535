package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetReset,
	func(p *fault.Reset) relay.Effect {
		if p.On == fault.ResetOnData {
			return mine{p.Direction, p.After.Std()}
		}
		return ender{p.After.Std(), relay.Reset}
	},
	func(p *fault.Reset) words {
		w := words{touches: "the caller's connection on %s is reset"}
		if p.After > 0 {
			w.touches += " after " + p.After.String()
		}
		if p.On == fault.ResetOnData {
			at := ""
			if p.After > 0 {
				at = p.After.String() + " "
			}
			w.touches = "a connection on %s is reset on both sides " + at + "after the first " + flow(p.Direction) + " come, which are lost"
			w.undoes = "connections that have lost bytes are reset"
		}
		return w
	})

// ender ends units.
type ender struct {
	after time.Duration
	how   relay.Ending
}

func (e ender) End() (time.Duration, relay.Ending) { return e.after, e.how }

// mine resets the connections that step on it.
type mine struct {
	direction fault.Direction
	after     time.Duration
}

func (mine) Raw() {}

// Parting resets what has lost bytes and waits for its reset.
func (mine) Parting(touched bool) relay.Ending {
	if touched {
		return relay.Reset
	}
	return relay.GoesOn
}

func (m mine) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(m.direction, way) {
		return nil
	}
	return &fuse{after: m.after}
}

type fuse struct {
	after time.Duration
	at    time.Time // of the reset; zero until something has come
}

// Pass loses all that comes; the first of it sets the time.
func (s *fuse) Pass(c relay.Chunk, _ func(relay.Chunk)) {
	if s.at.IsZero() {
		s.at = c.Due.Add(s.after)
	}
}

// Deadline is a while after what came first.
func (s *fuse) Deadline() (time.Time, relay.Ending) { return s.at, relay.Reset }
