package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPAbort,
	func(p *fault.Abort) relay.Effect { return ender{how: ending(p.How)} },
	func(p *fault.Abort) words {
		verb := "closed"
		if ending(p.How) == relay.Reset {
			verb = "reset"
		}
		return words{touches: "requests on %s are not answered, the caller's connection is " + verb}
	})
