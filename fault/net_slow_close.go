package fault

// NetSlowClose delays the end of connections.
var NetSlowClose = define("net.slow-close",
	"Delay the end of a connection; its bytes are not delayed.",
	SlowClose{Direction: Response},
	`
kind: net.slow-close
target: {service: db-service}
params: {delay: 5s}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Details:   `When one side closes or resets its direction of a connection, the other sees that only after the delay: in direction response a callee that hangs up, in direction request a caller that does.`,
		Flags:     []Flag{{Name: "slow-close", Param: "delay", Value: "D", Usage: "delay the callee's close by D, for example 5s", Chooses: true}},
	})

// SlowClose are the params of net.slow-close.
type SlowClose struct {
	// Delay of the end, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"how much later the end is seen, for example 5s; more than 0, at most 1h"`
	// Direction of the end that is delayed; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"whose end is delayed: response is the callee's, request the caller's" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *SlowClose) Validate() error { return mustDelay("delay", p.Delay, "5s") }
