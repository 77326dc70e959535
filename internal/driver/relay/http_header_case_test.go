package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPHeader, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.HTTPHeader, func(q fault.Params) {
		q.(*fault.Header).Set = map[string]string{"content-type": "text/odd"}
	})
	return p.world(f, func(t *testing.T) bool {
		a := p.ask(t, plain, "GET", "/", "", nil)
		if a.err != nil || a.body != "hello" {
			t.Fatalf("%+v", a)
		}
		return a.header.Get("Content-Type") == "text/odd"
	})
}})
