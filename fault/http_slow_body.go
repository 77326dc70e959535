package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// HTTPSlowBody paces the bodies of answers.
var HTTPSlowBody = define("http.slow-body",
	"Let the body of answers trickle: at a rate, over a time, or late.",
	SlowBody{},
	`
kind: http.slow-body
target: {service: catalog-service}
params: {over: 10s}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details:  `The head of the answer leaves at once; only the body is paced, so a caller whose timeout counts up to the head, or from byte to byte, is not saved by it. The callee feels the pressure: little is read ahead of what was sent. At the lift the rest goes on at full speed. over needs a body whose length is told beforehand; without, and where there is no body at all, nothing happens and the exchange counts as skipped.`,
		Flags:    []Flag{{Name: "slow-body", Param: "rate", Value: "R", Usage: "let the body of answers trickle at R, for example 1KB/s", Chooses: true}},
	})

// SlowBody are the params of http.slow-body.
type SlowBody struct {
	// Rate of the body, for each exchange by itself.
	Rate Rate `json:"rate,omitempty" doc:"bytes per second of each body, for example 1KB/s"`
	// Over spreads a body of known length evenly.
	Over Duration `json:"over,omitempty" doc:"how long a body takes from its first byte to its last, for example 10s, at most 1h; in the place of rate"`
	// Chunk is how many bytes leave at a time; the relay chooses if it is 0.
	Chunk Size `json:"chunk,omitempty" strict:"positive" doc:"how many bytes leave at a time, for example 1B; as even as is sensible by default, at most 1MiB"`
	// FirstByte is how long the body's first byte waits behind the head.
	FirstByte Duration `json:"firstByte,omitempty" doc:"how long the first byte of the body waits behind the head, at most 1h"`
}

// Validate checks the ranges, and that something is slow.
func (p *SlowBody) Validate() error {
	var errs []error
	switch {
	case p.Rate != 0 && p.Over != 0:
		errs = append(errs, strict.Fieldf("over", "says the rate, too; leave one of `rate` and `over` out"))
	case p.Rate == 0 && p.Over == 0 && p.FirstByte == 0:
		errs = append(errs, strict.Fieldf("", "must slow something: give `rate`, for example 1KB/s, `over`, for example 10s, or `firstByte`"))
	case p.Chunk != 0 && p.Rate == 0 && p.Over == 0:
		errs = append(errs, strict.Fieldf("chunk", "goes with `rate` or `over`"))
	}
	if p.Rate < 0 || p.Rate > MaxRate {
		errs = append(errs, strict.Fieldf("rate", "must be from 1B/s to 1TB/s, not %s", p.Rate))
	}
	if p.Chunk < 0 || p.Chunk > MaxBody {
		errs = append(errs, strict.Fieldf("chunk", "must be from 1B to %s, not %s", MaxBody, p.Chunk))
	}
	return errors.Join(append(errs, mayDelay("over", p.Over), mayDelay("firstByte", p.FirstByte))...)
}
