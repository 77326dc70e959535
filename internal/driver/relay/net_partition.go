package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetPartition,
	func(p *fault.Partition) relay.Effect {
		if p.Mode == fault.CutReject {
			return refuser{}
		}
		request, response := p.Stops()
		return severed{cut{request, response}}
	},
	func(p *fault.Partition) words {
		if p.Mode == fault.CutReject {
			return words{
				touches: "%s is cut: connections are refused, and open ones reset", undoes: "the relay listens again",
				datagrams: &words{touches: "%s is cut: datagrams are refused (ICMP), and sessions end", undoes: "the relay takes datagrams again"},
			}
		}
		w := words{undoes: "bytes that were held go on", datagrams: &words{}}
		switch request, response := p.Stops(); {
		case request && response:
			w.touches = "%s is cut: bytes are held both ways, and nobody is dialled"
			w.datagrams.touches = "%s is cut: datagrams are lost both ways"
		case request:
			w.touches = "%s is cut from caller to callee: requests are held, and nobody is dialled"
			w.datagrams.touches = "%s is cut from caller to callee: datagrams of requests are lost"
		default:
			w.touches = "%s is cut from callee to caller: answers are held"
			w.datagrams.touches = "%s is cut from callee to caller: datagrams of answers are lost"
		}
		return w
	})

// severed holds bytes, and loses datagrams.
type severed struct{ cut }

func (s severed) Lane(way relay.Way) relay.Lane {
	if !s.Holds(way) {
		return nil
	}
	return hole{}
}

// cut holds bytes.
type cut struct{ request, response bool }

func (c cut) Holds(way relay.Way) bool {
	if way == relay.Up {
		return c.request
	}
	return c.response
}
