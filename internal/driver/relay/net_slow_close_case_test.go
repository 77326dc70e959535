package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetSlowClose, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetSlowClose, func(q fault.Params) { q.(*fault.SlowClose).Delay = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		if _, err := echoes(c, patience); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.CloseWrite() // the callee answers with its own
		if ends(t, c) {
			t.Fatal("reset")
		}
		return time.Since(start) >= delay
	})
}})

// The lift passes on an end that waits.
func TestSlowCloseLifted(t *testing.T) {
	p := tcpPlace(t)
	c := p.arm(p.fault(fault.NetSlowClose, func(q fault.Params) { q.(*fault.SlowClose).Delay = fault.Duration(time.Hour) }))
	conn := p.dial()
	defer conn.Close()
	if _, err := echoes(conn, patience); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	conn.SetReadDeadline(time.Now().Add(delay))
	if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("the end is not delayed: %v", err)
	}
	p.lift(c)
	if ends(t, conn) {
		t.Error("reset")
	}
}
