package process

import (
	"context"
	"fmt"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/linux"
)

var _ = serve(fault.ProcPause, pause{})

// pause stops a process by SIGSTOP, which it can neither catch nor see, and lets
// it go on by SIGCONT.
type pause struct{}

func (pause) words(process string) (touches, undoes string) {
	return process + ": all its threads stop", "SIGCONT to that process"
}

func (pause) check(p *linux.Process) error {
	s, err := p.State()
	if err != nil {
		return err
	}
	if s != linux.Running {
		return fmt.Errorf("%w: it is %s already, and not by us", driver.ErrConflict, s)
	}
	return nil
}

func (pause) apply(ctx context.Context, p *linux.Process) error { return p.Stop(ctx) }

// revert signals a process that runs, too: a stop may be on its way to it still.
func (pause) revert(ctx context.Context, p *linux.Process) error { return p.Continue(ctx) }

func (pause) present(p *linux.Process) (bool, error) {
	s, err := p.State()
	return s == linux.Stopped, err
}
