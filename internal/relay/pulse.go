package relay

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// countdown are the calls that an edge must still see.
type countdown struct {
	edge *Edge
	at   uint64 // calls since it was opened
}

func (c *countdown) isOver() bool { return c.edge.calls() >= c.at }

// calls is how often the edge was called: requests where it sees them, else
// connections or sessions.
func (e *Edge) calls() uint64 {
	if e.spec.Protocol.SeesRequests() {
		return e.exchanges.Load()
	}
	return e.accepted.Load()
}

// asleep tells whether the effect is out of force for now. The call that ends its
// sleep does so at once, for whatever begins after it.
func (a *armed) asleep() bool {
	return a.sleeping.Load() && (a.waits == nil || !a.waits.isOver())
}

// comesAndGoes tells whether the effect has more than one life, or begins asleep.
func (a *armed) comesAndGoes() bool { return a.Pulse != nil || a.After != nil }

// prepare has an effect begin asleep if it is to, and finds what wakes it; nil if no
// call does.
func (e *Edge) prepare(a *armed) (*countdown, error) {
	if !a.comesAndGoes() {
		return nil, nil
	}
	a.over = make(chan struct{})
	later := a.Pulse != nil && a.Pulse.Offset > 0
	a.sleeping.Store(later || a.After != nil)
	if a.After == nil {
		return nil, nil
	}
	other, ok := e.others(a.After.Edge)
	switch {
	case !ok:
		return nil, fmt.Errorf("arm %s on %s: after: no relay stands on an edge %q", a.ID, e.name, a.After.Edge)
	case other == e:
		return nil, fmt.Errorf("arm %s on %s: after: it acts on that edge itself; name another", a.ID, e.name)
	}
	c := &countdown{other, other.calls() + a.After.Number()}
	if !later { // else it is on some time after the call
		a.waits = c
	}
	return c, nil
}

// peek is how often it is looked whether the calls have come that connections which
// are open already wait for.
const peek = 10 * time.Millisecond

// pace wakes an effect and sends it to sleep until it is lifted.
func (e *Edge) pace(a *armed, c *countdown) {
	if c != nil {
		t := time.NewTicker(peek)
		defer t.Stop()
		for !c.isOver() {
			select {
			case <-t.C:
			case <-a.over:
				return
			case <-e.ctx.Done():
				return
			}
		}
	}
	p := a.Pulse
	if p == nil {
		p = &fault.Pulse{}
	}
	next := time.Now().Add(p.Offset.Std())
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	for on := true; ; on = !on { // what is to come
		for {
			select {
			case <-t.C:
			case <-a.over:
				return
			case <-e.ctx.Done():
				return
			}
			done, err := e.turn(a, on)
			if done {
				return
			}
			if err == nil {
				break
			}
			t.Reset(time.Second) // the listener could not be changed
		}
		if a.Pulse == nil {
			return
		}
		if on {
			next = next.Add(p.On.Std())
		} else {
			next = next.Add(p.Off.Std())
		}
		t.Reset(time.Until(next))
	}
}

// turn wakes the living one of an effect's lives, or sends it to sleep. done: the
// effect was lifted.
func (e *Edge) turn(of *armed, on bool) (done bool, err error) {
	e.control.Lock()
	defer e.control.Unlock()
	a := e.find(of.ID)
	if a == nil || a.tally() != of.tally() || e.closed {
		return true, nil
	}
	switch {
	case on == !a.sleeping.Load():
		return false, nil
	case on:
		return false, e.wake(a)
	}
	return false, e.rest(a)
}

// wake puts an effect that sleeps in force, as an arming does. It is called under
// control.
func (e *Edge) wake(a *armed) error {
	a.sleeping.Store(false)
	if err := e.closePort(a); err != nil {
		a.sleeping.Store(true)
		return err
	}
	for _, u := range sorted(&e.live, e.units) {
		u.consider(a)
	}
	e.strikeOpen(a)
	return nil
}

// rest takes an effect out of force, as a lift does, and puts its next life in its
// place, which sleeps. It is called under control.
func (e *Edge) rest(a *armed) error {
	next := a.again()
	was := e.chain.Load()
	chain := slices.Clone(e.armed())
	chain[slices.Index(chain, a)] = next
	e.chain.Store(&chain)
	if onListener(a.Effect) {
		if err := e.openPort(chain); err != nil {
			e.chain.Store(was)
			return fmt.Errorf("put %s to sleep: %w", a.ID, err)
		}
	}
	a.endLife()
	for _, u := range sorted(&e.live, e.units) {
		u.drop(a)
	}
	if a.swept != nil {
		<-a.swept
	}
	return nil
}

// again is the next life of an effect, asleep.
func (a *armed) again() *armed {
	n := &armed{
		Armed: a.Armed, first: a.tally(), over: a.over, edge: a.edge, unit: a.unit, match: a.match, protect: a.protect,
		gone: make(chan struct{}), lease: a.lease,
	}
	n.sleeping.Store(true)
	return n
}
