package relay

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// However losses hang together, the share that was asked for is lost, in runs of the
// length that was.
func TestLossChains(t *testing.T) {
	const n = 400_000
	for _, c := range []struct {
		p   fault.Loss
		run float64 // mean length of what is lost in a row
	}{
		{fault.Loss{Loss: 0.05}, 1 / 0.95},
		{fault.Loss{Loss: 0.3, Burst: 1}, 1},
		{fault.Loss{Loss: 0.05, Burst: 8}, 8},
		{fault.Loss{Loss: 0.5, Burst: 3}, 3},
		{fault.Loss{Loss: 0.2, Correlation: 0.5}, 1 / (0.5 * 0.8)},
		{fault.Loss{Loss: 1}, n},
		{fault.Loss{Loss: 1, Burst: 2}, n},
	} {
		if err := c.p.Validate(); err != nil {
			t.Error(err)
		}
		chain, r := chainOf(c.p), &relay.Rand{}
		lost, runs, last := 0, 0, false
		for range n {
			now := chain.next(r)
			if now {
				lost++
				if !last {
					runs++
				}
			}
			last = now
		}
		if share := float64(lost) / n; math.Abs(share-float64(c.p.Loss)) > 0.03*float64(c.p.Loss) {
			t.Errorf("%+v: %.4g are lost", c.p, share)
		}
		if run := float64(lost) / float64(runs); math.Abs(run-c.run) > 0.05*c.run {
			t.Errorf("%+v: runs of %.3g, not %.3g", c.p, run, c.run)
		}
	}
}

// A stall lasts as long as a retransmission takes: a round trip where others follow,
// else the timeout, which doubles while the retransmission is lost, too.
func TestStallTimes(t *testing.T) {
	const ms = time.Millisecond
	again := 102200*ms + 7*60*time.Second // 200ms doubled nine times up to 51.2s, then 60s
	for _, c := range []struct {
		rtt  time.Duration
		loss fault.Chance // of retransmissions
		more bool
		want time.Duration
	}{
		{50 * ms, 0, true, 50 * ms},
		{50 * ms, 0, false, 200 * ms},
		{100 * ms, 0, false, 300 * ms},
		{50 * ms, 1, false, again},
		{50 * ms, 1, true, 50*ms + again},
	} {
		s := newLoss(fault.Loss{Loss: c.loss, RTT: fault.Duration(c.rtt), Direction: fault.Both}).(loss).Stage(relay.Up, fault.Connection, &relay.Rand{}).(*stalls)
		s.stall(at(time.Second), c.more)
		if got := s.until.Sub(at(time.Second)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		s.stall(at(0), false) // while it stalls: one repair after the other
		if c.loss == 0 {
			if got := s.until.Sub(at(time.Second)); got != c.want+s.rto {
				t.Errorf("%+v, then a timeout: %s", c, got)
			}
		}
	}
}

// Stalls change when bytes leave, and nothing else: all come, in order, none early;
// bulk data passes at the rate that the documentation says.
func TestStallsKeepTheStream(t *testing.T) {
	const rtt, share = 10 * time.Millisecond, 0.01
	s := newLoss(fault.Loss{Loss: share, RTT: fault.Duration(rtt), Direction: fault.Both}).(loss).Stage(relay.Down, fault.Connection, &relay.Rand{}).(*stalls)
	last, sent := began, 0
	for i := range 500 {
		in := counted(64<<10 - i)
		out := pass(s, data(0, bytes.Clone(in)))
		if !bytes.Equal(joined(out), in) {
			t.Fatal("the bytes are not those that came in")
		}
		for _, c := range out {
			if c.Due.Before(last) || c.End != relay.GoesOn {
				t.Fatalf("%+v leaves before %s", c, last)
			}
			last = c.Due
		}
		sent += len(in)
	}
	// Losses in the last segments of a chunk cost a timeout: 3 of 45, and 200ms each.
	want := float64(sent) / segment * share * (42*rtt + 3*leastRTO).Seconds() / 45
	if took := last.Sub(began).Seconds(); took < 0.8*want || took > 1.25*want {
		t.Errorf("%d bytes took %.3gs, not %.3gs", sent, took, want)
	}
	out := pass(s, relay.Chunk{Due: at(0), End: relay.Close})
	expect(t, out, relay.Chunk{Due: last, End: relay.Close})
	if rate := s.Rate(); math.Abs(rate-segment/(share*rtt.Seconds())) > 1 || s.Bound() < 1 {
		t.Errorf("rate %v, bound %d", rate, s.Bound())
	}
}

// Datagrams wait for their turn on a line, and are lost where the queue is full.
func TestBandwidthDropsTheTail(t *testing.T) {
	lane := newBandwidth(fault.Bandwidth{Rate: 1000, Queue: 500, Direction: fault.Both}).(bandwidth).Lane(relay.Up)
	for i := range 10 {
		f := lane.Packet(100, at(0), nil)
		want := relay.Fate{Delay: time.Duration(i+1) * 100 * time.Millisecond}
		if i > 5 {
			want = relay.Fate{Drop: true}
		}
		if f.Drop != want.Drop || f.Delay != want.Delay {
			t.Errorf("%d: %+v, not %+v", i, f, want)
		}
	}
	if f := lane.Packet(100, at(time.Minute), nil); f.Drop || f.Delay != 100*time.Millisecond {
		t.Errorf("on an idle line: %+v", f)
	}
	if f := lane.Packet(0, at(time.Minute), nil); f.Drop || f.Delay != 0 {
		t.Errorf("an empty one: %+v", f)
	}
	one := newBandwidth(fault.Bandwidth{Rate: 1000, Scope: fault.PerEdge, Direction: fault.Both}).(bandwidth)
	one.Lane(relay.Up).Packet(1000, at(0), nil)
	if f := one.Lane(relay.Up).Packet(1000, at(0), nil); f.Delay != 2*time.Second {
		t.Errorf("on a shared line: %+v", f)
	}
	if newBandwidth(fault.Bandwidth{Rate: 1000, Direction: fault.Response}).(bandwidth).Lane(relay.Up) != nil {
		t.Error("it acts on the way that was not asked for")
	}
}

// Bits are flipped each once, however many.
func TestFlip(t *testing.T) {
	for _, bits := range []int{1, 7, 30, 31, 63, 64, 1000} {
		b := make([]byte, 8)
		flip(b, bits, &relay.Rand{})
		n := 0
		for _, x := range b {
			for ; x > 0; x &= x - 1 {
				n++
			}
		}
		if n != min(bits, 64) {
			t.Errorf("%d bits of 64 are flipped, not %d", n, bits)
		}
	}
}
