package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetReorder has datagrams arrive in another order.
var NetReorder = define("net.reorder",
	"Hold datagrams back until later ones have overtaken them.",
	Reorder{Rate: 0.01, Gap: 1, Delay: Duration(100e6), Direction: Both},
	`
kind: net.reorder
target: {service: dns-service}
params: {rate: 5%, gap: 3}
`, Kind{
		Acts:          OnEdges,
		Grounds:       []string{"relay"},
		Datagrams:     true,
		DatagramsOnly: true,
		Details:       `A datagram that was drawn waits until gap later ones of the same caller and direction have left, or until delay is over. A caller that waits for an answer before it sends more sees the delay alone. TCP puts bytes in order before anybody sees them; what an application notices of it there is a delay (net.latency).`,
		Flags:         []Flag{{Name: "reorder", Param: "rate", Value: "P", Usage: "have the part P of the datagrams overtaken by later ones, for example 5%; udp edges", Chooses: true}},
	})

// Reorder are the params of net.reorder.
type Reorder struct {
	// Rate is the share of datagrams that is held back, above 0.
	Rate Chance `json:"rate" doc:"chance of a datagram to be held back, above 0 and up to 1, for example 0.05 or 5%"`
	// Gap is how many later datagrams overtake it, from 1 to 1000.
	Gap int `json:"gap,omitempty" doc:"how many later datagrams overtake it, from 1 to 1000"`
	// Delay is how long it is held back at most.
	Delay Duration `json:"delay,omitempty" doc:"how long it is held back at most, if fewer follow; more than 0, at most 1h"`
	// Direction of the datagrams; the default is both.
	Direction Direction `json:"direction,omitempty" doc:"which datagrams are reordered, as the caller sees them" enum:"both,response,request"`
}

// Validate checks the ranges.
func (p *Reorder) Validate() error {
	errs := []error{mustChance("rate", p.Rate), mustDelay("delay", p.Delay, "100ms")}
	if p.Gap < 1 || p.Gap > 1000 {
		errs = append(errs, strict.Fieldf("gap", "must be from 1 to 1000, not %d", p.Gap))
	}
	return errors.Join(errs...)
}
