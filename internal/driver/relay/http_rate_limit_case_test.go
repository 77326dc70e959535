package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPRateLimit, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.HTTPRateLimit, func(q fault.Params) { q.(*fault.RateLimit).RetryAfter = fault.Duration(2 * delay) })
	return p.world(f, func(t *testing.T) bool {
		a := p.ask(t, plain, "GET", "/", "", nil)
		if a.err != nil || a.status != 200 && a.header.Get("Retry-After") != "1" {
			t.Fatalf("%+v", a)
		}
		return a.status == 429
	})
}})
