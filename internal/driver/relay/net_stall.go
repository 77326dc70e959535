package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetStall,
	func(p *fault.Stall) relay.Effect {
		return cut{along(p.Direction, relay.Up), along(p.Direction, relay.Down)}
	},
	func(p *fault.Stall) words {
		return words{touches: flow(p.Direction) + " on %s are held", undoes: "what was held goes on, in order"}
	})
