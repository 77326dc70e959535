package fault

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// NetLoss loses packets.
var NetLoss = define("net.loss",
	"Lose packets: datagrams of udp edges; on tcp edges the stalls that follow are emulated.",
	Loss{Loss: 0.01, RTT: Duration(50e6), Direction: Both},
	`
kind: net.loss
target: {service: dns-service}
params: {loss: 10%}
`, Kind{
		Acts:      OnEdges,
		Grounds:   []string{"relay"},
		BytesOnly: true,
		Datagrams: true,
		Emulated:  "a stream cannot lose packets and stay a stream, so each loss is a stall as TCP's retransmission would make it",
		Details: `On a udp edge datagrams are really lost; the receipt's injected are those that were. Each is lost by itself, or with correlation shares the fate of the one before it on the edge, or with burst comes in runs of that mean length (the model of Gilbert, 1960). The mean share that is lost stays the same with either.

On a tcp edge the loss is emulated, since the relay ends the TCP connection on both sides and a stream must not have holes. What is read in one go is taken as segments of 1460 bytes. Each is lost with the chance; then it, and all that follows it, waits for as long as its retransmission would take. Where three or more segments follow in what was read at once, that is one rtt (fast retransmit on the third duplicate acknowledgement, RFC 5681 section 3.2); else it is the retransmission timeout, max(200ms, 3 rtt), which is the first estimate of RFC 6298 section 2.2, srtt + 4 rttvar, with the floor that Linux has in the place of the RFC's second. If the retransmission is lost, too, the timeout doubles (RFC 6298 section 5.5), up to 60s each and 15 times. One loss is repaired after the other (NewReno, RFC 6582, without SACK), so that bulk data passes at 1460B / (loss * rtt) at most: 2.9MB/s at 1% and 50ms. What is not emulated: the handshake, a congestion window that shrinks (a Reno sender would get about 0.35MB/s then), tail loss probes and FINs.

Http edges refuse it: one loss would stall all requests of a connection there, and the edge sees each by itself.`,
		Flags: []Flag{
			{Name: "loss", Param: "loss", Value: "P", Usage: "lose the part P of the packets, for example 5%; emulated by stalls on tcp edges", Chooses: true},
		},
	})

// Loss are the params of net.loss.
type Loss struct {
	// Loss is the share of packets that is lost, above 0.
	Loss Chance `json:"loss" doc:"chance of a packet to be lost, above 0 and up to 1, for example 0.1 or 10%"`
	// Correlation is the chance that a packet shares the fate of the one before it.
	Correlation Chance `json:"correlation,omitempty" doc:"chance that a packet shares the fate of the one before it, from 0 to 1; the mean loss stays the same; 0 by default"`
	// Burst is the mean length of runs of lost packets, 1 or more; 0 is absent.
	Burst float64 `json:"burst,omitempty" doc:"mean number of packets that are lost in a row, 1 or more; the mean loss stays the same; by default each is lost by itself"`
	// RTT is the round trip that retransmissions are emulated for on tcp edges.
	RTT Duration `json:"rtt,omitempty" doc:"tcp edges only: round trip time for which retransmissions are emulated"`
	// Direction of the packets that are lost; the default is both.
	Direction Direction `json:"direction,omitempty" doc:"which packets are lost, as the caller sees them" enum:"both,response,request"`
}

// Validate checks the ranges.
func (p *Loss) Validate() error {
	errs := []error{mustChance("loss", p.Loss), p.Correlation.check("correlation"), mayDelay("rtt", p.RTT)}
	switch {
	case p.Burst == 0:
	case !(p.Burst >= 1 && p.Burst <= 1e6):
		errs = append(errs, strict.Fieldf("burst", "must be from 1 to 1000000 packets, not %v", p.Burst))
	case p.Correlation > 0:
		errs = append(errs, strict.Fieldf("burst", "and `correlation` are two ways to say the same; leave one out"))
	case p.Loss < 1 && float64(p.Loss)/(p.Burst*(1-float64(p.Loss))) > 1:
		errs = append(errs, strict.Fieldf("burst", "is too short for a loss of %.4g%%: runs of lost packets are %.3g long on average then, with a single packet between them", float64(p.Loss)*100, float64(p.Loss)/(1-float64(p.Loss))))
	}
	return errors.Join(errs...)
}

// mustChance checks a chance that a kind is nothing without.
func mustChance(field string, c Chance) error {
	if !(c > 0 && c <= 1) {
		return strict.Fieldf(field, "must be above 0 and up to 1, such as 0.05 or 5%%, not %v", float64(c))
	}
	return nil
}
