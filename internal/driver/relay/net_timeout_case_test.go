package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetTimeout, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetTimeout, nil), func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		_, err := echoes(c, delay)
		return err != nil // the end of the lease may close it
	})
}})

// A connection is closed a while after its last byte, or after the arming if
// there was none; one whose bytes keep coming is not.
func TestTimeoutClosesTheSilent(t *testing.T) {
	p := tcpPlace(t)
	idle, busy := p.dial(), p.dial()
	defer idle.Close()
	defer busy.Close()
	if _, err := echoes(busy, patience); err != nil {
		t.Fatal(err)
	}
	const after = 3 * delay
	armed := time.Now()
	p.arm(p.fault(fault.NetTimeout, func(q fault.Params) { q.(*fault.Timeout).After = fault.Duration(after) }))
	fed := make(chan time.Time)
	go func() {
		last := armed
		for range 15 {
			time.Sleep(after / 10) // the pace of what comes, not a wait
			if _, err := busy.Write([]byte{1}); err == nil {
				last = time.Now()
			}
		}
		fed <- last
	}()
	if ends(t, idle) || time.Since(armed) < after {
		t.Errorf("the idle one ended %s after the arming", time.Since(armed))
	}
	last := <-fed
	if last.Sub(armed) < after {
		t.Errorf("the busy one ended %s after the arming", last.Sub(armed))
	}
	if ends(t, busy) || time.Since(last) < after*9/10 {
		t.Errorf("the busy one ended %s after its last byte", time.Since(last))
	}
}

// The lift closes what was drawn, whether it has lost bytes or not, by a FIN.
func TestTimeoutLiftCloses(t *testing.T) {
	p := tcpPlace(t)
	idle, busy := p.dial(), p.dial()
	defer idle.Close()
	defer busy.Close()
	c := p.arm(p.fault(fault.NetTimeout, nil))
	if _, err := echoes(busy, delay); !isTimeout(err) {
		t.Fatalf("echoed (%v)", err)
	}
	if _, err := echoes(idle, delay); !isTimeout(err) {
		t.Fatalf("echoed (%v)", err)
	}
	p.lift(c)
	if ends(t, idle) || ends(t, busy) {
		t.Error("reset")
	}
}
