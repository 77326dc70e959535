package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPSlowBody, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.HTTPSlowBody, func(q fault.Params) { q.(*fault.SlowBody).Over = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		status, body, took, err := p.get(patience)
		if err != nil || status != 200 || body != "hello" {
			t.Fatalf("%d %q %v", status, body, err)
		}
		return took >= delay
	})
}})
