package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetBlackhole, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	return p.world(p.fault(fault.NetBlackhole, nil), func(t *testing.T) bool {
		return p.mute(t)
	})
}})

// mute tells whether a request gets no answer at all.
func (p *place) mute(t *testing.T) bool {
	status, _, _, err := p.get(delay)
	if err != nil && !isTimeout(err) {
		// The lift may have closed it: then the next one is answered.
		status, _, _, err = p.get(patience)
	} else if err != nil {
		return true
	}
	if status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	return false
}
