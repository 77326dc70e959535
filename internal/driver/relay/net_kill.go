package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetKill,
	func(p *fault.Kill) relay.Effect { return killer{p.Every.Std(), ending(p.How)} },
	func(p *fault.Kill) words {
		verb := map[string]string{"close": "closed"}[p.How]
		if verb == "" {
			verb = "reset"
		}
		often := ", once"
		if p.Every > 0 {
			often = ", every " + p.Every.String()
		}
		return words{
			touches:   "connections that are open on %s are " + verb + often,
			datagrams: &words{touches: "sessions that are open on %s are ended" + often},
		}
	})

// killer ends connections that are open.
type killer struct {
	every time.Duration
	how   relay.Ending
}

func (k killer) Sweep() (time.Duration, relay.Ending) { return k.every, k.how }

// ending reads "close" and "reset".
func ending(how string) relay.Ending {
	if how == "close" {
		return relay.Close
	}
	return relay.Reset
}
