package relay_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// reads sends a text and returns its echo as the reads give it.
func (p *place) reads(t *testing.T, text []byte) (pieces [][]byte) {
	t.Helper()
	c := p.dial()
	defer c.Close()
	if _, err := c.Write(text); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(text); {
		b := make([]byte, len(text))
		m, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		pieces, n = append(pieces, b[:m]), n+m
	}
	if !bytes.Equal(bytes.Join(pieces, nil), text) {
		t.Fatal("the bytes are not those that were sent")
	}
	return pieces
}

var _ = contract(fault.NetSlice, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetSlice, func(q fault.Params) {
		q.(*fault.Slice).Size, q.(*fault.Slice).Delay = 10, fault.Duration(delay/4)
	})
	return p.world(f, func(t *testing.T) bool {
		start := time.Now()
		p.reads(t, bytes.Repeat([]byte("x"), 50)) // four waits between five pieces
		return time.Since(start) >= delay
	})
}})

// The pieces are those that a reader gets, as long as it keeps up; one that does
// not gets several at a time.
func TestSliceIsSeenByReaders(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.fault(fault.NetSlice, func(q fault.Params) {
		q.(*fault.Slice).Size, q.(*fault.Slice).Delay = 10, fault.Duration(20*time.Millisecond)
	}))
	pieces := p.reads(t, bytes.Repeat([]byte("0123456789"), 20))
	for _, b := range pieces {
		if len(b)%10 != 0 {
			t.Errorf("a piece of %d bytes", len(b))
		}
	}
	if len(pieces) < 3 {
		t.Errorf("%d pieces, not about 20", len(pieces))
	}
}

// The smallest pieces there are do not stop a stream.
func TestSliceOfSingleBytes(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.fault(fault.NetSlice, func(q fault.Params) { q.(*fault.Slice).Size = 1 }))
	text := make([]byte, 64<<10)
	for i := range text {
		text[i] = byte(i / 251)
	}
	p.reads(t, text)
}
