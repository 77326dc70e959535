package relay

import (
	"bytes"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// began is the time at which the streams of these tests begin: stages know no
// other clock than the times of chunks.
var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// at is a moment of a stream.
func at(d time.Duration) time.Time { return began.Add(d) }

// data is a chunk of bytes that came at a moment.
func data(d time.Duration, b []byte) relay.Chunk { return relay.Chunk{Data: b, Due: at(d)} }

// pass sends chunks through a stage and returns what comes out.
func pass(s relay.Stage, chunks ...relay.Chunk) (out []relay.Chunk) {
	for _, c := range chunks {
		s.Pass(c, func(c relay.Chunk) { out = append(out, c) })
	}
	return out
}

// joined are the bytes of chunks.
func joined(chunks []relay.Chunk) []byte {
	var b []byte
	for _, c := range chunks {
		b = append(b, c.Data...)
	}
	return b
}

// counted are n bytes of which each differs from its neighbours.
func counted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func expect(t *testing.T, got []relay.Chunk, want ...relay.Chunk) {
	t.Helper()
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && bytes.Equal(got[i].Data, want[i].Data) && got[i].Due.Equal(want[i].Due) && got[i].End == want[i].End && got[i].Free == want[i].Free
	}
	if !same {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Each stage acts along its direction, and nowhere else.
func TestStagesKeepTheirDirection(t *testing.T) {
	for _, s := range table {
		for _, d := range []fault.Direction{fault.Request, fault.Response, fault.Both} {
			e := directed(s.kind.Name, d)
			if e == nil {
				continue
			}
			for _, way := range []relay.Way{relay.Up, relay.Down} {
				want := d == fault.Both || d == fault.Request == (way == relay.Up)
				if got := e.Stage(way, fault.Connection, &relay.Rand{}) != nil; got != want {
					t.Errorf("%s in direction %s acts on the %s: %t", s.kind.Name, d, way, got)
				}
			}
		}
	}
}

func directed(kind string, d fault.Direction) relay.Stager {
	some := fault.Size(5)
	p := map[string]fault.Params{
		"net.latency":    &fault.Latency{Delay: 1, Direction: d},
		"net.bandwidth":  &fault.Bandwidth{Rate: 1, Direction: d},
		"net.slow-close": &fault.SlowClose{Delay: 1, Direction: d},
		"net.timeout":    &fault.Timeout{Direction: d},
		"net.reset":      &fault.Reset{On: fault.ResetOnData, Direction: d},
		"net.slice":      &fault.Slice{Size: 1, Direction: d},
		"net.limit":      &fault.Limit{Bytes: &some, Direction: d},
		"net.noop":       &fault.Noop{Direction: d},
		"net.drop":       &fault.Drop{Direction: d},
	}[kind]
	if p == nil {
		return nil
	}
	e, _ := table[kind].effect(p)
	return e.(relay.Stager)
}

// What a kind says of itself is what its effect is.
func TestBytesOnly(t *testing.T) {
	for _, s := range table {
		var f fault.Fault
		if err := strict.Unmarshal("", []byte(s.kind.Example), &f); err != nil {
			t.Fatal(err)
		}
		e, err := s.effect(f.Params)
		if err != nil {
			t.Fatal(err)
		}
		_, raw := e.(relay.Raw)
		_, greets := e.(relay.Greeter)
		if s.kind.BytesOnly != (raw || greets) {
			t.Errorf("%s says bytesOnly: %t, and its effect is a %T", s.kind.Name, s.kind.BytesOnly, e)
		}
	}
}

func TestSlowCloseDelaysTheEndAlone(t *testing.T) {
	b := counted(10)
	for _, end := range []relay.Ending{relay.Close, relay.Reset, relay.Over} {
		expect(t, pass(linger(5*time.Second), data(0, b), relay.Chunk{Due: at(1)}, relay.Chunk{Data: b, Due: at(2), End: end}),
			data(0, b), relay.Chunk{Due: at(1)}, data(2, b), relay.Chunk{Due: at(2 + 5*time.Second), End: end})
	}
}

func TestTimeoutLosesBytesAndCountsFromTheLast(t *testing.T) {
	s := &void{after: time.Minute, last: at(0)}
	ends := func(want time.Duration) {
		t.Helper()
		if when, how := s.Deadline(); !when.Equal(at(want)) || how != relay.Close {
			t.Errorf("ends at %s by %d, not %s", when, how, want)
		}
	}
	ends(time.Minute)
	expect(t, pass(s, data(time.Second, counted(100)), data(2*time.Second, counted(1))))
	ends(time.Minute + 2*time.Second)
	expect(t, pass(s, relay.Chunk{Due: at(time.Hour), End: relay.Close}), relay.Chunk{Due: at(time.Hour), End: relay.Close})
	ends(time.Minute + 2*time.Second)

	if when, _ := (&void{last: at(0)}).Deadline(); !when.IsZero() {
		t.Errorf("without a time it ends at %s", when)
	}
	if (timeout{}).Parting(false) != relay.Close || (timeout{}).Parting(true) != relay.Close {
		t.Error("the lift leaves a connection open")
	}
}

func TestResetOnData(t *testing.T) {
	for _, first := range []relay.Chunk{data(time.Second, counted(5)), {Due: at(time.Second), End: relay.Close}} {
		s := &fuse{after: time.Minute}
		if when, _ := s.Deadline(); !when.IsZero() {
			t.Errorf("before anything came it is reset at %s", when)
		}
		expect(t, pass(s, first, data(2*time.Second, counted(5)), relay.Chunk{Due: at(3 * time.Second), End: relay.Close}))
		if when, how := s.Deadline(); !when.Equal(at(time.Second+time.Minute)) || how != relay.Reset {
			t.Errorf("ends at %s by %d", when, how)
		}
	}
	if (mine{}).Parting(false) != relay.GoesOn || (mine{}).Parting(true) != relay.Reset {
		t.Error("the lift must reset what has lost bytes, and nothing else")
	}
}

func TestLimitCountsBytes(t *testing.T) {
	b := counted(100)
	over := func(d time.Duration) relay.Chunk { return relay.Chunk{Due: at(d), End: relay.Over} }
	limited := func(n int64) *meter { return &meter{counts: true, limit: n} }
	expect(t, pass(limited(30), data(0, b[:20]), data(1, b[20:40]), data(2, b[40:])), data(0, b[:20]), data(1, b[20:30]), over(1))
	expect(t, pass(limited(30), data(0, b[:30])), data(0, b[:30]), over(0))
	expect(t, pass(limited(0), relay.Chunk{Due: at(0), End: relay.Close}), relay.Chunk{Due: at(0), End: relay.Close})
	expect(t, pass(limited(0), data(0, b), data(1, b)), over(0))
	expect(t, pass(limited(30), relay.Chunk{Data: b, Due: at(0), End: relay.Close}), data(0, b[:30]), over(0))
	expect(t, pass(&meter{}, data(0, b)), data(0, b))

	old, heir, alien := limited(100), limited(120), limited(5)
	pass(old, data(0, b[:90]))
	heir.Inherit(old)
	expect(t, pass(heir, data(1, b)), data(1, b[:30]), over(1))
	lower := limited(40)
	lower.Inherit(old)
	expect(t, pass(lower, data(1, b)), over(1))
	alien.Inherit(through{})
	expect(t, pass(alien, data(1, b[:4])), data(1, b[:4]))
}

func TestLimitOfTime(t *testing.T) {
	before := time.Now()
	m := limit{fault.Limit{After: fault.Duration(time.Minute)}}.Stage(relay.Down, fault.Connection, nil).(*meter)
	when, how := m.Deadline()
	if when.Before(before.Add(time.Minute)) || when.After(time.Now().Add(time.Minute)) || how != relay.Close {
		t.Errorf("ends at %s by %d", when, how)
	}
	pass(m, data(0, counted(1000)))
	if again, _ := m.Deadline(); !again.Equal(when) {
		t.Error("bytes move the end")
	}
	if when, _ := (&meter{counts: true}).Deadline(); !when.IsZero() {
		t.Errorf("a limit of bytes ends at %s", when)
	}
}

func TestDropByChance(t *testing.T) {
	const n = 20000
	for _, tt := range []struct {
		rate, more float64
		want       float64 // of all chunks, in the long run
	}{{0, 0, 0}, {0, 1, 0}, {1, 0, 1}, {0.2, 0, 0.2}, {0.2, 0.3, 0.2 / 0.7}, {0.5, 0.9, 1}} {
		s := &leak{rate: tt.rate, more: tt.more, r: &relay.Rand{}}
		lost := 0
		for range n {
			lost += 1 - len(pass(s, data(0, []byte{1})))
		}
		if got := float64(lost) / n; got < tt.want-0.02 || got > tt.want+0.02 {
			t.Errorf("rate %v, correlation %v: %v are lost, not %v", tt.rate, tt.more, got, tt.want)
		}
	}
	all := &leak{rate: 1, r: &relay.Rand{}}
	end := relay.Chunk{Due: at(1), End: relay.Close}
	expect(t, pass(all, relay.Chunk{Due: at(0)}, data(0, counted(5)), end), relay.Chunk{Due: at(0)}, end)
	expect(t, pass(all, relay.Chunk{Data: counted(5), Due: at(1), End: relay.Close}), end)
}

func TestNoopChangesNothing(t *testing.T) {
	in := []relay.Chunk{{Due: at(0)}, data(1, counted(9)), {Due: at(2), End: relay.Reset}}
	expect(t, pass(through{}, in...), in...)
}

func TestSlowAcceptStaysWithin(t *testing.T) {
	e := slowAccept{fault.SlowAccept{Delay: fault.Duration(time.Second), Jitter: fault.Duration(time.Second)}}
	r := &relay.Rand{}
	for range 1000 {
		if d := e.Greet(r); d < 0 || d > 2*time.Second {
			t.Fatalf("waits %s", d)
		}
	}
}
