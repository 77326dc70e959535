package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.GRPCDelay, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.GRPCDelay, func(q fault.Params) { q.(*fault.CallDelay).Delay = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		start := time.Now()
		if a := p.ask(t, plain, "POST", "/shop.Stock/Get", "a call", call); a.err != nil || a.body != "a call" {
			t.Fatalf("%+v", a)
		}
		return time.Since(start) >= delay
	})
}})
