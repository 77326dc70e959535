package relay_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetReset, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetReset, nil), func(t *testing.T) bool {
		c := p.dial()
		if c == nil {
			return true
		}
		defer c.Close()
		_, err := echoes(c, patience)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("neither echo nor reset: %v", err)
		}
		return err != nil
	})
}})

// With on: data a connection lives until something comes; that is lost, and both
// sides are reset.
func TestResetOnData(t *testing.T) {
	for _, d := range []fault.Direction{fault.Request, fault.Response, ""} {
		p := tcpPlace(t)
		idle, busy := p.dial(), p.dial()
		defer idle.Close()
		defer busy.Close()
		if _, err := echoes(busy, patience); err != nil {
			t.Fatal(err)
		}
		c := p.arm(p.fault(fault.NetReset, func(q fault.Params) {
			r := q.(*fault.Reset)
			r.On, r.After, r.Direction = fault.ResetOnData, fault.Duration(delay), d
		}))
		start := time.Now()
		if _, err := echoes(busy, patience); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, not a reset", d, err)
		}
		if took := time.Since(start); took < delay {
			t.Errorf("%s: reset after %s", d, took)
		}
		p.lift(c)
		if _, err := echoes(idle, patience); err != nil {
			t.Errorf("%s: one on which nothing came: %v", d, err)
		}
	}
}

// The lift resets a connection that has lost bytes and waits for its reset.
func TestResetOnDataLifted(t *testing.T) {
	p := tcpPlace(t)
	conn := p.dial()
	defer conn.Close()
	c := p.arm(p.fault(fault.NetReset, func(q fault.Params) {
		q.(*fault.Reset).On, q.(*fault.Reset).After = fault.ResetOnData, fault.Duration(time.Hour)
	}))
	if _, err := echoes(conn, delay); !isTimeout(err) {
		t.Fatalf("the bytes are not lost: %v", err)
	}
	p.lift(c)
	if !ends(t, conn) {
		t.Error("closed, not reset")
	}
}
