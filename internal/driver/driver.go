// Package driver is the contract between the engine and the mechanisms that
// hurt and heal: Plan looks, Apply acts, Revert undoes, Inspect reads.
//
// A mechanism lives in a package below this one. It never imports another, and
// nobody but the assembly imports it; internal/driver/drivertest is the suite
// that each of them passes.
package driver

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Driver puts faults into force at one kind of target and takes them out.
//
//   - Plan alters nothing and writes down all that Revert will need.
//   - Apply returns once the fault is in force. When it fails, it may have acted
//     in part, and its caller reverts.
//   - Revert returns once the fault is gone. On what was never applied, was
//     reverted already or has vanished it does nothing and succeeds.
//   - Inspect reads the world, not the driver's memory, wherever it can.
//
// All of them may be called concurrently, for different changes.
type Driver interface {
	// Name is journaled with every change; it never changes.
	Name() string
	// Serves says which placements (fault.Placed.Target) and kinds it takes.
	Serves() (target string, kinds []*fault.Kind)
	Plan(ctx context.Context, f fault.Fault) (Change, error)
	Apply(ctx context.Context, c Change) error
	Revert(ctx context.Context, c Change) error
	Inspect(ctx context.Context, c Change) (State, error)
}

// Change is a planned effect and how to undo it. It is JSON: another process
// can revert it with nothing else.
type Change struct {
	// ID is unique; the engine stamps it after Plan, with Seed, Until and Protect.
	ID string `json:"id"`
	// Driver that planned it.
	Driver string      `json:"driver"`
	Fault  fault.Fault `json:"fault"`
	// Volatile changes die with our process and need no journal.
	Volatile bool `json:"volatile"`
	// Seed of its draws.
	Seed uint64 `json:"seed"`
	// Until is when the effect drops itself, asked or not; zero is never.
	Until time.Time `json:"until,omitzero"`
	// Protect lists requests it must never touch.
	Protect []fault.Match `json:"protect,omitempty"`
	// Touches says what is hurt, Undoes what takes it out, in words.
	Touches string `json:"touches"`
	Undoes  string `json:"undoes"`
	// Undo is what the driver's Revert needs.
	Undo json.RawMessage `json:"undo,omitempty"`
}

// State is a change as found in the world.
type State struct {
	InForce bool          `json:"inForce"`
	Receipt fault.Receipt `json:"receipt"`
}

// Reasons a caller decides on; drivers wrap them with the fact.
var (
	// ErrUnsupported: this driver or machine cannot do it.
	ErrUnsupported = errors.New("not supported here")
	// ErrNoTarget: there is no such target (any more).
	ErrNoTarget = errors.New("no such target")
	// ErrConflict: something that is not ours is in the way.
	ErrConflict = errors.New("in conflict with what is there already")
)

// Prober is implemented by drivers that can tell whether this machine lets them
// work, before anything is planned.
type Prober interface {
	// Probe returns nil for yes, ErrUnsupported with the reason for no, any
	// other error when it could not be told.
	Probe(ctx context.Context, k *fault.Kind) error
}

// Updater is implemented by drivers that can put a change in force in the place of
// another one.
type Updater interface {
	// Update applies fresh in the place of old, on the same target: at no time do
	// both act or neither. It is Apply where old is not in force. When it fails,
	// neither may be in force, and its caller reverts fresh.
	Update(ctx context.Context, old, fresh Change) error
}
