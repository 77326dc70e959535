package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// flawVar names a flaw to the re-executed test binary.
const flawVar = "DRIVERTEST_FLAW"

// TestContract runs the suite on the fake, which is honest unless the
// environment asks for a flaw.
func TestContract(t *testing.T) {
	for _, volatile := range []bool{false, true} {
		t.Run(map[bool]string{false: "durable", true: "volatile"}[volatile], func(t *testing.T) {
			Run(t, suite(os.Getenv(flawVar), volatile))
		})
	}
}

// TestSuiteBites runs the suite on broken drivers, each in a process of its
// own, and wants each of them caught for its own flaw.
func TestSuiteBites(t *testing.T) {
	if os.Getenv(flawVar) != "" {
		t.Fatal("the flawed process runs the contract alone")
	}
	for flaw, want := range map[string]string{
		"no-case":         "kind net.refuse has no contract case: add net.refuse",
		"stray-case":      "a contract case for kind net.reset, which driver fake does not serve",
		"twice":           "kind net.refuse is served twice",
		"plan-acts":       "the effect is felt after Plan",
		"plan-any":        "Plan takes a fault that is placed nowhere",
		"plan-mute":       "does not say in words",
		"plan-other":      `names driver "other"`,
		"json":            "the change is another one after JSON",
		"apply-nothing":   "the effect is not felt after Apply",
		"apply-late":      "the effect is not felt after Apply",
		"apply-cancelled": "the effect is felt after Apply with a cancelled context and Revert",
		"revert-leaks":    "the effect is felt after Revert",
		"revert-late":     "the effect is felt after Revert",
		"revert-once":     "Revert once more",
		"revert-unknown":  "Revert of a change that was never applied",
		"revert-memory":   "the effect is felt after Revert",
		"revert-all":      "the effect is not felt after Revert of the first change: the second is in force",
		"revert-race":     "concurrent Reverts failed",
		"inspect-never":   "Inspect says in force: false, want true, after Apply",
		"inspect-always":  "Inspect says in force: true, want false, after Plan",
		"inspect-memory":  "Inspect says in force: false, want true, to a fresh instance",
		"no-receipt":      "the effect was felt, but its receipt says",
		"lease-ignored":   "after its lease ended",
		"lease-early":     "within its lease",
	} {
		t.Run(flaw, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestContract$")
			cmd.Env = append(os.Environ(), flawVar+"="+flaw)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Errorf("the suite passes a driver with this flaw (%v)", err)
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("the suite does not say %q:\n%s", want, out)
			}
		})
	}
}

func suite(flaw string, volatile bool) Suite {
	s := Suite{
		shortest: 100 * time.Millisecond,
		patience: 2 * time.Second,
		New:      func(t *testing.T) driver.Driver { return &fake{flaw: flaw, dir: t.TempDir(), volatile: volatile} },
		Cases: map[string]Case{"net.refuse": {Setup: func(t *testing.T) *World {
			dir := t.TempDir()
			w := &World{
				Driver: &fake{flaw: flaw, dir: dir, volatile: volatile},
				Fault: fault.Fault{
					Kind:   "net.refuse",
					Target: fault.Target{Service: "b"},
					Params: &fault.Refuse{},
					At:     &fault.Placed{Relay: &fault.RelayEdge{From: "a", To: "b"}},
				},
				Felt: func(t *testing.T) bool {
					hurt, err := filepath.Glob(filepath.Join(dir, "*"))
					if err != nil {
						t.Fatal(err)
					}
					return len(hurt) > 0
				},
			}
			if !volatile {
				w.Fresh = func(*testing.T) driver.Driver { return &fake{flaw: flaw, dir: dir} }
			}
			return w
		}}},
	}
	switch flaw {
	case "no-case":
		delete(s.Cases, "net.refuse")
	case "stray-case":
		s.Cases["net.reset"] = s.Cases["net.refuse"]
	}
	return s
}

// fake hurts a directory: each change in force is a file in it, named by its
// id. It keeps the contract, but for one flaw.
type fake struct {
	flaw, dir string
	volatile  bool
	applied   sync.Map // ids
	reverting atomic.Int32
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Serves() (string, []*fault.Kind) {
	kinds := []*fault.Kind{fault.NetRefuse}
	if f.flaw == "twice" {
		kinds = append(kinds, fault.NetRefuse)
	}
	return "relay", kinds
}

func (f *fake) path(id string) string { return filepath.Join(f.dir, id) }

func (f *fake) Plan(_ context.Context, ft fault.Fault) (driver.Change, error) {
	c := driver.Change{Driver: "fake", Fault: ft, Volatile: f.volatile, Touches: "a directory", Undoes: "removing a file", Undo: json.RawMessage(`{"a":1}`)}
	switch f.flaw {
	case "plan-acts":
		return c, os.WriteFile(f.path("planned"), nil, 0o600)
	case "plan-any":
		return c, nil
	case "plan-mute":
		c.Undoes = ""
	case "plan-other":
		c.Driver = "other"
	case "json":
		c.Touches = "not UTF-8: \xff"
	}
	if ft.At.Target() != "relay" || ft.Kind != "net.refuse" {
		return driver.Change{}, fmt.Errorf("fake: %s at %s: %w", ft.Kind, ft.At, driver.ErrUnsupported)
	}
	return c, nil
}

func (f *fake) Apply(ctx context.Context, c driver.Change) error {
	id := c.ID
	switch f.flaw {
	case "apply-nothing":
		return nil
	case "apply-late":
		time.AfterFunc(50*time.Millisecond, func() { _ = os.WriteFile(f.path(id), nil, 0o600) })
		return nil
	case "apply-cancelled":
		if ctx.Err() != nil {
			id = "half-way"
		}
	default:
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("fake: %w", err)
		}
	}
	f.applied.Store(id, true)
	if err := os.WriteFile(f.path(id), nil, 0o600); err != nil {
		return err
	}
	if f.volatile && f.flaw != "lease-ignored" {
		left := time.Until(c.Until)
		if f.flaw == "lease-early" {
			left = 0
		}
		if left <= 0 {
			return os.Remove(f.path(id))
		}
		time.AfterFunc(left, func() { _ = os.Remove(f.path(id)) }) // as a relay does by itself
	}
	return nil
}

func (f *fake) Revert(_ context.Context, c driver.Change) error {
	_, mine := f.applied.Load(c.ID)
	switch f.flaw {
	case "revert-leaks":
		return nil
	case "revert-late":
		time.AfterFunc(50*time.Millisecond, func() { _ = os.Remove(f.path(c.ID)) })
		return nil
	case "revert-memory":
		if !mine {
			return nil
		}
	case "revert-unknown":
		if _, err := os.Stat(f.path(c.ID)); err != nil && !mine {
			return err
		}
	case "revert-all":
		all, _ := filepath.Glob(filepath.Join(f.dir, "*"))
		for _, p := range all {
			_ = os.Remove(p)
		}
		return nil
	case "revert-race":
		if f.reverting.Add(1) > 1 {
			return errors.New("fake: busy")
		}
		defer f.reverting.Add(-1)
		time.Sleep(20 * time.Millisecond) // widens the race that this flaw is
	}
	err := os.Remove(f.path(c.ID))
	if errors.Is(err, os.ErrNotExist) && (f.flaw != "revert-once" || !mine) {
		return nil
	}
	return err
}

func (f *fake) Inspect(_ context.Context, c driver.Change) (driver.State, error) {
	_, err := os.Stat(f.path(c.ID))
	_, mine := f.applied.Load(c.ID)
	st := driver.State{InForce: err == nil, Receipt: fault.Receipt{Unit: fault.Connection, Matched: 1, Injected: 1}}
	switch f.flaw {
	case "inspect-never":
		st.InForce = false
	case "inspect-always":
		st.InForce = true
	case "inspect-memory":
		st.InForce = st.InForce && mine
	case "no-receipt":
		st.Receipt.Injected = 0
	}
	return st, nil
}
