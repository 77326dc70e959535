package fault

// NetStall holds bytes back.
var NetStall = define("net.stall",
	"Hold bytes back: nothing passes until the lift, then all of it does.",
	Stall{Direction: Response},
	`
kind: net.stall
target: {service: db-service}
params: {direction: both}
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Severs:  true,
		Details: `Connections are accepted and stay open, but no byte of that direction moves, nor does the end of a stream; senders feel it as a peer that does not read. At the lift everything goes on, in order: nothing is lost. While requests are held, new connections do not reach the callee. net.partition cuts services from each other in the same way, by shapes; net.blackhole and net.timeout lose what they take.`,
		Flags:   []Flag{{Name: "stall", Usage: "hold answers back until the lift", Chooses: true}},
	})

// Stall are the params of net.stall.
type Stall struct {
	// Direction of the bytes that are held; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are held, as the caller sees them" enum:"response,request,both"`
}

// Validate has nothing to refuse but what its fields do.
func (p *Stall) Validate() error { return nil }
