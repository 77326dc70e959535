package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetSlice cuts a stream into small pieces.
var NetSlice = define("net.slice",
	"Cut the stream of bytes into small pieces, each written by itself.",
	Slice{Direction: Response},
	`
kind: net.slice
target: {service: catalog-service}
params: {size: 64B, variation: 32B, delay: 10ms}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Details:   `Each piece has a length drawn evenly from size - variation to size + variation, and at least one byte. With a delay each piece leaves that long after the one before it, which limits throughput to size / delay. It finds readers that take one read for one message.`,
		Flags:     []Flag{{Name: "slice", Param: "size", Value: "SIZE", Usage: "cut answers into pieces of about SIZE, for example 64B", Chooses: true}},
	})

// maxSlice bounds a piece.
const maxSlice = Size(1 << 30)

// Slice are the params of net.slice.
type Slice struct {
	// Size of a piece, from 1B to 1GiB.
	Size Size `json:"size" doc:"mean length of a piece, for example 64B; from 1B to 1GiB"`
	// Variation of the size either way, at most the size.
	Variation Size `json:"variation,omitempty" doc:"varies the length evenly by up to this much either way; at most the size"`
	// Delay between two pieces, at most 1h.
	Delay Duration `json:"delay,omitempty" doc:"wait between two pieces, for example 10ms; none by default, at most 1h"`
	// Direction of the bytes that are cut; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are cut into pieces, as the caller sees them" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *Slice) Validate() error {
	var errs []error
	if p.Size < 1 || p.Size > maxSlice {
		errs = append(errs, strict.Fieldf("size", "must be given, from 1B to %s, for example 64B", maxSlice))
	}
	if p.Variation < 0 || p.Variation > p.Size {
		errs = append(errs, strict.Fieldf("variation", "must be from 0B to the size (%s), not %s", p.Size, p.Variation))
	}
	return errors.Join(append(errs, mayDelay("delay", p.Delay))...)
}
