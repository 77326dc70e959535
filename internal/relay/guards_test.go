package relay

import "testing"

// These guards close windows of microseconds, which no test from outside hits
// reliably.

// Bytes that come after the effects have changed are not for the old plan.
func TestReadKeepsBytesForTheNextPlan(t *testing.T) {
	c := newConn(&Edge{}, 1, nil)
	f := &c.flows[Up]
	stale := c.plan(Up)
	c.mu.Lock()
	c.changed()
	c.mu.Unlock()
	f.carry, f.carryN = newBlock(), 5
	if b, n, err := f.read(stale, blockSize); b != nil || n != 0 || err != nil {
		t.Errorf("a plan that is over was given %d bytes (%v)", n, err)
	}
	if b, n, err := f.read(c.plan(Up), blockSize); b == nil || n != 5 || err != nil {
		t.Errorf("the next plan was given %d bytes (%v)", n, err)
	}
}

// An effect that was lifted swallows nothing and hurts nobody, and its receipt
// stays what it was.
func TestLiftedEffectsDoNothing(t *testing.T) {
	c := newConn(&Edge{}, 1, nil)
	f := &c.flows[Up]
	a := &armed{gone: make(chan struct{})}
	h := a.draw("", false)
	before := a.counts()
	a.lift()
	f.carry, f.carryN = newBlock(), 5
	if err := f.swallow(plan{swallow: h}); err != nil || f.carryN != 5 || f.carry == nil || h.damaged.Load() {
		t.Errorf("bytes were swallowed after the lift (%v)", err)
	}
	h.act()
	if h.once(true) || a.strike(func() { t.Error("struck") }) || a.draw("", false) != nil || a.counts() != before {
		t.Errorf("acted after the lift: %+v, was %+v", a.counts(), before)
	}
}
