package relay

import (
	"bytes"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// A line that is kept busy meets its rate: over all to the microsecond, in each
// 100 ms to a piece; at odd rates as well, where every due time is rounded.
func TestBandwidthOfAFullLine(t *testing.T) {
	for _, rate := range []fault.Rate{1, 999, 65_537, 1e6, 3_333_333, 1e8, 1e9, 1e12} {
		s := newBandwidth(fault.Bandwidth{Rate: rate}).(bandwidth).Stage(relay.Down, fault.Connection, nil).(*pace)
		chunk, sent := counted(64<<10), 0
		if rate < 1000 {
			chunk = chunk[:7]
		}
		window, inWindow := 0, 0
		var last relay.Chunk
		for sent < 2*int(min(rate, 1e9)) {
			out := pass(s, data(0, chunk))
			if !bytes.Equal(joined(out), chunk) {
				t.Fatal("the bytes are not those that came in")
			}
			for _, c := range out {
				last = c
				if w := int(c.Due.Sub(began) / (100 * time.Millisecond)); w != window {
					if want := float64(rate) / 10; window > 0 && w == window+1 && (float64(inWindow) < want-float64(s.line.piece)-1 || float64(inWindow) > want+float64(s.line.piece)+1) {
						t.Errorf("%s: %d bytes in a window, not %.0f", rate, inWindow, want)
					}
					window, inWindow = w, 0
				}
				inWindow += len(c.Data)
			}
			sent += len(chunk)
		}
		want := time.Duration(float64(sent) / float64(rate) * 1e9)
		if took := last.Due.Sub(began); took < want-time.Microsecond || took > want+time.Microsecond {
			t.Errorf("%s: %d bytes take %s, not %s", rate, sent, took, want)
		}
		if piece := time.Duration(float64(s.line.piece) / float64(rate) * 1e9); rate >= 1000 && piece > longest {
			t.Errorf("%s: a piece takes %s", rate, piece)
		}
		if s.Bound() < 1 || !(s.Rate() > 0) {
			t.Errorf("%s: bound %d, rate %v", rate, s.Bound(), s.Rate())
		}
	}
}

// Time in which nothing was sent is lost, not saved up.
func TestBandwidthSavesNothingUp(t *testing.T) {
	s := &pace{line: newLine(1000)}
	pass(s, data(0, counted(10)))
	out := pass(s, data(time.Minute, counted(1000)))
	if last := out[len(out)-1]; !last.Due.Equal(at(time.Minute + time.Second)) {
		t.Errorf("1000 bytes after a pause have passed %s after they came", last.Due.Sub(at(time.Minute)))
	}
	if first := out[0]; !first.Due.After(at(time.Minute)) {
		t.Error("the first piece takes no time")
	}
}

// Rounding does not add up: a byte a time gives what a block does.
func TestBandwidthDoesNotDrift(t *testing.T) {
	s := &pace{line: newLine(3_000_000)} // 333.3 ns a byte
	var last relay.Chunk
	const n = 600_000
	for range n {
		last = pass(s, data(0, []byte{1}))[0]
	}
	if off := last.Due.Sub(at(n * time.Second / 3_000_000)); off < -time.Microsecond || off > time.Microsecond {
		t.Errorf("off by %s", off)
	}
}

func TestBandwidthHeadsAndEndsTakeNoTime(t *testing.T) {
	s := &pace{line: newLine(10)}
	b := counted(1)
	expect(t, pass(s, relay.Chunk{Due: at(0)}, relay.Chunk{Data: b, Due: at(0), End: relay.Close}),
		relay.Chunk{Due: at(0)}, data(100*time.Millisecond, b), relay.Chunk{Due: at(100 * time.Millisecond), End: relay.Close})
}

// With scope edge, all units of a direction share the rate, and each is told its
// part; the other direction has a line of its own.
func TestBandwidthOfAnEdge(t *testing.T) {
	e := newBandwidth(fault.Bandwidth{Rate: 1000, Scope: fault.PerEdge, Direction: fault.Both}).(bandwidth)
	stage := func(w relay.Way) *pace { return e.Stage(w, fault.Connection, nil).(*pace) }
	a, b, up := stage(relay.Down), stage(relay.Down), stage(relay.Up)
	end := func(out []relay.Chunk) time.Duration { return out[len(out)-1].Due.Sub(began) }
	if got := end(pass(a, data(0, counted(500)))); got != 500*time.Millisecond {
		t.Errorf("the first has the line for %s", got)
	}
	if a.Rate() != 1000 || b.Rate() != 500 {
		t.Errorf("rates %v and %v while one sends and another is about to", a.Rate(), b.Rate())
	}
	if got := end(pass(b, data(0, counted(500)))); got != time.Second {
		t.Errorf("the second comes after the first, at %s", got)
	}
	if got := end(pass(up, data(0, counted(500)))); got != 500*time.Millisecond {
		t.Errorf("the other direction: %s", got)
	}
	if a.Rate() != 500 || b.Rate() != 500 || up.Rate() != 1000 {
		t.Errorf("rates %v, %v, %v", a.Rate(), b.Rate(), up.Rate())
	}
	pass(b, data(700*time.Millisecond, counted(1)))
	if b.Rate() != 1000 {
		t.Errorf("rate %v once the other is done", b.Rate())
	}
	pass(a, data(time.Minute, counted(1)))
	if l := a.line; len(l.turns) != 1 || l.units != 1 || a.pending != 1 || b.pending != 0 {
		t.Errorf("turns are not forgotten: %d, of %d units", len(l.turns), l.units)
	}
}
