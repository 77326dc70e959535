package fault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// TLSHandshake breaks TLS handshakes.
var TLSHandshake = define("tls.handshake",
	"Break TLS handshakes: reset, close or stall them once the caller has begun.",
	Handshake{How: HandshakeReset},
	`
kind: tls.handshake
target: {service: payment-service}
params: {how: stall}
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		TLSOnly:          true,
		WholeConnections: true,
		Severs:           true,
		Details:          `Needs an edge that sees handshakes: one with tls, or one with sni, which passes TLS on. Each new connection that was drawn is let in and its ClientHello read, and then it is reset, closed, or left without an answer until the lift, when its handshake goes on. Open connections are left alone. A caller that waits on a stalled handshake tests its own handshake timeout, which is often another one than that for connecting.`,
		Flags:            []Flag{{Name: "tls-handshake", Param: "how", Value: "HOW", Usage: "break TLS handshakes: reset, close or stall", Chooses: true}},
	})

// Handshake are the params of tls.handshake.
type Handshake struct {
	// How it is broken; reset by default.
	How HowHandshake `json:"how,omitempty" doc:"how it is broken: reset (RST), close (FIN), or stall: no answer until the lift" enum:"reset,close,stall"`
}

// HowHandshake is how a handshake is broken.
type HowHandshake string

// The ways.
const (
	HandshakeReset HowHandshake = "reset"
	HandshakeClose HowHandshake = "close"
	HandshakeStall HowHandshake = "stall"
)

// Validate refuses ways that there are not.
func (p *Handshake) Validate() error {
	return oneOf("how", p.How, HandshakeReset, HandshakeClose, HandshakeStall)
}

// oneOf refuses a word that is not among some.
func oneOf[T ~string](field string, is T, among ...T) error {
	if slices.Contains(among, is) {
		return nil
	}
	words := make([]string, len(among))
	for i, w := range among {
		words[i] = string(w)
	}
	last := len(words) - 1
	return strict.Fieldf(field, "must be %s, not %q", fmt.Sprintf("%s or %s", strings.Join(words[:last], ", "), words[last]), strict.Clip(string(is)))
}
