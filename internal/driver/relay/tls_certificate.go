package relay

import (
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.TLSCertificate,
	func(p *fault.Certificate) relay.Effect {
		return handshaker{relay.Handshake{Leaf: relay.Leaf(p.Wrong)}}
	},
	func(p *fault.Certificate) words {
		what := map[fault.WrongCertificate]string{
			fault.CertificateExpired:   "is expired",
			fault.CertificateWrongName: "is for another name",
			fault.CertificateUntrusted: "nobody trusts",
		}[p.Wrong]
		return words{
			touches: "new callers of %s are shown a certificate that " + what,
			undoes:  "those that have accepted it stay connected",
		}
	})

// handshaker hurts TLS handshakes.
type handshaker struct{ how relay.Handshake }

func (h handshaker) Handshake() relay.Handshake { return h.how }

// noHandshake says why an edge sees no handshake that an effect could hurt.
func noHandshake(e relay.Effect, s relay.Spec) string {
	h, ok := e.(relay.Handshaker)
	answers := s.TLS != nil && s.TLS.Certificate != nil
	switch {
	case !ok || answers:
		return ""
	case h.Handshake().Leaf != relay.Sound:
		return "the edge shows no certificate of its own; give it `tls: {}` in the topology, so that its relay answers TLS"
	case len(s.SNI) == 0:
		return "the edge sees no TLS handshakes; give it `tls: {}` in the topology, so that its relay answers them, or `sni`, so that it sees them pass"
	}
	return ""
}
