package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.GRPCDelay,
	func(p *fault.CallDelay) relay.Effect {
		return callWaiter{waiter{fault.Delay{Delay: p.Delay, Jitter: p.Jitter}}}
	},
	func(p *fault.CallDelay) words {
		return words{
			touches: "gRPC calls on %s are forwarded " + about(p.Delay, p.Jitter) + " later",
			undoes:  "calls that wait are forwarded at once",
		}
	})

// callWaiter waits before calls are forwarded.
type callWaiter struct{ waiter }

func (callWaiter) CallsOnly() {}
