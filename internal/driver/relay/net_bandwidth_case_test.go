package relay_test

import (
	"io"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetBandwidth, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	// 64 KiB in at least 400 ms at this rate, in next to no time without.
	f := p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = 160 << 10 })
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		start := time.Now()
		go c.Write(make([]byte, 64<<10))
		if _, err := io.ReadFull(c, make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		return time.Since(start) >= 380*time.Millisecond
	})
}})

// The rate is met: not more, and not much less.
func TestBandwidthIsExact(t *testing.T) {
	p := tcpPlace(t)
	const rate, size = 4 << 20, 2 << 20
	c, err := p.driver.Plan(t.Context(), p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = rate }))
	if err != nil {
		t.Fatal(err)
	}
	c.ID = "x"
	if err := p.driver.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	conn := p.dial()
	defer conn.Close()
	start := time.Now()
	go conn.Write(make([]byte, size))
	if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	want := time.Duration(float64(size) / rate * float64(time.Second))
	if took := time.Since(start); took < want*98/100 || took > 2*want {
		t.Errorf("%d bytes at %d/s took %s, not %s", size, rate, took, want)
	}
}
