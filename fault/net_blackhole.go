package fault

// NetBlackhole swallows bytes.
var NetBlackhole = define("net.blackhole",
	"Take what comes and never answer: the caller waits until it gives up.",
	Blackhole{},
	`
kind: net.blackhole
target: {service: auth-service}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		Datagrams: true,
		Severs:    true,
		Details:   `Bytes of the caller are read and dropped, nothing reaches the callee and nothing comes back. What was swallowed is lost, so the connections that were hurt are closed at the lift. To hold bytes and let them go on at the lift, use net.partition. On a udp edge each datagram is drawn by itself, and lost.`,
		Flags:     []Flag{{Name: "blackhole", Usage: "swallow requests and never answer", Chooses: true}},
	})

// Blackhole are the params of net.blackhole.
type Blackhole struct{}

// Validate has nothing to refuse.
func (p *Blackhole) Validate() error { return nil }
