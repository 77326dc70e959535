package fault

import (
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetKill kills live connections.
var NetKill = define("net.kill",
	"Kill a random share of the connections that are open, once or at an interval.",
	Kill{How: "reset"},
	`
kind: net.kill
target: {service: db-service}
params: {every: 5s}
share: 0.25
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		Datagrams:        true,
		WholeConnections: true,
		Details:          `Each time, every live connection of the edge is drawn by share; those that are drawn are reset or closed. Connections opened later live until the next time. On a udp edge a caller's session ends without a word: its next datagram reaches the callee from another port, as behind a NAT that has forgotten it.`,
	})

// Kill are the params of net.kill.
type Kill struct {
	// Every is the interval; 0 kills once.
	Every Duration `json:"every,omitempty" doc:"how often to kill; once by default, else 100ms or more"`
	// How a connection ends: reset (RST) or close (FIN).
	How string `json:"how,omitempty" doc:"how a connection ends: reset (RST) or close (FIN)" enum:"reset,close"`
}

// Validate checks the ranges.
func (p *Kill) Validate() error {
	var errs []error
	if p.Every != 0 && p.Every.Std() < 100*time.Millisecond {
		errs = append(errs, strict.Fieldf("every", "must be 100ms or more, not %s", p.Every))
	}
	if p.How != "reset" && p.How != "close" {
		errs = append(errs, strict.Fieldf("how", "must be reset or close, not %q", strict.Clip(p.How)))
	}
	return errors.Join(errs...)
}
