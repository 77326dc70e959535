package fault

import "errors"

// NetSlowAccept leaves new connections waiting.
var NetSlowAccept = define("net.slow-accept",
	"Leave new connections waiting before anything is read from them.",
	SlowAccept{},
	`
kind: net.slow-accept
target: {service: db-service}
params: {delay: 3s, jitter: 500ms}
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		BytesOnly:        true,
		WholeConnections: true,
		Details:          `The system accepts the connection, so that connecting succeeds at once; but nothing is read from it and the callee is not dialled until the delay is over, as with a server whose accept loop is behind. Connections that are open are left alone. For connecting that hangs, use net.connect-timeout.`,
		Flags:            []Flag{{Name: "slow-accept", Param: "delay", Value: "D", Usage: "leave new connections waiting for D, for example 3s", Chooses: true}},
	})

// SlowAccept are the params of net.slow-accept.
type SlowAccept struct {
	// Delay of a new connection, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"how long a new connection waits, for example 3s; more than 0, at most 1h"`
	// Jitter varies the delay evenly within [delay-jitter, delay+jitter].
	Jitter Duration `json:"jitter,omitempty" doc:"varies the delay evenly by up to this much either way; at most the delay"`
}

// Validate checks the ranges.
func (p *SlowAccept) Validate() error {
	return errors.Join(mustDelay("delay", p.Delay, "3s"), jitterWithin(p.Jitter, p.Delay))
}
