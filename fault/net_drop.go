package fault

import "errors"

// NetDrop drops chunks of a stream.
var NetDrop = define("net.drop",
	"Drop chunks of the stream of bytes, which corrupts it.",
	Drop{Rate: 0.01, Direction: Response},
	`
kind: net.drop
target: {service: db-service}
params: {rate: 5%, correlation: 25%}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Details:   `What is read from one side in one go, up to 64 KiB, is dropped with that chance, and what follows closes up: the stream is corrupt. That is not what the loss of packets does to TCP, which sends them again: for that, packets have to be lost below TCP, and callers see delays instead. It finds readers that do not check what they get. The end of the stream is never dropped.`,
		Flags:     []Flag{{Name: "drop", Param: "rate", Value: "P", Usage: "drop the part P of the chunks of answers, for example 5%; corrupts them", Chooses: true}},
	})

// Drop are the params of net.drop.
type Drop struct {
	// Rate is the chance of a chunk to be dropped.
	Rate Chance `json:"rate" doc:"chance of a chunk to be dropped, from 0 to 1, for example 0.05 or 5%"`
	// Correlation is added to the rate right after a chunk was dropped, so that
	// drops come in bursts; the sum counts as 1 at most.
	Correlation Chance `json:"correlation,omitempty" doc:"added to the rate right after a drop, from 0 to 1: makes bursts; 0 by default"`
	// Direction of the bytes that are dropped; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are dropped, as the caller sees them" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *Drop) Validate() error {
	return errors.Join(p.Rate.check("rate"), p.Correlation.check("correlation"))
}
