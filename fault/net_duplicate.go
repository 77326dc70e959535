package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetDuplicate sends datagrams twice.
var NetDuplicate = define("net.duplicate",
	"Deliver datagrams more than once.",
	Duplicate{Rate: 0.01, Copies: 1, Direction: Both},
	`
kind: net.duplicate
target: {service: dns-service}
params: {rate: 5%}
`, Kind{
		Acts:          OnEdges,
		Grounds:       []string{"relay"},
		Datagrams:     true,
		DatagramsOnly: true,
		Details:       `A datagram that was drawn leaves with its copies right behind it. Faults that were armed later draw each copy by itself, so that it may be lost or late. TCP takes duplicates out before anybody sees them, so that there is nothing to emulate on other edges.`,
		Flags:         []Flag{{Name: "duplicate", Param: "rate", Value: "P", Usage: "deliver the part P of the datagrams twice, for example 5%; udp edges", Chooses: true}},
	})

// Duplicate are the params of net.duplicate.
type Duplicate struct {
	// Rate is the share of datagrams that is duplicated, above 0.
	Rate Chance `json:"rate" doc:"chance of a datagram to be duplicated, above 0 and up to 1, for example 0.05 or 5%"`
	// Copies come besides the datagram itself, from 1 to 100.
	Copies int `json:"copies,omitempty" doc:"copies that come besides the datagram itself, from 1 to 100"`
	// Direction of the datagrams; the default is both.
	Direction Direction `json:"direction,omitempty" doc:"which datagrams are duplicated, as the caller sees them" enum:"both,response,request"`
}

// Validate checks the ranges.
func (p *Duplicate) Validate() error {
	errs := []error{mustChance("rate", p.Rate)}
	if p.Copies < 1 || p.Copies > 100 {
		errs = append(errs, strict.Fieldf("copies", "must be from 1 to 100, not %d", p.Copies))
	}
	return errors.Join(errs...)
}
