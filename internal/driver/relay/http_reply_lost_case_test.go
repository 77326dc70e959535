package relay_test

import (
	"errors"
	"io"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPReplyLost, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	return p.world(p.fault(fault.HTTPReplyLost, nil), func(t *testing.T) bool {
		_, _, _, err := p.get(patience)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // ReadResponse's word for a close
			t.Fatalf("not closed: %v", err)
		}
		return err != nil
	})
}})
