package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetDrop, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetDrop, func(q fault.Params) { q.(*fault.Drop).Rate = 1 })
	return p.world(f, func(t *testing.T) bool { return p.silent(t) })
}})

// What is not dropped arrives, and the connection goes on.
func TestDropSparesTheRest(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.fault(fault.NetDrop, func(q fault.Params) { q.(*fault.Drop).Rate = 0.5 }))
	conn := p.dial()
	defer conn.Close()
	const n = 200
	got := make(chan int)
	go func() {
		b, all := make([]byte, n), 0
		for {
			m, err := conn.Read(b)
			all += m
			if err != nil {
				got <- all
				return
			}
		}
	}()
	for range n {
		if _, err := conn.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // one chunk each, mostly
	}
	conn.CloseWrite()
	if all := <-got; all < 10 || all > n-10 {
		t.Errorf("%d of %d bytes arrived at a rate of 0.5", all, n)
	}
}
