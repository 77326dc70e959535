package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetNoop,
	func(p *fault.Noop) relay.Effect { return noop{p.Direction} },
	func(p *fault.Noop) words {
		return words{touches: "nothing changes on %s; " + flow(p.Direction) + " count"}
	})

// noop changes nothing.
type noop struct{ direction fault.Direction }

func (e noop) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(e.direction, way) {
		return nil
	}
	return through{}
}

type through struct{}

func (through) Pass(c relay.Chunk, emit func(relay.Chunk)) { emit(c) }
