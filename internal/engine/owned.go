package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// OwnerToxiproxy is the one owner whose faults need no lease: it answers for
// them, on edges that it has opened itself.
const OwnerToxiproxy = "toxiproxy"

// Arm puts one placed fault in force for OwnerToxiproxy, without a lease and
// outside the guard, and returns the injection's id. The place must be an edge
// that was opened at run time, and the effect must die with this process.
func (e *Engine) Arm(ctx context.Context, f fault.Fault, seed uint64) (id string, err error) {
	in := &injection{engine: e, places: []fault.Fault{f}, armed: make(chan struct{})}
	defer close(in.armed)
	if err := e.enterOwned(in); err != nil {
		return "", err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.info.Owner, in.info.Actor, in.info.Seed = OwnerToxiproxy, experiment.ActorOf(ctx), seed
	in.info.Since, in.info.State = time.Now(), experiment.InForce
	ac, err := in.planVolatile(ctx, f, 1)
	if err != nil {
		in.gone = true
		e.forget(in)
		return "", asInput(err)
	}
	in.changes, in.info.Armed = []armedChange{ac}, []experiment.Armed{ac.shown()}
	if err := in.apply(ctx, 0); err != nil {
		return "", in.undoFailed(ctx, 0, err)
	}
	e.audit.write("inject", in.info.ID, in.info.Actor, describe(in.places), nil)
	e.events.publish(experiment.Event{Type: "injected", ID: in.info.ID, Message: describe(in.places)})
	return in.info.ID, nil
}

func (e *Engine) enterOwned(in *injection) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return &experiment.Error{Code: experiment.Unavailable, Message: "chaosctl is shutting down"}
	}
	if len(e.guestsOf(in)) == 0 {
		return &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no edge %s has been opened at run time", in.places[0].At)}
	}
	e.enter(in)
	return nil
}

// planVolatile is planAs for what needs no journal.
func (in *injection) planVolatile(ctx context.Context, f fault.Fault, number int) (armedChange, error) {
	ac, err := in.planAs(ctx, f, number)
	if err == nil && !ac.change.Volatile {
		err = fmt.Errorf("%s on %s outlives chaosctl, so it needs a lease: %w", f.Kind, f.At, driver.ErrUnsupported)
	}
	return ac, err
}

// Replace puts another fault in force in the place of one that Arm has, under
// the same id and on the same edge. When it fails, the old one is still in force.
func (e *Engine) Replace(ctx context.Context, id string, f fault.Fault, seed uint64) error {
	in := e.owned(id)
	if in == nil {
		return &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no injection %q of %s is in force", id, OwnerToxiproxy)}
	}
	<-in.armed
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone || len(in.changes) != 1 || where(f) != where(in.places[0]) {
		return &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("injection %q is not in force on %s", id, f.At)}
	}
	old := in.changes[0]
	ac, err := in.planVolatile(ctx, f, number(old.change.ID)+1)
	if err != nil {
		return asInput(err)
	}
	ac.change.Seed = seed
	if err := in.swap(ctx, old, ac); err != nil {
		return asInput(err)
	}
	in.readReceipt(ctx, 0) // the last word of the old one
	ac.before = in.changes[0].receipt
	in.changes[0] = ac
	in.info.Seed, in.info.Armed[0] = seed, ac.shown()
	e.mu.Lock()
	in.places = []fault.Fault{f}
	e.mu.Unlock()
	e.audit.write("replace", id, experiment.ActorOf(ctx), describe(in.places), nil)
	e.events.publish(experiment.Event{Type: "injected", ID: id, Message: describe(in.places)})
	return nil
}

// number is the one behind the dot of a change's id.
func number(id string) int {
	_, n, _ := strings.Cut(id, ".")
	i, _ := strconv.Atoi(n) // ours; see planAs
	return i
}

// swap has the fresh change in force and the old one gone, or, with an error,
// the old one in force.
func (in *injection) swap(ctx context.Context, old, fresh armedChange) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	var err error
	if u, ok := fresh.driver.(driver.Updater); ok && fresh.driver == old.driver {
		err = u.Update(ctx, old.change, fresh.change)
	} else if err = old.driver.Revert(ctx, old.change); err == nil {
		err = fresh.driver.Apply(ctx, fresh.change)
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, fresh.driver.Revert(ctx, fresh.change))
	if st, ierr := old.driver.Inspect(ctx, old.change); ierr == nil && !st.InForce {
		old.change.ID = in.info.ID + "." + strconv.Itoa(number(fresh.change.ID)+1)
		if aerr := old.driver.Apply(ctx, old.change); aerr != nil {
			return errors.Join(err, aerr)
		}
		in.changes[0].before, in.changes[0].change = in.changes[0].receipt, old.change
	}
	return err
}

// owned finds an injection of OwnerToxiproxy.
func (e *Engine) owned(id string) *injection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.injections[id]
}

// InForce tells whether an injection still is. It waits for nothing.
func (e *Engine) InForce(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.injections[id]
	return ok
}

// Halts is how often everything has been lifted. An owner that remembers faults
// which are not in force now forgets them when this has grown.
func (e *Engine) Halts() uint64 { return e.halts.Load() }
