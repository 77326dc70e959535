package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetBandwidth limits the rate of bytes.
var NetBandwidth = define("net.bandwidth",
	"Limit how many bytes per second pass an edge.",
	Bandwidth{Direction: Response, Scope: PerConnection},
	`
kind: net.bandwidth
target: {service: catalog-service}
params: {rate: 64KiB/s}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		Datagrams: true,
		Details: `The limit holds for each connection of a TCP edge and for each exchange of an HTTP edge by itself, or with scope edge for all of them together, as on a line that they share: then whoever comes first goes first. Time in which nothing passes is not made up for later. A WebSocket or other upgrade is one exchange: it is limited if it began while the fault was in force; one that was open before is spared.

On a udp edge the limit holds for each caller's session. Datagrams wait for their turn, and those for which the queue has no room are lost (drop-tail), as in front of a slow link.`,
		Flags: []Flag{{Name: "bandwidth", Param: "rate", Value: "R", Usage: "limit answers to R, for example 64KiB/s", Chooses: true}},
	})

// Bandwidth are the params of net.bandwidth.
type Bandwidth struct {
	// Rate at which bytes pass.
	Rate Rate `json:"rate" doc:"bytes per second, for example 64KiB/s, 1MB/s or 8mbit/s; from 1B/s to 1TB/s"`
	// Direction of the bytes that are slowed; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are slowed, as the caller sees them" enum:"response,request,both"`
	// Scope of the limit; the default is connection.
	Scope Scope `json:"scope,omitempty" doc:"what the limit holds for: each connection (or exchange) by itself, or all of the edge together; each direction by itself" enum:"connection,edge"`
	// Queue is how much may wait on a UDP edge; 0 stands for what passes in 100 ms,
	// at least 16 KiB.
	Queue Size `json:"queue,omitempty" doc:"udp edges only: datagrams that would make more than this wait are lost, for example 64KiB; by default what passes in 100ms, at least 16KiB"`
}

// Scope is what a limit holds for.
type Scope string

// The scopes.
const (
	PerConnection Scope = "connection" // on an HTTP edge, an exchange
	PerEdge       Scope = "edge"
)

// Validate checks the ranges.
func (p *Bandwidth) Validate() error {
	var errs []error
	if p.Rate <= 0 || p.Rate > MaxRate {
		errs = append(errs, strict.Fieldf("rate", "must be given, for example 64KiB/s"))
	}
	if p.Scope != PerConnection && p.Scope != PerEdge {
		errs = append(errs, strict.Fieldf("scope", "must be connection or edge, not %q", strict.Clip(string(p.Scope))))
	}
	if p.Queue < 0 {
		errs = append(errs, strict.Fieldf("queue", "must not be negative, as %s is", p.Queue))
	}
	return errors.Join(errs...)
}
