package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetKill, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetKill, func(q fault.Params) { q.(*fault.Kill).Every = fault.Duration(100 * time.Millisecond) })
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(2 * delay))
		_, err := c.Read(make([]byte, 1))
		return !isTimeout(err)
	})
}})
