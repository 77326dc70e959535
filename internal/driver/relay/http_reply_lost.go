package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPReplyLost,
	func(p *fault.ReplyLost) relay.Effect { return loser{ending(p.How)} },
	func(p *fault.ReplyLost) words {
		verb := "closed"
		if ending(p.How) == relay.Reset {
			verb = "reset"
		}
		return words{
			touches: "answers on %s are lost when the callee has given them, and the caller's connection is " + verb,
			undoes:  "an answer that is being lost stays so",
		}
	})

// loser lets the callee finish and the caller hear nothing.
type loser struct{ how relay.Ending }

func (l loser) LoseReply() relay.Ending { return l.how }
