package relay

import (
	"bytes"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestSlicePieces(t *testing.T) {
	for _, p := range []fault.Slice{
		{Size: 1}, {Size: 1, Variation: 1}, {Size: 10, Variation: 3, Delay: fault.Duration(time.Millisecond)}, {Size: 100, Variation: 100},
		{Size: 1 << 30, Variation: 1 << 30, Delay: fault.Duration(time.Hour)}, {Size: 1, Delay: fault.Duration(time.Hour)},
	} {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		s := slice{p}.Stage(relay.Down, fault.Connection, &relay.Rand{}).(*knife)
		b := counted(64 << 10)
		out := pass(s, data(0, b), relay.Chunk{Due: at(0), End: relay.Close})
		end := out[len(out)-1]
		out = out[:len(out)-1]
		if end.End != relay.Close || !bytes.Equal(joined(out), b) {
			t.Errorf("%+v: bytes or their end are lost", p)
		}
		low, high, due := max(1, int(p.Size-p.Variation)), int(p.Size+p.Variation), at(0)
		total := 0
		for i, c := range out {
			if n := len(c.Data); n > high || n < low && i < len(out)-1 {
				t.Fatalf("%+v: a piece of %d bytes", p, n)
			}
			if !c.Due.Equal(due) {
				t.Fatalf("%+v: piece %d leaves at %s, not %s", p, i, c.Due, due)
			}
			due = due.Add(p.Delay.Std())
			total += len(c.Data)
		}
		if mean := float64(total) / float64(len(out)); len(out) > 500 && p.Variation > 0 && p.Size > 1 && (mean < 0.9*float64(p.Size) || mean > 1.1*float64(p.Size)) {
			t.Errorf("%+v: pieces of %v bytes on average", p, mean)
		}
		if n := s.Bound(); n < 1 || n > 4<<20 || n > portion*int(p.Size) || !(s.Rate() > 0) {
			t.Errorf("%+v: bound %d, rate %v", p, n, s.Rate())
		}
	}
}

// The wait goes on over chunks, and is not saved up.
func TestSliceSpacesChunks(t *testing.T) {
	s := &knife{size: 10, delay: time.Second}
	b := counted(10)
	expect(t, pass(s, data(0, b), data(0, b), data(time.Minute, b), data(time.Minute, nil)),
		data(0, b), data(time.Second, b), data(time.Minute, b), data(time.Minute, nil))
}
