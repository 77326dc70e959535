package relay_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// hangs tells whether connecting does; all but that and success is fatal.
func (p *place) hangs(t *testing.T) bool {
	t.Helper()
	c, err := net.DialTimeout("tcp", p.addr, delay)
	if err == nil {
		c.Close()
		return false
	}
	if !isTimeout(err) {
		t.Fatal(err)
	}
	return true
}

var _ = contract(fault.NetConnectTimeout, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can make a listener deaf")
	}
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetConnectTimeout, nil), p.hangs)
}})

// Open connections stay, and who is still trying at the lift is connected.
func TestConnectTimeoutLifted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can make a listener deaf")
	}
	p := tcpPlace(t)
	open := p.dial()
	defer open.Close()
	if _, err := echoes(open, patience); err != nil {
		t.Fatal(err)
	}
	c := p.arm(p.fault(fault.NetConnectTimeout, nil))
	if _, err := echoes(open, patience); err != nil {
		t.Errorf("an open connection: %v", err)
	}
	if !p.hangs(t) {
		t.Error("connected")
	}
	trying := make(chan error)
	go func() {
		conn, err := net.DialTimeout("tcp", p.addr, patience)
		if err == nil {
			_, err = echoes(conn, patience)
			conn.Close()
		}
		trying <- err
	}()
	p.lift(c)
	if err := <-trying; err != nil {
		t.Errorf("one that tried over the lift: %v", err)
	}
}
