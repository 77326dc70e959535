//go:build !linux

package process

import (
	"errors"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

func TestUnsupported(t *testing.T) {
	f := fault.Fault{Kind: fault.ProcPause.Name, At: &fault.Placed{Process: &fault.Process{PID: 812}}}
	if _, err := New().Plan(t.Context(), f); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("Plan: %v", err)
	}
	if err := New().Probe(t.Context(), fault.ProcPause); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("Probe: %v", err)
	}
}
