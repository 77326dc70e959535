package relay

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetDuplicate,
	func(p *fault.Duplicate) relay.Effect { return duplicate{*p} },
	func(p *fault.Duplicate) words {
		times := "twice"
		if p.Copies > 1 {
			times = fmt.Sprintf("%d times", p.Copies+1)
		}
		return words{touches: fmt.Sprintf("%.4g%%%% of the datagrams of %s on %%s arrive %s", float64(p.Rate)*100, flow(p.Direction), times)}
	})

// duplicate sends copies. It keeps nothing, so that it is its own lane.
type duplicate struct{ p fault.Duplicate }

func (e duplicate) Lane(way relay.Way) relay.Lane {
	if !along(e.p.Direction, way) {
		return nil
	}
	return e
}

func (e duplicate) Packet(_ int, _ time.Time, chance *relay.Rand) (f relay.Fate) {
	if chance.Float() < float64(e.p.Rate) {
		f.Copies = e.p.Copies
	}
	return f
}
