package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.GRPCStatus, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.GRPCStatus, func(q fault.Params) { q.(*fault.CallStatus).Code = "UNAVAILABLE" })
	return p.world(f, func(t *testing.T) bool {
		a := p.ask(t, plain, "POST", "/shop.Stock/Get", "a call", call)
		if a.err != nil || a.status != 200 {
			t.Fatalf("%+v", a)
		}
		if other := p.ask(t, plain, "POST", "/shop.Stock/Get", "no call", nil); other.err != nil || other.body != "no call" {
			t.Fatalf("what is no call: %+v", other)
		}
		return a.header.Get("Grpc-Status") == "14" && a.body == ""
	})
}})
