package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetLatency delays bytes without limiting throughput.
var NetLatency = define("net.latency",
	"Delay what passes an edge; throughput is not limited.",
	Latency{Direction: Response},
	`
kind: net.latency
target: {service: auth-service}
params: {delay: 500ms, jitter: 50ms}
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Details: `By default the bytes from callee to caller are delayed, once: 500ms means 500 ms per round trip. On an HTTP edge every answer that was drawn starts that much later and keeps its pace; on a TCP edge every byte of a connection that was drawn leaves that much later, in order, also on connections that are already open. A WebSocket or other upgrade is one exchange: its head and all its bytes leave that much later if it began while the fault was in force; one that was open before is spared.`,
		Flags: []Flag{
			{Name: "latency", Param: "delay", Value: "D", Usage: "delay answers by D, for example 500ms", Chooses: true},
			{Name: "jitter", Param: "jitter", Value: "D", Usage: "vary --latency by up to D either way"},
		},
	})

// Direction is which way bytes are hurt.
type Direction string

// The directions of an edge, as the caller sees them.
const (
	Request  Direction = "request"  // caller to callee
	Response Direction = "response" // callee to caller
	Both     Direction = "both"
)

// Validate refuses other words.
func (d Direction) Validate() error {
	switch d {
	case Request, Response, Both:
		return nil
	}
	return strict.Fieldf("", "must be request, response or both, not %q", strict.Clip(string(d)))
}

// Latency are the params of net.latency.
type Latency struct {
	// Delay that is added, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"delay that is added, for example 500ms; more than 0, at most 1h"`
	// Jitter varies the delay evenly within [delay-jitter, delay+jitter].
	Jitter Duration `json:"jitter,omitempty" doc:"varies the delay evenly by up to this much either way; at most the delay"`
	// Direction of the bytes that are delayed; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are delayed, as the caller sees them" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *Latency) Validate() error {
	var errs []error
	if p.Delay <= 0 || p.Delay.Std() > maxDelay {
		errs = append(errs, strict.Fieldf("delay", "must be given, more than 0 and at most 1h, for example 500ms"))
	}
	if p.Jitter > p.Delay {
		errs = append(errs, strict.Fieldf("jitter", "must not be more than the delay (%s), as %s is", p.Delay, p.Jitter))
	}
	return errors.Join(errs...)
}
