package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.TLSHandshake,
	func(p *fault.Handshake) relay.Effect {
		switch p.How {
		case fault.HandshakeStall:
			return handshaker{relay.Handshake{Stall: true}}
		case fault.HandshakeClose:
			return handshaker{relay.Handshake{End: relay.Close}}
		}
		return handshaker{relay.Handshake{End: relay.Reset}}
	},
	func(p *fault.Handshake) words {
		switch p.How {
		case fault.HandshakeStall:
			return words{touches: "TLS handshakes on %s are left without an answer", undoes: "handshakes that wait go on"}
		case fault.HandshakeClose:
			return words{touches: "TLS handshakes on %s are closed once they have begun"}
		}
		return words{touches: "TLS handshakes on %s are reset once they have begun"}
	})
