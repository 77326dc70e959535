package relay

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetReorder,
	func(p *fault.Reorder) relay.Effect { return reorder{*p} },
	func(p *fault.Reorder) words {
		return words{
			touches: fmt.Sprintf("%.4g%%%% of the datagrams of %s on %%s are overtaken by %d later, or wait %s", float64(p.Rate)*100, flow(p.Direction), p.Gap, p.Delay),
			undoes:  "datagrams that wait leave at once",
		}
	})

// reorder holds datagrams back. It keeps nothing, so that it is its own lane.
type reorder struct{ p fault.Reorder }

func (e reorder) Lane(way relay.Way) relay.Lane {
	if !along(e.p.Direction, way) {
		return nil
	}
	return e
}

func (e reorder) Packet(_ int, _ time.Time, chance *relay.Rand) (f relay.Fate) {
	if chance.Float() < float64(e.p.Rate) {
		f.Delay, f.Behind = e.p.Delay.Std(), e.p.Gap
	}
	return f
}
