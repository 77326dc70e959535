package fault

// NetTimeout loses bytes and ends silent connections.
var NetTimeout = define("net.timeout",
	"Lose all bytes, and close a connection some time after the last of them.",
	Timeout{Direction: Response},
	`
kind: net.timeout
target: {service: db-service}
params: {after: 30s}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Severs:    true,
		Details:   `What comes in that direction is read and lost. The connection is closed once nothing has come for the time that after says; the clock starts anew with each byte, and with the arming (or the opening, if that is later) when none has come. Without after it is never closed by itself. As bytes are missing, the lift closes every connection that was hurt. The end of the stream is passed on. To end connections whatever flows, use net.limit with after.`,
	})

// Timeout are the params of net.timeout.
type Timeout struct {
	// After is the silence that ends a connection; 0 is never.
	After Duration `json:"after,omitempty" doc:"close a connection after this long without a byte; never by default, at most 720h"`
	// Direction of the bytes that are lost; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are lost, as the caller sees them" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *Timeout) Validate() error { return mayEnd("after", p.After) }
