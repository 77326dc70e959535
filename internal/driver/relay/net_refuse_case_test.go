package relay_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// refused tells whether connecting is; anything but that and success is fatal.
func (p *place) refused(t *testing.T) bool {
	c, err := net.Dial("tcp", p.addr)
	if err == nil {
		c.Close()
		return false
	}
	// Windows says it in its own number, so the text has to do there.
	if !errors.Is(err, syscall.ECONNREFUSED) && !isRefusedText(err) {
		t.Fatal(err)
	}
	return true
}

var _ = contract(fault.NetRefuse, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetRefuse, nil), p.refused)
}})
