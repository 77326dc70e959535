package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPBody, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	return p.world(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Truncate = "40%" }), func(t *testing.T) bool {
		status, body, _, err := p.get(patience)
		if err != nil || status != 200 || body != "hello" && body != "he" {
			t.Fatalf("%d %q %v", status, body, err)
		}
		return body == "he"
	})
}})
