package fault

// NetNoop does nothing but count.
var NetNoop = define("net.noop",
	"Change nothing, and count what would have been hurt.",
	Noop{Direction: Response},
	`
kind: net.noop
target: {service: auth-service}
share: 10%
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Details: `A dry run: the receipt shows how many connections or exchanges match, share and maxActive would pick. Bytes take the way that they take through a fault, without being changed or delayed.`,
	})

// Noop are the params of net.noop.
type Noop struct {
	// Direction of the bytes that count; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes count, as the caller sees them" enum:"response,request,both"`
}

// Validate has nothing to refuse but what its fields do.
func (p *Noop) Validate() error { return nil }
