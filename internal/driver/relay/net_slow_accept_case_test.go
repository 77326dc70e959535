package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetSlowAccept, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetSlowAccept, func(q fault.Params) { q.(*fault.SlowAccept).Delay = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		took, err := echoes(c, patience)
		if err != nil {
			t.Fatal(err)
		}
		return took >= delay*9/10 // the wait began before the clock here
	})
}})

// Open connections are left alone, and the lift serves what waits.
func TestSlowAcceptLifted(t *testing.T) {
	p := tcpPlace(t)
	open := p.dial()
	defer open.Close()
	if _, err := echoes(open, patience); err != nil {
		t.Fatal(err)
	}
	c := p.arm(p.fault(fault.NetSlowAccept, func(q fault.Params) { q.(*fault.SlowAccept).Delay = fault.Duration(time.Hour) }))
	if _, err := echoes(open, patience); err != nil {
		t.Errorf("an open connection: %v", err)
	}
	late := p.dial()
	defer late.Close()
	if _, err := echoes(late, delay); !isTimeout(err) {
		t.Errorf("served although it has to wait (%v)", err)
	}
	p.lift(c)
	if _, err := echoes(late, patience); err != nil {
		t.Errorf("not served after the lift: %v", err)
	}
}
