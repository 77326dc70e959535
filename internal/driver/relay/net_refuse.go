package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetRefuse,
	func(p *fault.Refuse) relay.Effect { return refuser{keepOpen: p.KeepOpen} },
	func(p *fault.Refuse) words {
		w := words{
			touches: "connections to %s are refused, and open ones reset", undoes: "the relay listens again",
			datagrams: &words{touches: "datagrams to %s are refused (ICMP), and sessions end", undoes: "the relay takes datagrams again"},
		}
		if p.KeepOpen {
			w.touches = "new connections to %s are refused; open ones stay"
		}
		return w
	})

// refuser closes the listener.
type refuser struct{ keepOpen bool }

func (r refuser) Refuses() bool { return r.keepOpen }
