package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetSlowAccept,
	func(p *fault.SlowAccept) relay.Effect { return slowAccept{*p} },
	func(p *fault.SlowAccept) words {
		return words{
			touches: "new connections to %s wait " + about(p.Delay, p.Jitter) + " before they are read or forwarded",
			undoes:  "those that wait are served at once",
		}
	})

// slowAccept leaves new connections waiting.
type slowAccept struct{ p fault.SlowAccept }

func (e slowAccept) Greet(r *relay.Rand) time.Duration {
	return max(0, vary(e.p.Delay.Std(), e.p.Jitter.Std(), r))
}
