package relay

import (
	"fmt"
	"slices"
	"time"
)

// Arm puts an effect in force and returns once it is, also on connections that
// are open. An id is armed at most once; ErrArmed otherwise.
func (e *Edge) Arm(arm Armed) error { return e.arm(arm, "") }

// Replace puts an effect in force in the place of another that is: at no time do
// both act on a unit, or neither. Units are drawn anew. Without the old one, or if
// either of them acts on the listener or on open connections by itself, or comes and
// goes, it is Lift and Arm.
func (e *Edge) Replace(old string, arm Armed) error { return e.arm(arm, old) }

func (e *Edge) arm(arm Armed, old string) error {
	a, err := newArmed(arm, e.name, e.spec.Protocol)
	if err != nil {
		return err
	}
	calls, err := e.prepare(a)
	if err != nil {
		return err
	}
	e.control.Lock()
	defer e.control.Unlock()
	if e.closed {
		return fmt.Errorf("arm %s on %s: %w", a.ID, e.name, ErrClosed)
	}
	taken := slices.ContainsFunc(e.past, func(p pastReceipt) bool { return p.id == a.ID })
	if taken || e.find(a.ID) != nil {
		return fmt.Errorf("arm %s on %s: %w", a.ID, e.name, ErrArmed)
	}
	before := e.find(old)
	if before != nil && (onLinks(before.Effect) || onLinks(a.Effect) || before.comesAndGoes() || a.comesAndGoes()) {
		if err := e.lift(before); err != nil {
			return err
		}
		before = nil
	}
	if !a.sleeping.Load() {
		if err := e.closePort(a); err != nil {
			return fmt.Errorf("arm %s: %w", a.ID, err)
		}
	}
	if before != nil {
		e.swap(before, a)
	} else {
		chain := append(slices.Clone(e.armed()), a)
		e.chain.Store(&chain)
		for _, u := range sorted(&e.live, e.units) {
			u.consider(a)
		}
	}
	if !a.sleeping.Load() {
		e.strikeOpen(a)
	}
	if !a.Until.IsZero() {
		e.work.Add(1)
		a.lease = time.AfterFunc(time.Until(a.Until), func() { e.expire(a) })
	}
	if a.comesAndGoes() {
		e.work.Go(func() { e.pace(a, calls) })
	}
	return nil
}

// strikeOpen does what an effect does by itself once it is in force.
func (e *Edge) strikeOpen(a *armed) {
	if r, ok := a.Effect.(Refuser); ok {
		e.refuseNow(a, r.Refuses())
	}
	if s, ok := a.Effect.(Sweeper); ok {
		e.startSweep(a, s)
	}
}

// swap puts an effect in another's place. It is called under control.
func (e *Edge) swap(old, a *armed) {
	chain := slices.Clone(e.armed())
	chain[slices.Index(chain, old)] = a
	e.chain.Store(&chain)
	old.lift()
	for _, u := range sorted(&e.live, e.units) {
		u.replace(old, a)
	}
	e.bury(old)
}

// closePort makes the listener refuse or deaf, if that is what the effect does.
func (e *Edge) closePort(a *armed) error {
	switch a.Effect.(type) {
	case Refuser:
		if e.udp != nil {
			return e.udp.refuse()
		}
		return e.port.refuse()
	case Deafener:
		if err := e.port.deafen(); err != nil {
			return err
		}
		if h := a.draw("", false); h != nil {
			h.act()
		}
	}
	return nil
}

// openPort has the listener do what the effects in force and the callee want.
func (e *Edge) openPort(all []*armed) error {
	refuses, deafens := e.down, false
	for _, a := range all {
		_, r := a.Effect.(Refuser)
		_, d := a.Effect.(Deafener)
		if !a.sleeping.Load() {
			refuses, deafens = refuses || r, deafens || d
		}
	}
	if e.udp != nil {
		if refuses {
			return e.udp.refuse()
		}
		return e.udp.serve()
	}
	if refuses {
		return e.port.refuse()
	}
	if err := e.port.serve(e.ctx); err != nil || !deafens {
		return err
	}
	return e.port.deafen()
}

// expire lifts an effect whose lease is over; while that fails, again and again.
func (e *Edge) expire(a *armed) {
	e.control.Lock()
	defer e.control.Unlock()
	if now := e.find(a.ID); now != nil && now.tally() == a && !e.closed {
		if err := e.lift(now); err != nil {
			a.lease.Reset(time.Second)
			return
		}
	}
	e.work.Done()
}

// Lift takes an effect out and returns once it is gone: no unit will be hurt any
// more, the receipt is final, bytes that were held or delayed may leave. It does
// nothing if the effect is not in force. An error says that the listener could
// not be brought back; the effect is then still in force.
func (e *Edge) Lift(id string) error {
	e.control.Lock()
	defer e.control.Unlock()
	a := e.find(id)
	if a == nil {
		return nil
	}
	return e.lift(a)
}

// lift is called under control.
func (e *Edge) lift(a *armed) error {
	was := e.chain.Load()
	others := slices.DeleteFunc(slices.Clone(e.armed()), func(o *armed) bool { return o == a })
	e.chain.Store(&others)
	if onListener(a.Effect) { // last: who connects from then on is not turned away
		if err := e.openPort(others); err != nil {
			e.chain.Store(was)
			return fmt.Errorf("lift %s: %w", a.ID, err)
		}
	}
	a.lift()
	for _, u := range sorted(&e.live, e.units) {
		u.drop(a)
	}
	e.bury(a)
	return nil
}

// bury ends what belongs to an effect that was lifted, and keeps its receipt. It
// is called under control.
func (e *Edge) bury(a *armed) {
	if a.lease != nil && a.lease.Stop() {
		e.work.Done()
	}
	if a.swept != nil {
		<-a.swept
	}
	if len(e.past) == pastReceipts {
		e.past = slices.Delete(e.past, 0, 1)
	}
	e.past = append(e.past, pastReceipt{a.ID, a.counts()})
}

// refuseNow counts the listener that was closed, and resets what is open.
func (e *Edge) refuseNow(a *armed, keepOpen bool) {
	if h := a.draw("", false); h != nil {
		h.act()
	}
	if keepOpen {
		return
	}
	for _, l := range sorted(&e.live, e.links) {
		if h := a.draw("", false); h != nil && !l.strike(a, Reset, nil) {
			a.spare()
		}
	}
}

// startSweep sweeps once, and then at every interval until the lift.
func (e *Edge) startSweep(a *armed, s Sweeper) {
	every, how := s.Sweep()
	e.sweep(a, how)
	if every <= 0 {
		return
	}
	a.swept = make(chan struct{})
	e.work.Go(func() {
		defer close(a.swept)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				e.sweep(a, how)
			case <-a.gone:
				return
			}
		}
	})
}

// sweep draws every live connection and ends those that are drawn.
func (e *Edge) sweep(a *armed, how Ending) {
	var drawn []*hit
	for _, l := range sorted(&e.live, e.links) {
		if !a.match.fitsClient(l.client()) {
			continue
		}
		if h := a.draw("", false); h != nil {
			drawn = append(drawn, h)
			if !l.strike(a, how, nil) {
				a.spare() // it was ending already
			}
		}
	}
	for _, h := range drawn {
		h.end()
	}
}
