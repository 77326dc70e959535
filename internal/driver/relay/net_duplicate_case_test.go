package relay_test

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetDuplicate, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := udpPlace(t)
	felt := p.hurts(func(got [][]byte, _ time.Duration) bool { return len(got) > few })
	return p.world(p.fault(fault.NetDuplicate, func(q fault.Params) {
		q.(*fault.Duplicate).Rate, q.(*fault.Duplicate).Direction = 1, fault.Response
	}), felt)
}})

func TestDuplicatesAreCounted(t *testing.T) {
	const n, copies = 1000, 3
	p := udpPlace(t)
	change := p.arm(p.fault(fault.NetDuplicate, func(q fault.Params) {
		d := q.(*fault.Duplicate)
		d.Rate, d.Copies, d.Direction = 0.2, copies, fault.Request
	}))
	got := p.volley(p.call(), n, func() int { return n + copies*int(p.receipt(change).Injected) }, patience)
	if r := p.receipt(change); len(got) != n+copies*int(r.Injected) || r.Matched != n || r.Injected < 120 || r.Injected > 280 {
		t.Errorf("%d came, the receipt says %+v", len(got), r)
	}
}
