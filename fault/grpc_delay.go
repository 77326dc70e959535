package fault

import "errors"

// GRPCDelay delays calls before they are forwarded.
var GRPCDelay = define("grpc.delay",
	"Wait before a gRPC call is forwarded to the callee.",
	CallDelay{},
	`
kind: grpc.delay
target: {service: inventory-service}
params: {delay: 2s}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details:  `The callee sees the call only after the delay, with the deadline that the client has set for all of it: a grpc-timeout counts from when the callee reads it. Requests that are no gRPC calls (Content-Type application/grpc and its like) do not even count as matched.`,
		Flags:    []Flag{{Name: "grpc-delay", Param: "delay", Value: "D", Usage: "forward gRPC calls D later", Chooses: true}},
	})

// CallDelay are the params of grpc.delay.
type CallDelay struct {
	// Delay before the call is forwarded, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"how long to wait, for example 2s; more than 0, at most 1h"`
	// Jitter varies the delay evenly within [delay-jitter, delay+jitter].
	Jitter Duration `json:"jitter,omitempty" doc:"varies the delay evenly by up to this much either way; at most the delay"`
}

// Validate checks the ranges.
func (p *CallDelay) Validate() error {
	return errors.Join(mustDelay("delay", p.Delay, "2s"), jitterWithin(p.Jitter, p.Delay))
}
