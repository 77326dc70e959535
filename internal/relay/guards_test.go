package relay

import (
	"net/netip"
	"testing"
	"time"
)

// These guards close windows of microseconds, which no test from outside hits
// reliably.

// An effect that was lifted swallows nothing and hurts nobody, and its receipt
// stays what it was.
func TestLiftedEffectsDoNothing(t *testing.T) {
	c := newConn(&Edge{newID: func() uint64 { return 1 }}, &loop{}, netip.AddrPort{})
	f := &c.flows[Up]
	a := &armed{gone: make(chan struct{})}
	h := a.draw("", false)
	before := a.counts()
	a.lift()
	f.rest = make([]byte, 5)
	if f.swallow(h) || len(f.rest) != 5 || h.damaged.Load() {
		t.Error("bytes were swallowed after the lift")
	}
	h.act()
	deed := func() bool { t.Error("struck"); return true }
	if h.once(true) || a.strike(deed) || a.draw("", false) != nil || a.counts() != before {
		t.Errorf("acted after the lift: %+v, was %+v", a.counts(), before)
	}
}

// room is what may be pushed now.
func room(q *queue, bound int) int { n, _ := q.room(bound); return n }

// Alarms ring in the order of their times, whatever was set, moved and cleared
// before.
func TestAlarmsRingInOrder(t *testing.T) {
	var h alarms
	var rung []time.Duration
	all := make([]*alarm, 500)
	for i := range all {
		a := &alarm{}
		a.ring = func() { rung = append(rung, a.at) }
		all[i] = a
		h.set(a, time.Duration(i*7919%1000))
	}
	for i, a := range all {
		switch i % 3 {
		case 0:
			h.set(a, time.Duration(i*104729%1000))
		case 1:
			h.clear(a)
			h.clear(a)
		}
	}
	h.ring(499)
	early := len(rung)
	h.ring(2000)
	if len(rung) != 333 || len(h) != 0 || early == 0 || early == len(rung) {
		t.Errorf("%d rang, %d early, %d are left", len(rung), early, len(h))
	}
	for i := 1; i < len(rung); i++ {
		if rung[i] < rung[i-1] || i < early && rung[i] > 499 {
			t.Fatalf("%d rang after %d", rung[i], rung[i-1])
		}
	}
}
