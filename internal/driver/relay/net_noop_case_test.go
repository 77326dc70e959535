package relay_test

import (
	"slices"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// All that can be seen of it is what the relay reports.
var _ = contract(fault.NetNoop, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetNoop, nil), func(t *testing.T) bool {
		c := p.dial()
		if _, err := echoes(c, patience); err != nil {
			t.Fatal(err)
		}
		c.Close()
		select {
		case x := <-p.ended:
			return slices.Contains(x.Faults, fault.NetNoop.Name)
		case <-time.After(patience):
			t.Fatal("the end of a connection is not reported")
		}
		return false
	})
}})
