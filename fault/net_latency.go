package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetLatency delays bytes without limiting throughput.
var NetLatency = define("net.latency",
	"Delay what passes an edge; throughput is not limited.",
	Latency{Distribution: Uniform, Direction: Response},
	`
kind: net.latency
target: {service: auth-service}
params: {delay: 500ms, jitter: 50ms}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		Datagrams: true,
		Details: `By default the bytes from callee to caller are delayed, once: 500ms means 500 ms per round trip. On an HTTP edge every answer that was drawn starts that much later and keeps its pace; on a TCP edge every byte of a connection that was drawn leaves that much later, in order, also on connections that are already open. A WebSocket or other upgrade is one exchange: its head and all its bytes leave that much later if it began while the fault was in force; one that was open before is spared.

Jitter is drawn anew for each chunk of a TCP edge and once for each exchange of an HTTP edge. uniform lies between delay - jitter and delay + jitter. normal, lognormal and pareto have the mean delay and the standard deviation jitter; lognormal is skewed to the right, and pareto has a heavy tail (shape 3, as the table of tc-netem has it): one draw in a hundred is more than 3.6 jitter late, one in a thousand more than 9.8. No delay is below 0 or above delay + 10 jitter.

On a udp edge each datagram is drawn by itself, with a delay of its own, and datagrams leave in the order in which they are due, so that jitter reorders them.`,
		Flags: []Flag{
			{Name: "latency", Param: "delay", Value: "D", Usage: "delay answers by D, for example 500ms", Chooses: true},
			{Name: "jitter", Param: "jitter", Value: "D", Usage: "vary --latency by up to D either way"},
			{Name: "distribution", Param: "distribution", Value: "NAME", Usage: "how --jitter varies --latency: uniform, normal, lognormal or pareto"},
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
	// Delay that is added, more than 0 unless there is jitter, and at most 1h.
	Delay Duration `json:"delay" doc:"delay that is added, for example 500ms; more than 0 unless there is jitter, at most 1h"`
	// Jitter is how far the delay varies: see Distribution. It may be more than
	// the delay; what would be below 0 is no delay.
	Jitter Duration `json:"jitter,omitempty" doc:"how far the delay varies: see distribution; at most 1h; a delay below 0 is none"`
	// Distribution of the delay; the default is uniform.
	Distribution Distribution `json:"distribution,omitempty" doc:"how the delay varies: uniform from delay - jitter to delay + jitter; else with the mean delay and the standard deviation jitter" enum:"uniform,normal,lognormal,pareto"`
	// Reorder lets chunks overtake each other.
	Reorder bool `json:"reorder,omitempty" doc:"let chunks of a TCP edge overtake each other, which corrupts the stream; by default each waits for those before it"`
	// Direction of the bytes that are delayed; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are delayed, as the caller sees them" enum:"response,request,both"`
}

// Distribution is how a delay varies around its mean.
type Distribution string

// The distributions.
const (
	Uniform   Distribution = "uniform"
	Normal    Distribution = "normal"
	LogNormal Distribution = "lognormal"
	Pareto    Distribution = "pareto"
)

// Validate refuses other words.
func (d Distribution) Validate() error {
	switch d {
	case Uniform, Normal, LogNormal, Pareto:
		return nil
	}
	return strict.Fieldf("", "must be uniform, normal, lognormal or pareto, not %q", strict.Clip(string(d)))
}

// Validate checks the ranges.
func (p *Latency) Validate() error {
	var errs []error
	if p.Delay < 0 || p.Delay > maxDelay || p.Delay == 0 && p.Jitter == 0 {
		errs = append(errs, strict.Fieldf("delay", "must be given, more than 0 and at most 1h, for example 500ms"))
	}
	errs = append(errs, mayDelay("jitter", p.Jitter))
	switch {
	case p.Distribution == LogNormal && p.Delay == 0:
		errs = append(errs, strict.Fieldf("distribution", "lognormal varies a delay by a factor, and there is none; give `delay`"))
	case p.Distribution != Uniform && p.Distribution != "" && p.Jitter == 0:
		errs = append(errs, strict.Fieldf("distribution", "needs `jitter`, its standard deviation, for example a tenth of the delay"))
	}
	return errors.Join(errs...)
}
