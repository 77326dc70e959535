package fault

// NetRefuse refuses connections.
var NetRefuse = define("net.refuse",
	"Refuse connections, as if nobody listened; open ones are reset.",
	Refuse{},
	`
kind: net.refuse
target: {service: auth-service}
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		Datagrams:        true,
		WholeConnections: true,
		NoShare:          true,
		AllCallers:       true,
		Severs:           true,
		Details: `The listener is closed, so that connecting fails with "connection refused"; connections that are open are reset, unless keepOpen is set. The receipt counts the connections that were reset; a connect that the system refuses by itself is seen by the caller alone, so that a listener which was closed counts as injected once.

On a udp edge callers get an ICMP message that nobody has the port, which those see whose sockets are connected; sessions end, and keepOpen is refused. It needs Linux there.`,
		Flags: []Flag{{Name: "refuse", Usage: "refuse connections", Chooses: true}},
	})

// Refuse are the params of net.refuse.
type Refuse struct {
	// KeepOpen leaves connections that are open alone.
	KeepOpen bool `json:"keepOpen,omitempty" doc:"leave connections that are open alone; by default they are reset"`
}

// Validate has nothing to refuse.
func (p *Refuse) Validate() error { return nil }

// OfConnections is the param that datagrams do not go with, if it is given.
func (p *Refuse) OfConnections() string {
	if p.KeepOpen {
		return "keepOpen"
	}
	return ""
}
