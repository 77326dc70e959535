//go:build !linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Process is a process of this machine; only Linux has them.
type Process struct{}

func unsupported() error {
	return fmt.Errorf("processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// OpenProcess returns errors.ErrUnsupported.
func OpenProcess(int) (*Process, error) { return nil, unsupported() }

// PID is 0.
func (p *Process) PID() int { return 0 }

// Start is 0.
func (p *Process) Start() uint64 { return 0 }

// Name is empty.
func (p *Process) Name() string { return "" }

// Kernel is false.
func (p *Process) Kernel() bool { return false }

// State returns errors.ErrUnsupported.
func (p *Process) State() (State, error) { return "", unsupported() }

// MaySignal returns errors.ErrUnsupported.
func (p *Process) MaySignal() error { return unsupported() }

// Stop returns errors.ErrUnsupported.
func (p *Process) Stop(context.Context) error { return unsupported() }

// Continue returns errors.ErrUnsupported.
func (p *Process) Continue(context.Context) error { return unsupported() }

// Close does nothing.
func (p *Process) Close() error { return nil }

// Lineage returns errors.ErrUnsupported.
func Lineage() ([]int, error) { return nil, unsupported() }

// BootID returns errors.ErrUnsupported.
func BootID() (string, error) { return "", unsupported() }
