package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetLimit,
	func(p *fault.Limit) relay.Effect { return limit{*p} },
	func(p *fault.Limit) words {
		when := ""
		if p.Bytes != nil {
			when = " after " + p.Bytes.String() + " of " + flow(p.Direction)
			if p.After > 0 {
				when += ", or"
			}
		}
		if p.After > 0 {
			when += " after " + p.After.String()
		}
		return words{touches: "connections on %s are closed" + when}
	})

// limit ends connections that have had their share.
type limit struct{ p fault.Limit }

func (limit) Raw() {}

func (e limit) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	m := &meter{}
	if e.p.Bytes != nil {
		m.counts, m.limit = true, int64(*e.p.Bytes)
	}
	if e.p.After > 0 {
		m.end = time.Now().Add(e.p.After.Std())
	}
	return m
}

type meter struct {
	counts bool // there is a limit of bytes
	limit  int64
	passed int64
	over   bool
	end    time.Time // zero without a limit of time
}

// Pass lets so many bytes pass and ends the connection behind the last of them.
func (m *meter) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if m.over {
		return
	}
	n := int64(len(c.Data))
	left := max(0, m.limit-m.passed) // an heir may have passed more already
	if !m.counts || n == 0 || n < left {
		m.passed += n
		emit(c)
		return
	}
	m.passed, m.over = m.passed+left, true
	if left > 0 {
		emit(relay.Chunk{Data: c.Data[:left], Due: c.Due, Free: c.Free})
	}
	emit(relay.Chunk{Due: c.Due, End: relay.Over})
}

// Deadline is the end of the connection's time.
func (m *meter) Deadline() (time.Time, relay.Ending) { return m.end, relay.Close }

// Inherit goes on counting where another limit left off.
func (m *meter) Inherit(from relay.Stage) {
	if old, ok := from.(*meter); ok {
		m.passed = old.passed
	}
}
