package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetReset,
	func(p *fault.Reset) relay.Effect { return ender{p.After.Std(), relay.Reset} },
	func(p *fault.Reset) words {
		w := words{touches: "the caller's connection on %s is reset"}
		if p.After > 0 {
			w.touches += " after " + p.After.String()
		}
		return w
	})

// ender ends units.
type ender struct {
	after time.Duration
	how   relay.Ending
}

func (e ender) End() (time.Duration, relay.Ending) { return e.after, e.how }
