package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetReset resets connections.
var NetReset = define("net.reset",
	"Reset the caller's connection (TCP RST) in the middle of its work.",
	Reset{On: ResetNow},
	`
kind: net.reset
target: {service: db-service}
params: {after: 100ms}
share: 0.1
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Details: `On an HTTP edge each exchange that was drawn is reset after its request was read, before it reaches the callee; on a TCP edge each connection that was drawn is reset, open ones as soon as the fault is in force.

With on: data (TCP edges only) a connection is left alone until a byte or an end comes in the direction: that and all that follows is lost, and after the time given both sides are reset. Connections on which nothing comes live on.`,
		Flags: []Flag{{Name: "reset", Usage: "reset connections (RST)", Chooses: true}},
	})

// Reset are the params of net.reset.
type Reset struct {
	// After is the wait before the reset; 0 is at once.
	After Duration `json:"after,omitempty" doc:"how long to wait before the reset; at once by default, at most 720h"`
	// On is what a reset waits for; the default is now.
	On ResetOn `json:"on,omitempty" doc:"what the wait begins with: now, or data: the first byte or end that comes in the direction, which is lost; data is for TCP edges" enum:"now,data"`
	// Direction of the data that is waited for; response if empty. Only with On data.
	Direction Direction `json:"direction,omitempty" doc:"which bytes set it off, as the caller sees them; only with on: data, then response by default" enum:"response,request,both"`
}

// ResetOn is what a reset waits for.
type ResetOn string

// What a reset may wait for.
const (
	ResetNow    ResetOn = "now"
	ResetOnData ResetOn = "data"
)

// Validate checks the ranges.
func (p *Reset) Validate() error {
	errs := []error{mayEnd("after", p.After)}
	if p.On != ResetNow && p.On != ResetOnData {
		errs = append(errs, strict.Fieldf("on", "must be now or data, not %q", strict.Clip(string(p.On))))
	}
	if p.On == ResetNow && p.Direction != "" {
		errs = append(errs, strict.Fieldf("direction", "goes with `on: data`: at once, both directions end"))
	}
	return errors.Join(errs...)
}
