package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetCorrupt flips bits.
var NetCorrupt = define("net.corrupt",
	"Flip bits in datagrams of udp edges; on tcp edges bits of the stream, emulated.",
	Corrupt{Rate: 0.01, Bits: 1, Direction: Both},
	`
kind: net.corrupt
target: {service: dns-service}
params: {rate: 5%, bits: 3}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Datagrams: true,
		Emulated:  "TCP would find most damaged packets and send them again, so the bits are flipped in the stream behind its checksums",
		Details: `On a udp edge bits of a datagram that was drawn are flipped, each at a place of its own. The datagram goes on with a checksum that fits, since a damaged one is dropped by every kernel (net.loss shows that): what is tried is whether the application checks what it gets. Empty datagrams are spared.

On a tcp edge it is emulated: the bytes are taken as segments of 1460 bytes, and bits are flipped in each that was drawn, as by a broken middlebox that computes the checksum anew. The first bytes of each direction are spared as params say (after), for example those of a handshake; of TLS no bit passes the check of its records, so the connection ends there. Http edges refuse it: http.body damages bodies.`,
		Flags: []Flag{{Name: "corrupt", Param: "rate", Value: "P", Usage: "flip a bit in the part P of the packets, for example 5%; emulated on tcp edges", Chooses: true}},
	})

// Corrupt are the params of net.corrupt.
type Corrupt struct {
	// Rate is the share of packets that is damaged, above 0.
	Rate Chance `json:"rate" doc:"chance of a packet to be damaged, above 0 and up to 1, for example 0.05 or 5%"`
	// Bits are flipped in each, from 1 to 1000, or all that it has.
	Bits int `json:"bits,omitempty" doc:"how many of its bits are flipped, from 1 to 1000; all, if it has fewer"`
	// After is how much of each direction of a connection is spared first.
	After Size `json:"after,omitempty" doc:"tcp edges only, refused on udp: bytes of each direction of a connection that pass before, for example 4KiB of a handshake; 0 by default"`
	// Direction of the packets; the default is both.
	Direction Direction `json:"direction,omitempty" doc:"which packets are damaged, as the caller sees them" enum:"both,response,request"`
}

// OfConnections is the param that datagrams do not go with, if it is given.
func (p *Corrupt) OfConnections() string {
	if p.After > 0 {
		return "after"
	}
	return ""
}

// Validate checks the ranges.
func (p *Corrupt) Validate() error {
	errs := []error{mustChance("rate", p.Rate)}
	if p.Bits < 1 || p.Bits > 1000 {
		errs = append(errs, strict.Fieldf("bits", "must be from 1 to 1000, not %d", p.Bits))
	}
	if p.After < 0 {
		errs = append(errs, strict.Fieldf("after", "must not be negative, as %s is", p.After))
	}
	return errors.Join(errs...)
}
