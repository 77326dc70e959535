package relay_test

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetLatency, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	open := p.dial() // hurt although it was open before
	t.Cleanup(func() { open.Close() })
	f := p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		took, err := echoes(open, patience)
		if err != nil {
			t.Fatal(err)
		}
		return took >= delay
	})
}})

func TestLatencyDirections(t *testing.T) {
	for _, d := range []fault.Direction{fault.Request, fault.Response, fault.Both} {
		p := httpPlace(t)
		f := p.fault(fault.NetLatency, func(q fault.Params) {
			q.(*fault.Latency).Delay, q.(*fault.Latency).Direction = fault.Duration(delay), d
		})
		c, err := p.driver.Plan(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		c.ID = "x"
		if err := p.driver.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		least := map[fault.Direction]time.Duration{fault.Both: 2 * delay}[d]
		if _, _, took, err := p.get(patience); err != nil || took < max(least, delay) {
			t.Errorf("%s: %s, %v", d, took, err)
		}
	}
}

// Chunks keep their order whatever their delays, unless they need not.
func TestLatencyReorder(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		p := tcpPlace(t)
		p.arm(p.fault(fault.NetLatency, func(q fault.Params) {
			l := q.(*fault.Latency)
			l.Delay, l.Jitter, l.Reorder = fault.Duration(delay/3), fault.Duration(delay), reorder
		}))
		conn := p.dial()
		defer conn.Close()
		conn.SetDeadline(deadline())
		const n = 100
		go func() {
			for i := range n {
				conn.Write([]byte{byte(i)})
				time.Sleep(time.Millisecond) // chunks of their own, mostly
			}
		}()
		got := make([]byte, n)
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if slices.IsSorted(got) == reorder {
			t.Errorf("reorder: %t gives %v", reorder, got)
		}
		if slices.Sort(got); got[0] != 0 || got[n-1] != n-1 || len(slices.Compact(got)) != n {
			t.Errorf("reorder: %t: bytes are lost or doubled: %v", reorder, got)
		}
	}
}
