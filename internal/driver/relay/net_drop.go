package relay

import (
	"fmt"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetDrop,
	func(p *fault.Drop) relay.Effect { return drop{*p} },
	func(p *fault.Drop) words {
		return words{touches: fmt.Sprintf("%.4g%%%% of the chunks of %s on %%s are dropped, so that the stream is corrupt", float64(p.Rate)*100, flow(p.Direction))}
	})

// drop loses chunks.
type drop struct{ p fault.Drop }

func (drop) Raw() {}

func (e drop) Stage(way relay.Way, _ fault.Unit, r *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	return &leak{rate: float64(e.p.Rate), more: float64(e.p.Correlation), r: r}
}

type leak struct {
	rate, more float64
	r          *relay.Rand
	dropped    bool // the last chunk was
}

// Pass drops data by chance; a head or an end always passes.
func (l *leak) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if len(c.Data) > 0 {
		chance := l.rate
		if l.dropped {
			chance += l.more
		}
		if l.dropped = l.r.Float() < chance; l.dropped {
			c.Data = nil
			if c.End == relay.GoesOn {
				return
			}
		}
	}
	emit(c)
}
