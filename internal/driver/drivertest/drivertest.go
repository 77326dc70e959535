// Package drivertest is the suite that every driver passes. A driver's
// TestContract hands it one case per kind; the suite puts each in force and
// takes it out in all the ways that driver.Driver promises, and looks from
// outside, before, during and after.
//
// A driver keeps its cases in a package variable of its tests, and each kind
// adds its own in its own file, so that a new kind edits nothing:
//
//	var cases = map[string]drivertest.Case{}
//
//	func contract(k *fault.Kind, c drivertest.Case) bool { cases[k.Name] = c; return true }
//
//	var _ = contract(fault.NetLatency, drivertest.Case{Setup: ...}) // net_latency_test.go
//
// What the suite does not prove: that an effect has the size that was asked
// for, and that it spares what it must not hit. That is each kind's own test.
package drivertest

import (
	stdcmp "cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// Suite is what a driver hands in.
type Suite struct {
	// New makes a driver, to ask it what it serves.
	New func(t *testing.T) driver.Driver
	// Cases by the names of their kinds: one for each kind that is served.
	Cases map[string]Case

	// The shortest lease that is tried, and how long a lease may overrun; 0 is
	// the default.
	shortest, patience time.Duration
}

// Case is one kind's world.
type Case struct {
	// Setup makes a world in which nothing is hurt, and cleans up after it with
	// t.Cleanup. It is called once for each test of the kind.
	Setup func(t *testing.T) *World
}

// World is a real target with a driver that can hurt it.
type World struct {
	// Driver as the product would make it.
	Driver driver.Driver
	// Fresh makes another one for the same target, as a new process would. It is
	// nil for a driver whose changes are volatile.
	Fresh func(t *testing.T) driver.Driver
	// Fault to put in force: of the case's kind, placed (At is set).
	Fault fault.Fault
	// Felt looks from outside, by real traffic or at the real target: is the
	// effect there now? While the fault is in force it also makes what a receipt
	// counts. It may take as long as it needs to be sure either way.
	Felt func(t *testing.T) bool
}

// callTime bounds each call of a driver: the contract says "done at return",
// and a call that never returns is a failure too.
const callTime = 30 * time.Second

// farLease is the lease of the changes that the suite reverts itself.
const farLease = time.Hour

// Run checks that each served kind has a case and that each case keeps the
// contract. The subtests carry the names of the kinds.
func Run(t *testing.T, s Suite) {
	d := s.New(t)
	target, kinds := d.Serves()
	if d.Name() == "" || target == "" || len(kinds) == 0 {
		t.Errorf("driver %q serves %d kinds at target %q: it needs a name, a target and a kind", d.Name(), len(kinds), target)
	}
	served := map[string]bool{}
	for _, k := range kinds {
		if served[k.Name] {
			t.Errorf("kind %s is served twice by driver %s", k.Name, d.Name())
		}
		served[k.Name] = true
		if c, ok := s.Cases[k.Name]; !ok || c.Setup == nil {
			t.Errorf("kind %s has no contract case: add %s to the cases of driver %s, in its own test file beside the effect", k.Name, k.Name, d.Name())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Cases)) {
		c := s.Cases[name]
		if !served[name] {
			t.Errorf("there is a contract case for kind %s, which driver %s does not serve", name, d.Name())
			continue
		}
		if c.Setup == nil {
			continue // reported above
		}
		t.Run(name, func(t *testing.T) {
			t.Run("cycle", func(t *testing.T) { cycle(start(t, d.Name(), target, name, c)) })
			t.Run("concurrent", func(t *testing.T) { concurrent(start(t, d.Name(), target, name, c)) })
			t.Run("cancelled", func(t *testing.T) { cancelled(start(t, d.Name(), target, name, c)) })
			t.Run("lease", func(t *testing.T) {
				lease(start(t, d.Name(), target, name, c), stdcmp.Or(s.shortest, time.Second), stdcmp.Or(s.patience, 15*time.Second))
			})
		})
	}
}

// scene is a world under test.
type scene struct {
	*testing.T
	w *World
}

// start sets a world up and checks what can be said before anything acts.
func start(t *testing.T, name, target, kind string, c Case) *scene {
	t.Helper()
	w := c.Setup(t)
	s := &scene{T: t, w: w}
	if w.Driver.Name() != name {
		t.Errorf("the driver's name is %q here and was %q before: names are journaled and never change", w.Driver.Name(), name)
	}
	if w.Fault.Kind != kind || w.Fault.At.Target() != target {
		t.Fatalf("the case of kind %s at target %q gave a fault of kind %q at target %q", kind, target, w.Fault.Kind, w.Fault.At.Target())
	}
	s.felt(false, "before anything was done")
	return s
}

// cycle goes through Plan, Apply, Inspect and Revert in their order, with the
// change as another process would read it, and then once more.
func cycle(s *scene) {
	d := s.w.Driver
	s.refuses(d)
	c := s.plan(d)
	s.felt(false, "after Plan: Plan alters nothing")
	c = s.stamp(c, farLease)
	s.inspect(d, c, false, "after Plan: Plan alters nothing")
	s.revert(d, c, "of a change that was never applied")
	s.felt(false, "after Revert of a change that was never applied")

	s.apply(d, c)
	s.felt(true, "after Apply")
	s.receipt(s.inspect(d, c, true, "after Apply"))

	undoer := d
	if !c.Volatile {
		if s.w.Fresh == nil {
			s.Fatalf("the change is durable, so the case needs Fresh: a new process must be able to revert it")
		}
		undoer = s.w.Fresh(s.T)
		s.inspect(undoer, c, true, "to a fresh instance, as a new process would make it")
	}
	s.revert(undoer, c, "of an applied change")
	s.felt(false, "after Revert")
	s.inspect(undoer, c, false, "after Revert")
	s.inspect(d, c, false, "after Revert, to the instance that applied it")
	s.revert(d, c, "once more, by the instance that applied it")
	s.revert(undoer, c, "once more")
	s.felt(false, "after a second Revert")

	again := s.stamp(s.plan(d), farLease)
	s.apply(d, again)
	s.felt(true, "after Apply of a second change")
	s.inspect(d, c, false, "while a second change is in force: this is the first one, which is over")
	s.revert(d, c, "of the first change, while a second is in force")
	s.felt(true, "after Revert of the first change: the second is in force")
	s.revert(d, again, "of the second change")
	s.felt(false, "after Revert of the second change")
}

// concurrent reverts a change from several sides at once.
func concurrent(s *scene) {
	d := s.w.Driver
	c := s.stamp(s.plan(d), farLease)
	s.apply(d, c)
	s.felt(true, "after Apply")
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			ctx, cancel := s.ctx()
			defer cancel()
			errs[i] = d.Revert(ctx, c)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			s.Errorf("one of %d concurrent Reverts failed: %v", len(errs), err)
			break
		}
	}
	s.felt(false, "after concurrent Reverts")
	s.inspect(d, c, false, "after concurrent Reverts")
}

// cancelled applies with a context that is over: whatever Apply makes of it,
// Revert leaves nothing.
func cancelled(s *scene) {
	d := s.w.Driver
	c := s.stamp(s.plan(d), farLease)
	ctx, cancel := s.ctx()
	cancel()
	err := d.Apply(ctx, c)
	if err == nil {
		s.felt(true, "after an Apply that succeeded although its context was cancelled")
	}
	s.revert(d, c, "after an Apply whose context was cancelled")
	s.felt(false, "after Apply with a cancelled context and Revert")
	s.inspect(d, c, false, "after Apply with a cancelled context and Revert")
}

// lease lets a volatile change run out: it drops by itself, and not before.
// Durable changes are reverted by the engine's timer, so there is nothing to see.
func lease(s *scene, shortest, patience time.Duration) {
	d := s.w.Driver
	// Looking may take longer than a short lease lasts, on a loaded machine too:
	// then nothing can be told, and a longer lease is tried.
	for length := shortest; ; length *= 4 {
		c := s.plan(d)
		if !c.Volatile {
			return
		}
		c = s.stamp(c, length)
		s.apply(d, c)
		felt, now := s.w.Felt(s.T), time.Now()
		if !felt && now.Before(c.Until) {
			s.Fatalf("the effect is not felt within its lease of %s", length)
		}
		if felt {
			s.runOut(d, c, patience)
			return
		}
		if length > 20*time.Second {
			s.Fatalf("looking took longer than a lease of %s; Felt must be quicker than that", length)
		}
		s.revert(d, c, "of a change whose lease is over")
	}
}

// runOut waits for the end of a lease while the effect is felt.
func (s *scene) runOut(d driver.Driver, c driver.Change, patience time.Duration) {
	s.Helper()
	breath := time.NewTicker(10 * time.Millisecond)
	defer breath.Stop()
	for s.w.Felt(s.T) {
		<-breath.C
		if over := time.Since(c.Until); over > patience {
			s.Fatalf("the effect is still felt %s after its lease ended", over.Round(time.Millisecond))
		}
	}
	if left := time.Until(c.Until); left > 0 {
		s.Errorf("the effect dropped %s before its lease ended", left.Round(time.Millisecond))
	}
	s.inspect(d, c, false, "after its lease ended")
	s.revert(d, c, "of a change whose lease is over")
	s.felt(false, "after Revert of a change whose lease is over")
}

// ctx is for one call of a driver; it outlives the test for the cleanup's sake.
func (s *scene) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(s.Context()), callTime)
}

// plan plans the world's fault and checks what every change carries.
func (s *scene) plan(d driver.Driver) driver.Change {
	s.Helper()
	ctx, cancel := s.ctx()
	defer cancel()
	c, err := d.Plan(ctx, s.w.Fault)
	if err != nil {
		s.Fatalf("Plan: %v", err)
	}
	if c.Driver != d.Name() {
		s.Errorf("the planned change names driver %q, not %q", c.Driver, d.Name())
	}
	if c.Fault.Kind != s.w.Fault.Kind || c.Fault.At.Target() != s.w.Fault.At.Target() {
		s.Errorf("the planned change is of kind %q at target %q, not of %q at %q", c.Fault.Kind, c.Fault.At.Target(), s.w.Fault.Kind, s.w.Fault.At.Target())
	}
	if c.Touches == "" || c.Undoes == "" {
		s.Errorf("the planned change does not say in words what it touches (%q) and what undoes it (%q)", c.Touches, c.Undoes)
	}
	return c
}

// refuses checks that Plan errs, and does not panic, on what is not its own.
func (s *scene) refuses(d driver.Driver) {
	s.Helper()
	ctx, cancel := s.ctx()
	defer cancel()
	nowhere := s.w.Fault
	nowhere.At = nil
	if _, err := d.Plan(ctx, nowhere); err == nil {
		s.Errorf("Plan takes a fault that is placed nowhere")
	}
	strange := s.w.Fault
	strange.Kind = "no.such-kind"
	if _, err := d.Plan(ctx, strange); err == nil {
		s.Errorf("Plan takes a fault of a kind that the driver does not serve")
	}
}

// stamp does what the engine does between Plan and Apply, and returns the
// change as read back from its JSON.
func (s *scene) stamp(c driver.Change, lease time.Duration) driver.Change {
	s.Helper()
	c.ID, c.Seed, c.Until = rand.Text(), 7, time.Now().Add(lease)
	b, err := json.Marshal(c)
	if err != nil {
		s.Fatalf("the change does not go into JSON: %v", err)
	}
	var back driver.Change
	if err := json.Unmarshal(b, &back); err != nil {
		s.Fatalf("the change does not come back from JSON: %v\n%s", err, b)
	}
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(c, back, all); diff != "" {
		s.Fatalf("the change is another one after JSON (-before +after):\n%s", diff)
	}
	return back
}

// apply applies, and makes sure that nothing stays behind when the test ends
// early.
func (s *scene) apply(d driver.Driver, c driver.Change) {
	s.Helper()
	s.Cleanup(func() {
		ctx, cancel := s.ctx()
		defer cancel()
		_ = d.Revert(ctx, c) // a failure was reported where it was checked
	})
	ctx, cancel := s.ctx()
	defer cancel()
	if err := d.Apply(ctx, c); err != nil {
		s.Fatalf("Apply: %v", err)
	}
}

func (s *scene) revert(d driver.Driver, c driver.Change, when string) {
	s.Helper()
	ctx, cancel := s.ctx()
	defer cancel()
	if err := d.Revert(ctx, c); err != nil {
		s.Errorf("Revert %s: %v", when, err)
	}
}

func (s *scene) inspect(d driver.Driver, c driver.Change, want bool, when string) driver.State {
	s.Helper()
	ctx, cancel := s.ctx()
	defer cancel()
	st, err := d.Inspect(ctx, c)
	if err != nil {
		s.Errorf("Inspect %s: %v", when, err)
	} else if st.InForce != want {
		s.Errorf("Inspect says in force: %t, want %t, %s", st.InForce, want, when)
	}
	return st
}

// receipt checks the receipt of a change whose effect was felt.
func (s *scene) receipt(st driver.State) {
	s.Helper()
	r := st.Receipt
	if r.Unit == "" || r.Injected == 0 || r.Matched < r.Injected {
		s.Errorf("the effect was felt, but its receipt says %+v; want a unit, injected > 0 and matched >= injected", r)
	}
}

func (s *scene) felt(want bool, when string) {
	s.Helper()
	if s.w.Felt(s.T) == want {
		return
	}
	if want {
		s.Fatalf("the effect is not felt %s", when)
	}
	s.Fatalf("the effect is felt %s", when)
}
