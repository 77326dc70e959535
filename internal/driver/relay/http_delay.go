package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPDelay,
	func(p *fault.Delay) relay.Effect { return waiter{*p} },
	func(p *fault.Delay) words {
		return words{
			touches: "requests on %s are forwarded " + about(p.Delay, p.Jitter) + " later",
			undoes:  "requests that wait are forwarded at once",
		}
	})

// waiter waits before requests are forwarded.
type waiter struct{ p fault.Delay }

func (w waiter) Delay(r *relay.Rand) time.Duration {
	return vary(w.p.Delay.Std(), w.p.Jitter.Std(), r)
}
