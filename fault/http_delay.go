package fault

import "errors"

// HTTPDelay delays requests before they are forwarded.
var HTTPDelay = define("http.delay",
	"Wait before a request is forwarded to the callee.",
	Delay{},
	`
kind: http.delay
target: {service: auth-service}
params: {delay: 2s}
match: {path: /login}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details:  `The callee sees the request only after the delay, and never if its caller has given up by then. net.latency delays the answer instead.`,
	})

// Delay are the params of http.delay.
type Delay struct {
	// Delay before the request is forwarded, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"how long to wait, for example 2s; more than 0, at most 1h"`
	// Jitter varies the delay evenly within [delay-jitter, delay+jitter].
	Jitter Duration `json:"jitter,omitempty" doc:"varies the delay evenly by up to this much either way; at most the delay"`
}

// Validate checks the ranges.
func (p *Delay) Validate() error {
	return errors.Join(mustDelay("delay", p.Delay, "2s"), jitterWithin(p.Jitter, p.Delay))
}
