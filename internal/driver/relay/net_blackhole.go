package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetBlackhole,
	func(*fault.Blackhole) relay.Effect { return hole{} },
	func(*fault.Blackhole) words {
		const touches = "what callers send on %s is swallowed, and nothing comes back"
		return words{
			touches:   touches,
			undoes:    "connections that have lost bytes are closed",
			datagrams: &words{touches: touches},
		}
	})

// hole swallows all bytes.
type hole struct{}

func (hole) Swallows() {}

func (h hole) Lane(relay.Way) relay.Lane { return h }

func (hole) Packet(int, time.Time, *relay.Rand) relay.Fate { return relay.Fate{Drop: true} }
