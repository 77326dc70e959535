// Package process is the driver for the processes of this machine.
//
// It is durable: what it does to a process outlasts us, so the engine journals
// every change before it is applied and reverts it after a crash. A process can
// carry no tag of ours; a change is tied to one process by its pid, its start
// time and the machine's boot instead, so that a process which came later under
// the same pid is never touched. What cannot be told is who stopped a process:
// after a crash, a process that was planned to be paused is resumed even if
// somebody else stopped it meanwhile.
//
// It works on Linux 5.3 and later; elsewhere Plan says ErrUnsupported.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/linux"
)

// effect is what one kind does to a process. The driver has made sure that it
// is the process that was planned for.
type effect interface {
	// words say what is hurt and what undoes it, for a process thus described.
	words(process string) (touches, undoes string)
	// check looks whether the effect can be put in force now: nil, or an error
	// that is driver.ErrConflict or driver.ErrUnsupported. It alters nothing.
	check(p *linux.Process) error
	// apply returns once the effect is in force, revert once it is gone.
	apply(ctx context.Context, p *linux.Process) error
	revert(ctx context.Context, p *linux.Process) error
	// present reads the world: is the effect there?
	present(p *linux.Process) (bool, error)
}

// served is filled while package variables initialise and never after.
var served = map[*fault.Kind]effect{}

// serve puts a kind on the list of what the driver serves.
func serve(k *fault.Kind, e effect) bool {
	served[k] = e
	return true
}

// Driver hurts processes of this machine.
type Driver struct {
	mu sync.Mutex
	// changes are those that this instance has applied or reverted, by id: a few
	// bytes each, kept, so that what is over stays over. holders are the ids of
	// those in force, by process. What a process before us did is in neither.
	changes map[string]phase
	holders map[pin]string
	// busy are the changes that are being applied or reverted, by id.
	busy map[string]*act
}

// pin ties a change to one process: it is a Change's Undo.
type pin struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
	// Boot is the machine's boot that Start counts from.
	Boot string `json:"boot"`
}

// New makes a driver. There is nothing to close.
func New() *Driver {
	return &Driver{changes: map[string]phase{}, holders: map[pin]string{}, busy: map[string]*act{}}
}

// Name is "process".
func (d *Driver) Name() string { return "process" }

// Serves says that it takes faults placed on processes.
func (d *Driver) Serves() (target string, kinds []*fault.Kind) {
	return "process", slices.SortedFunc(maps.Keys(served), func(a, b *fault.Kind) int { return strings.Compare(a.Name, b.Name) })
}

// Probe tells whether this machine lets us hold and signal processes.
func (d *Driver) Probe(_ context.Context, k *fault.Kind) error {
	if served[k] == nil {
		return fmt.Errorf("%s on processes: %w", k.Name, driver.ErrUnsupported)
	}
	lineage, err := linux.Lineage()
	if err != nil {
		return reason(err)
	}
	p, err := linux.OpenProcess(lineage[0])
	if err != nil {
		return reason(err)
	}
	return p.Close()
}

// Plan finds the process and pins it by its start time. It refuses this
// process, those it descends from, pid 1 and the kernel's own.
func (d *Driver) Plan(_ context.Context, f fault.Fault) (driver.Change, error) {
	e := served[f.Info()]
	if e == nil || f.At == nil || f.At.Process == nil {
		return driver.Change{}, fmt.Errorf("%s at %s by driver process: %w", f.Kind, f.At, driver.ErrUnsupported)
	}
	at := *f.At.Process
	p, err := linux.OpenProcess(at.PID)
	if err != nil {
		return driver.Change{}, failed(at.PID, err)
	}
	defer p.Close()
	if at.Start != 0 && at.Start != p.Start() {
		return driver.Change{}, fmt.Errorf("pid %d: %w: another process has that pid now", at.PID, driver.ErrNoTarget)
	}
	if err := spare(p); err != nil {
		return driver.Change{}, err
	}
	if err := p.MaySignal(); err != nil {
		return driver.Change{}, failed(at.PID, err)
	}
	if err := e.check(p); err != nil {
		return driver.Change{}, failed(at.PID, err)
	}
	boot, err := linux.BootID()
	if err != nil {
		return driver.Change{}, failed(at.PID, err)
	}
	undo, err := json.Marshal(pin{PID: at.PID, Start: p.Start(), Boot: boot})
	if err != nil {
		return driver.Change{}, failed(at.PID, err)
	}
	at.Start = p.Start()
	f.At = &fault.Placed{Process: &at}
	c := driver.Change{Driver: d.Name(), Fault: f, Undo: undo}
	c.Touches, c.Undoes = e.words(fmt.Sprintf("process %d (%s) of %s", at.PID, p.Name(), at.Service))
	return c, nil
}

// spare refuses the processes without which nobody could undo anything.
func spare(p *linux.Process) error {
	lineage, err := linux.Lineage()
	if err != nil {
		return failed(p.PID(), err)
	}
	switch {
	case p.PID() == lineage[0]:
		return fmt.Errorf("pid %d: %w: it is chaosctl itself, which could not undo it then", p.PID(), driver.ErrConflict)
	case p.PID() == 1:
		return fmt.Errorf("pid 1: %w: it is the init process, which no signal of ours stops", driver.ErrConflict)
	case slices.Contains(lineage, p.PID()):
		return fmt.Errorf("pid %d: %w: chaosctl was started by %s or below it, and what hurts it may hurt chaosctl", p.PID(), driver.ErrConflict, p.Name())
	case p.Kernel():
		return fmt.Errorf("pid %d: %w: %s is a thread of the kernel", p.PID(), driver.ErrUnsupported, p.Name())
	}
	return nil
}

// Apply puts the change in force. It fails with ErrConflict where somebody else
// came first since Plan, or where the change was applied and reverted before.
// What an Apply refused, Revert leaves alone. A Revert ends an Apply under way.
func (d *Driver) Apply(ctx context.Context, c driver.Change) error {
	e, at, err := read(c)
	if err != nil {
		return err
	}
	acting, stop := context.WithCancel(ctx)
	defer stop()
	end, err := d.turn(ctx, c.ID, stop)
	if err != nil {
		d.refuse(c.ID)
		return failed(at.PID, err)
	}
	defer end()
	p, err := open(at)
	if err != nil {
		d.refuse(c.ID)
		return failed(at.PID, err)
	}
	defer p.Close()
	if err := d.begin(c.ID, at, e, p); err != nil {
		return failed(at.PID, err)
	}
	if err := e.apply(acting, p); err != nil {
		return failed(at.PID, err) // the caller reverts, so it stays ours until then
	}
	return nil
}

// Revert takes the change out of force, if its process is still the same.
func (d *Driver) Revert(ctx context.Context, c driver.Change) error {
	e, at, err := read(c)
	if err != nil {
		return err
	}
	d.interrupt(c.ID)
	end, err := d.turn(ctx, c.ID, nil)
	if err != nil {
		return failed(at.PID, err)
	}
	defer end()
	if d.others(c.ID, at) {
		return nil
	}
	p, err := open(at)
	if err == nil {
		defer p.Close()
		err = e.revert(ctx, p)
	}
	if err != nil && !errors.Is(err, linux.ErrNoProcess) {
		return failed(at.PID, err)
	}
	d.over(c.ID, at)
	return nil
}

// Inspect looks at the process; the receipt counts it once it was hurt.
func (d *Driver) Inspect(_ context.Context, c driver.Change) (driver.State, error) {
	e, at, err := read(c)
	if err != nil {
		return driver.State{}, err
	}
	st := driver.State{Receipt: fault.Receipt{Unit: fault.OneProcess}}
	if d.known(c.ID).applied {
		st.Receipt.Matched, st.Receipt.Injected = 1, 1
	}
	if d.others(c.ID, at) {
		return st, nil
	}
	p, err := open(at)
	if errors.Is(err, linux.ErrNoProcess) {
		return st, nil
	} else if err != nil {
		return driver.State{}, failed(at.PID, err)
	}
	defer p.Close()
	if st.InForce, err = e.present(p); err != nil && !errors.Is(err, linux.ErrNoProcess) {
		return driver.State{}, failed(at.PID, err)
	}
	if st.InForce {
		st.Receipt.Matched, st.Receipt.Injected = 1, 1
	}
	return st, nil
}

// read takes a change apart, which may come from another process's journal.
func read(c driver.Change) (effect, pin, error) {
	e := served[c.Fault.Info()]
	if e == nil {
		return nil, pin{}, fmt.Errorf("%s by driver process: %w", c.Fault.Kind, driver.ErrUnsupported)
	}
	var at pin
	if err := json.Unmarshal(c.Undo, &at); err != nil {
		return nil, pin{}, fmt.Errorf("change %s: read what undoes it: %w", c.ID, err)
	}
	if at.PID <= 0 || at.Start == 0 || at.Boot == "" {
		return nil, pin{}, fmt.Errorf("change %s: what undoes it names no process: %s", c.ID, c.Undo)
	}
	return e, at, nil
}

// open takes hold of the pinned process; one that is gone, or whose pid another
// one has now, is linux.ErrNoProcess.
func open(at pin) (*linux.Process, error) {
	boot, err := linux.BootID()
	if err != nil {
		return nil, err
	}
	if boot != at.Boot {
		return nil, fmt.Errorf("the machine was started anew: %w", linux.ErrNoProcess)
	}
	p, err := linux.OpenProcess(at.PID)
	if err != nil {
		return nil, err
	}
	if p.Start() != at.Start {
		return nil, errors.Join(fmt.Errorf("another process has that pid now: %w", linux.ErrNoProcess), p.Close())
	}
	return p, nil
}

// failed puts the pid before an error, in the words that callers decide on.
func failed(pid int, err error) error { return fmt.Errorf("pid %d: %w", pid, reason(err)) }

func reason(err error) error {
	switch {
	case errors.Is(err, linux.ErrNoProcess):
		return driver.ErrNoTarget
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: we may not look at it or signal it; run chaosctl as its user, as root or with CAP_KILL", driver.ErrUnsupported)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%w: processes are held by pidfd, which needs Linux 5.3 or later (this is %s): %v", driver.ErrUnsupported, runtime.GOOS, err)
	}
	return err
}
