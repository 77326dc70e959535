package relay_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// numbers are those of the datagrams, as they came.
func numbers(got [][]byte) []int {
	all := make([]int, len(got))
	for i, b := range got {
		all[i] = int(binary.BigEndian.Uint32(b))
	}
	return all
}

var _ = contract(fault.NetReorder, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := udpPlace(t)
	felt := p.hurts(func(got [][]byte, _ time.Duration) bool { return !slices.IsSorted(numbers(got)) })
	f := p.fault(fault.NetReorder, func(q fault.Params) { q.(*fault.Reorder).Rate, q.(*fault.Reorder).Direction = 0.5, fault.Request })
	return p.world(f, felt)
}})

// As many as the receipt says were overtaken, each by as many as was asked for.
func TestReorderedAreCounted(t *testing.T) {
	const n, gap = 1000, 3
	p := udpPlace(t)
	change := p.arm(p.fault(fault.NetReorder, func(q fault.Params) {
		r := q.(*fault.Reorder)
		r.Rate, r.Gap, r.Delay, r.Direction = 0.05, gap, fault.Duration(time.Second), fault.Request
	}))
	got := numbers(p.volley(p.call(), n, all(n), patience))
	r := p.receipt(change)
	overtaken := 0
	for i, number := range got {
		later := 0
		for _, before := range got[:i] {
			if before > number {
				later++
			}
		}
		if later > 0 {
			overtaken++
		}
		if later > gap+2 { // others that are held back right behind it come before, at most
			t.Errorf("%d was overtaken by %d", number, later)
		}
	}
	// Of the last ones some are not overtaken by enough, or by none.
	if len(got) != n || overtaken < int(r.Injected)-2*gap || overtaken > int(r.Injected) || r.Injected < 25 {
		t.Errorf("%d came, %d were overtaken, the receipt says %+v", len(got), overtaken, r)
	}
	p.lift(change)
}

// Jitter gives datagrams another order, and loses none.
func TestJitterReorders(t *testing.T) {
	p := udpPlace(t)
	change := p.arm(p.fault(fault.NetLatency, func(q fault.Params) {
		q.(*fault.Latency).Delay, q.(*fault.Latency).Jitter = fault.Duration(50*time.Millisecond), fault.Duration(50*time.Millisecond)
	}))
	const n = 200
	got := numbers(p.volley(p.call(), n, all(n), patience))
	if slices.IsSorted(got) {
		t.Error("the order is the same")
	}
	if slices.Sort(got); len(slices.Compact(got)) != n {
		t.Errorf("%d of %d came", len(got), n)
	}
	if r := p.receipt(change); r.Matched != n {
		t.Errorf("%+v", r)
	}
}
