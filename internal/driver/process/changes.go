package process

import (
	"context"
	"fmt"

	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/linux"
)

// What a driver remembers of its changes. A process can carry no tag that says
// whose change it is under; so within one instance this does.

// phase is how far a change has come.
type phase struct {
	applied bool // its effect was in force, or nearly
	over    bool // it is in force no longer, or was refused: it never will be again
}

// act is an Apply or a Revert under way.
type act struct {
	stop context.CancelFunc // ends an Apply early; nil for a Revert
	done chan struct{}      // closed at its end
}

// turn waits until nobody else applies or reverts the change, and keeps them
// waiting until end is called.
func (d *Driver) turn(ctx context.Context, id string, stop context.CancelFunc) (end func(), err error) {
	mine := &act{stop: stop, done: make(chan struct{})}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d.mu.Lock()
		other := d.busy[id]
		if other == nil {
			d.busy[id] = mine
		}
		d.mu.Unlock()
		if other == nil {
			return func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				delete(d.busy, id)
				close(mine.done)
			}, nil
		}
		select {
		case <-ctx.Done():
		case <-other.done:
		}
	}
}

// interrupt ends an Apply that is under way.
func (d *Driver) interrupt(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.busy[id]; a != nil && a.stop != nil {
		a.stop()
	}
}

func (d *Driver) known(id string) phase {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes[id]
}

// begin makes the change the holder of its process, or refuses it.
func (d *Driver) begin(id string, at pin, e effect, p *linux.Process) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	switch holder := d.holders[at]; {
	case d.changes[id].over:
		return fmt.Errorf("%w: change %s is over already", driver.ErrConflict, id)
	case holder != "" && holder != id:
		err = fmt.Errorf("%w: change %s of ours holds it", driver.ErrConflict, holder)
	case holder == "":
		err = e.check(p)
	}
	if err != nil {
		d.changes[id] = phase{over: true}
		return err
	}
	d.holders[at] = id
	d.changes[id] = phase{applied: true}
	return nil
}

// refuse notes that a change did nothing and never will.
func (d *Driver) refuse(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.changes[id].applied {
		d.changes[id] = phase{over: true}
	}
}

// others tells whether what can be found at the process is not this change's:
// the change is over, or another one of ours is in force there.
func (d *Driver) others(id string, at pin) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	holder := d.holders[at]
	return d.changes[id].over || holder != "" && holder != id
}

// over notes that a change is in force no longer. One that we never saw applied
// was a process's before us, or nobody's: there is nothing to note.
func (d *Driver) over(id string, at pin) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changes[id].applied {
		d.changes[id] = phase{applied: true, over: true}
	}
	if d.holders[at] == id {
		delete(d.holders, at)
	}
}
