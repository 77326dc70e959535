package fault

// NetConnectTimeout makes connecting hang.
var NetConnectTimeout = define("net.connect-timeout",
	"Make connecting hang: the listener answers nobody, until the caller gives up.",
	ConnectTimeout{},
	`
kind: net.connect-timeout
target: {service: db-service}
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		WholeConnections: true,
		NoShare:          true,
		AllCallers:       true,
		Severs:           true,
		Details:          `The listener stops answering the packets that ask for a connection, as a host that is down or behind a firewall would, so that the caller's own connect timeout is what it meets. Connections that are open stay. A caller that is still trying at the lift is connected then. The system that chaosctl runs on has to be able to do it; where it cannot, the fault is refused when it is injected.`,
		Flags:            []Flag{{Name: "connect-timeout", Usage: "make connecting hang until the caller gives up", Chooses: true}},
	})

// ConnectTimeout are the params of net.connect-timeout.
type ConnectTimeout struct{}

// Validate has nothing to refuse.
func (p *ConnectTimeout) Validate() error { return nil }
