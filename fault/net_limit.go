package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetLimit ends connections after some bytes or some time.
var NetLimit = define("net.limit",
	"Close connections after a number of bytes, or after a time.",
	Limit{Direction: Response},
	`
kind: net.limit
target: {service: catalog-service}
params: {bytes: 10KiB}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Details:   `Exactly that many bytes pass per connection and direction, counted from when the fault met the connection; then both sides are closed. With 0B that is at the first byte, which does not pass. With after, a connection is closed that long after the fault met it, whatever flows; it may stand beside bytes or alone. Connections opened later have the same to spend.`,
		Flags:     []Flag{{Name: "limit", Param: "bytes", Value: "SIZE", Usage: "close connections after answers of SIZE in all, for example 10KiB", Chooses: true}},
	})

// maxSize bounds a number of bytes.
const maxSize = Size(1 << 53)

// Limit are the params of net.limit.
type Limit struct {
	// Bytes that pass per connection and direction; nil is no limit.
	Bytes *Size `json:"bytes,omitempty" doc:"how many bytes pass per connection and direction, for example 10KiB; 0B closes at the first, at most 8192TiB; no limit by default"`
	// After is how long a connection lives; 0 is no limit.
	After Duration `json:"after,omitempty" doc:"how long a connection lives, for example 30s, at most 720h; no limit by default"`
	// Direction of the bytes that are counted; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are counted, as the caller sees them; with both, each direction by itself" enum:"response,request,both"`
}

// Validate checks the ranges, and that something is limited.
func (p *Limit) Validate() error {
	var errs []error
	if p.Bytes == nil && p.After == 0 {
		errs = append(errs, strict.Fieldf("", "must limit something: give `bytes`, for example 10KiB, or `after`, for example 30s"))
	}
	if p.Bytes != nil && (*p.Bytes < 0 || *p.Bytes > maxSize) {
		errs = append(errs, strict.Fieldf("bytes", "must be from 0B to 8192TiB, not %s", *p.Bytes))
	}
	return errors.Join(append(errs, mayEnd("after", p.After))...)
}
