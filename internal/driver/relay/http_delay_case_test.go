package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPDelay, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.HTTPDelay, func(q fault.Params) { q.(*fault.Delay).Delay = fault.Duration(delay) })
	return p.world(f, func(t *testing.T) bool {
		status, _, took, err := p.get(patience)
		if err != nil || status != 200 {
			t.Fatal(status, err)
		}
		return took >= delay
	})
}})
