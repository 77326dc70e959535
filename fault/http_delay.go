package fault

import (
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// maxDelay bounds every wait that a fault may ask for.
const maxDelay = time.Hour

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
	var errs []error
	if p.Delay <= 0 || p.Delay.Std() > maxDelay {
		errs = append(errs, strict.Fieldf("delay", "must be given, more than 0 and at most 1h, for example 2s"))
	}
	if p.Jitter > p.Delay {
		errs = append(errs, strict.Fieldf("jitter", "must not be more than the delay (%s), as %s is", p.Delay, p.Jitter))
	}
	return errors.Join(errs...)
}
