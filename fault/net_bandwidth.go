package fault

import "github.com/chaosctl/chaosctl/internal/strict"

// NetBandwidth limits the rate of bytes.
var NetBandwidth = define("net.bandwidth",
	"Limit how many bytes per second pass an edge.",
	Bandwidth{Direction: Response},
	`
kind: net.bandwidth
target: {service: catalog-service}
params: {rate: 64KiB/s}
`, Kind{
		Acts:    OnEdges,
		Grounds: []string{"relay"},
		Details: `The limit holds for each connection of a TCP edge and for each exchange of an HTTP edge. A WebSocket or other upgrade is one exchange: it is limited if it began while the fault was in force; one that was open before is spared.`,
		Flags:   []Flag{{Name: "bandwidth", Param: "rate", Value: "R", Usage: "limit answers to R, for example 64KiB/s", Chooses: true}},
	})

// Bandwidth are the params of net.bandwidth.
type Bandwidth struct {
	// Rate at which bytes pass.
	Rate Rate `json:"rate" doc:"bytes per second, for example 64KiB/s, 1MB/s or 8mbit/s; from 1B/s to 1TB/s"`
	// Direction of the bytes that are slowed; the default is response.
	Direction Direction `json:"direction,omitempty" doc:"which bytes are slowed, as the caller sees them" enum:"response,request,both"`
}

// Validate checks the ranges.
func (p *Bandwidth) Validate() error {
	if p.Rate <= 0 {
		return strict.Fieldf("rate", "must be given, for example 64KiB/s")
	}
	return nil
}
