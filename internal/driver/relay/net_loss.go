package relay

import (
	"fmt"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetLoss,
	func(p *fault.Loss) relay.Effect { return newLoss(*p) },
	func(p *fault.Loss) words {
		w := words{
			touches:  fmt.Sprintf("%.4g%%%% of the datagrams of %s on %%s are lost", float64(p.Loss)*100, flow(p.Direction)),
			emulated: fmt.Sprintf("%s on %%s stall as if %.4g%%%% of their packets were lost (emulated)", flow(p.Direction), float64(p.Loss)*100),
			undoes:   "bytes that wait leave at once",
		}
		if p.Burst > 1 {
			w.touches += fmt.Sprintf(", %.4g in a row", p.Burst)
		}
		w.datagrams = &words{touches: w.touches}
		return w
	})

// loss loses datagrams. On a stream it makes the stalls that lost packets would.
type loss struct {
	p     fault.Loss
	lanes [2]*wire // of all datagrams of a way; nil where none are lost
}

func newLoss(p fault.Loss) relay.Effect {
	l := loss{p: p}
	for _, way := range []relay.Way{relay.Up, relay.Down} {
		if along(p.Direction, way) {
			l.lanes[way] = &wire{chain: chainOf(p)}
		}
	}
	return l
}

func (loss) Raw() {}

func (l loss) Lane(way relay.Way) relay.Lane {
	if l.lanes[way] == nil {
		return nil
	}
	return l.lanes[way]
}

func (l loss) Stage(way relay.Way, _ fault.Unit, r *relay.Rand) relay.Stage {
	if !along(l.p.Direction, way) {
		return nil
	}
	rtt := l.p.RTT.Std()
	return &stalls{chain: chainOf(l.p), rtt: rtt, rto: max(leastRTO, 3*rtt), r: r}
}

// chain decides which of a row of packets are lost: each by itself, or with a memory
// of the last one.
type chain struct {
	loss   float64
	repeat float64 // chance to do as with the last one
	stay   float64 // in a burst: chance that the next one is lost, too
	enter  float64 // chance that a burst begins; 0 without bursts
	lost   bool    // the last one was
}

// chainOf chooses the chances so that in the long run the share asked for is lost.
//
// With a correlation c a packet shares the fate of the last one with the chance c and
// is drawn anew otherwise, which leaves the mean as it is. Bursts of the mean length
// n end with the chance 1/n at each packet; with the chance g that one begins, the
// share that is lost is g/(g+1/n), so that g = loss/(n*(1-loss)). (E. N. Gilbert,
// Capacity of a Burst-Noise Channel, 1960, with a bad state that loses all.)
func chainOf(p fault.Loss) chain {
	c := chain{loss: float64(p.Loss), repeat: float64(p.Correlation)}
	if p.Burst > 0 && p.Loss < 1 {
		c.stay = 1 - 1/p.Burst
		c.enter = c.loss / (p.Burst * (1 - c.loss))
	}
	return c
}

// next tells whether the next packet is lost.
func (c *chain) next(r *relay.Rand) bool {
	switch {
	case c.enter > 0 && c.lost:
		c.lost = r.Float() < c.stay
	case c.enter > 0:
		c.lost = r.Float() < c.enter
	case c.repeat > 0 && r.Float() < c.repeat:
	default:
		c.lost = r.Float() < c.loss
	}
	return c.lost
}

// wire loses the datagrams of one way, whoever sends them.
type wire struct {
	mu    sync.Mutex
	chain chain
}

func (w *wire) Packet(_ int, _ time.Time, chance *relay.Rand) relay.Fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return relay.Fate{Drop: w.chain.next(chance)}
}

const (
	// segment is what a packet of TCP carries on an Ethernet.
	segment = 1460
	// leastRTO is Linux's floor of the retransmission timeout, mostRTO the most that
	// RFC 6298 (2.5) allows it to be bounded by.
	leastRTO, mostRTO = 200 * time.Millisecond, 60 * time.Second
	// retries is how often a segment is sent again at most, as Linux does.
	retries = 15
	// duplicates is how many segments have to follow a lost one to have it sent again
	// at once (RFC 5681, 3.2).
	duplicates = 3
	// window is how many bytes wait for a stall at most.
	window = 256 << 10
)

// stalls delays a stream as the loss of its packets would; see fault.NetLoss.
type stalls struct {
	chain    chain
	rtt, rto time.Duration
	r        *relay.Rand
	until    time.Time // of the last stall
}

// Pass cuts a chunk where segments that are lost begin; each chunk begins one.
func (s *stalls) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	sent := 0
	for at := 0; at < len(c.Data); at += segment {
		if !s.chain.next(s.r) {
			continue
		}
		if at > sent {
			emit(relay.Chunk{Data: c.Data[sent:at], Due: later(c.Due, s.until), Free: c.Free})
		}
		sent = at
		s.stall(c.Due, len(c.Data)-at > duplicates*segment)
	}
	c.Data, c.Due = c.Data[sent:], later(c.Due, s.until)
	emit(c)
}

// stall adds the time until a lost segment has arrived; more tells whether enough
// others follow for a fast retransmission.
func (s *stalls) stall(came time.Time, more bool) {
	from, rto := later(came, s.until), s.rto
	if more {
		if s.until = from.Add(s.rtt); !s.chain.next(s.r) {
			return
		}
		from = s.until
	}
	for try := 0; ; try++ {
		from = from.Add(rto)
		rto = min(2*rto, mostRTO)
		if try == retries || !s.chain.next(s.r) {
			break
		}
	}
	s.until = from
}

// Bound and Rate have the sender feel the stalls.
func (s *stalls) Bound() int { return window }

// Rate is that of segments of which each that is lost costs a round trip.
func (s *stalls) Rate() float64 {
	cost := s.chain.loss * max(s.rtt, time.Millisecond).Seconds()
	return min(segment/cost, float64(fault.MaxRate))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
