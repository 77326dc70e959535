package fault

import "github.com/chaosctl/chaosctl/internal/strict"

// NetReset resets connections.
var NetReset = define("net.reset",
	"Reset the caller's connection (TCP RST) in the middle of its work.",
	Reset{},
	`
kind: net.reset
target: {service: db-service}
params: {after: 100ms}
share: 0.1
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Details: `On an HTTP edge each exchange that was drawn is reset after its request was read, before it reaches the callee; on a TCP edge each connection that was drawn is reset, open ones as soon as the fault is in force.`,
		Flags:   []Flag{{Name: "reset", Usage: "reset connections (RST)", Chooses: true}},
	})

// Reset are the params of net.reset.
type Reset struct {
	// After is the wait before the reset; 0 is at once.
	After Duration `json:"after,omitempty" doc:"how long to wait before the reset; at once by default, at most 1h"`
}

// Validate checks the ranges.
func (p *Reset) Validate() error {
	if p.After.Std() > maxDelay {
		return strict.Fieldf("after", "must be at most 1h, not %s", p.After)
	}
	return nil
}
