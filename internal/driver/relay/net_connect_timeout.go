package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetConnectTimeout,
	func(*fault.ConnectTimeout) relay.Effect { return deaf{} },
	func(*fault.ConnectTimeout) words {
		return words{touches: "connecting to %s hangs; open connections stay", undoes: "the relay answers again"}
	})

// deaf makes the listener deaf.
type deaf struct{}

func (deaf) Deafens() {}
