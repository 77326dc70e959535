package process

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.ProcPause, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := startTarget(t)
	return &drivertest.World{
		Driver: New(),
		Fresh:  func(*testing.T) driver.Driver { return New() },
		Fault:  pauseOf(p.Process.Pid),
		Felt:   p.silent,
	}
}})
