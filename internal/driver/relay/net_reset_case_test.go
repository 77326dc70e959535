package relay_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetReset, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.fault(fault.NetReset, nil), func(t *testing.T) bool {
		c := p.dial()
		if c == nil {
			return true
		}
		defer c.Close()
		_, err := echoes(c, patience)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("neither echo nor reset: %v", err)
		}
		return err != nil
	})
}})
