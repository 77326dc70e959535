package relay_test

import (
	"io"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetStall, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetStall, nil), func(t *testing.T) bool { return p.silent(t) })
}})

// silent tells whether an echo does not come; all but that and an echo is fatal.
func (p *place) silent(t *testing.T) bool {
	t.Helper()
	c := p.dial()
	defer c.Close()
	_, err := echoes(c, delay)
	if err != nil && !isTimeout(err) {
		t.Fatal(err)
	}
	return err != nil
}

// What was held goes on at the lift, all of it and in order.
func TestStallLosesNothing(t *testing.T) {
	for _, d := range []fault.Direction{fault.Request, fault.Response, fault.Both} {
		p := tcpPlace(t)
		conn := p.dial()
		defer conn.Close()
		if _, err := echoes(conn, patience); err != nil {
			t.Fatal(err)
		}
		c := p.arm(p.fault(fault.NetStall, func(q fault.Params) { q.(*fault.Stall).Direction = d }))
		text := "held back"
		io.WriteString(conn, text)
		if _, err := echoes(conn, delay); !isTimeout(err) {
			t.Errorf("%s: echoed while it is stalled (%v)", d, err)
		}
		p.lift(c)
		conn.SetDeadline(deadline())
		back := make([]byte, len(text)+1)
		if _, err := io.ReadFull(conn, back); err != nil || string(back) != text+"*" {
			t.Errorf("%s: %q came back after the lift (%v)", d, back, err)
		}
	}
}
