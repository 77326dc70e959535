package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetPartition, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	f := p.fault(fault.NetPartition, nil)
	f.Target = fault.Target{From: []string{"api"}, To: []string{"auth"}}
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		_, err := echoes(c, delay)
		if err != nil && !isTimeout(err) {
			t.Fatal(err)
		}
		return err != nil
	})
}})

func TestPartitionRejects(t *testing.T) {
	p := tcpPlace(t)
	open := p.dial()
	defer open.Close()
	if _, err := echoes(open, patience); err != nil {
		t.Fatal(err)
	}
	c, err := p.driver.Plan(t.Context(), p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Mode = fault.CutReject }))
	if err != nil {
		t.Fatal(err)
	}
	c.ID = "x"
	if p.refused(t) {
		t.Error("refused before")
	}
	if err := p.driver.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := echoes(open, patience); err == nil || isTimeout(err) {
		t.Errorf("an open connection goes on: %v", err)
	}
	if !p.refused(t) {
		t.Error("not refused")
	}
	if err := p.driver.Revert(t.Context(), c); err != nil || p.refused(t) {
		t.Errorf("refused after the heal (%v)", err)
	}
}

func TestPartitionOneWay(t *testing.T) {
	for _, direction := range []string{fault.CutTo, fault.CutFrom} {
		p := httpPlace(t)
		c, err := p.driver.Plan(t.Context(), p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Direction = direction }))
		if err != nil {
			t.Fatal(err)
		}
		c.ID = "x"
		var d driver.Driver = p.driver
		if err := d.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if !p.mute(t) {
			t.Errorf("%s: answered through a cut", direction)
		}
		if err := d.Revert(t.Context(), c); err != nil || p.mute(t) {
			t.Errorf("%s: mute after the heal (%v)", direction, err)
		}
	}
}
