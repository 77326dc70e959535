package traffic

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// kept is how many records of single requests a Recorder keeps, over all flows.
const kept = 4 << 20

// state is how a request stands.
type state uint8

const (
	pending state = iota // due, not over
	good                 // succeeded
	failed               // got an error, or a status that is none
	waited               // no answer in time
	overrun              // could not be sent in time
	void                 // cut off by an abort: counts as never sent
)

// record is one request; its intended start follows from its index.
type record struct {
	latency, service uint32 // µs
	class            uint8
	state            state
}

// Outcome is how a request ended.
type Outcome struct {
	// Class is the status as text, or one of the classes of this package.
	Class string
	// OK tells whether it succeeded.
	OK bool
	// Latency from the intended start, Service from the actual send.
	Latency, Service time.Duration
}

// Log is one flow in a Recorder: the generator's side of it. Requests are known
// by their index in the schedule; Due must be called for 0, 1, 2, ...
type Log struct {
	rec     *Recorder
	flow    experiment.Flow
	timeout time.Duration
	limit   uint64 // of ring

	mu      sync.Mutex
	when    Schedule
	open    bool   // begun
	ended   bool   // nothing will be due any more
	next    uint64 // first index not yet due
	oldest  uint64 // first index that is not over
	ring    []record
	dropped uint64
	names   []string // of classes
	tallies []*tally // one per window
	bounds  []bound  // of the windows
	seconds []second
	now     recent
	dice    *rand.Rand
}

// bound is a window's stretch; an open one has no end.
type bound struct{ start, end time.Time }

func (b bound) holds(t time.Time) bool {
	return !t.Before(b.start) && (b.end.IsZero() || t.Before(b.end))
}

// start is the intended start of request i.
func (l *Log) start(i uint64) time.Time {
	return l.when.start(i)
}

// index is the first request with an intended start at or after t, whether or
// not it is due already.
func (l *Log) index(t time.Time) uint64 {
	return l.when.index(t)
}

// at is the record of request i, nil if it is kept no more.
func (l *Log) at(i uint64) *record {
	if i >= l.next || i < l.first() {
		return nil
	}
	return &l.ring[i%l.limit]
}

// first is the index of the oldest record kept.
func (l *Log) first() uint64 { return l.next - uint64(len(l.ring)) }

// Due says that request i has been scheduled.
func (l *Log) Due(i uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uint64(len(l.ring)) < l.limit {
		l.ring = append(l.ring, record{})
	} else {
		l.ring[i%l.limit] = record{}
		l.dropped++
	}
	l.next = i + 1
	if f := l.first(); l.oldest < f { // unfinished, and out of the ring
		l.oldest = f
	}
	l.dueInSecond(i)
}

// Done says how request i ended.
func (l *Log) Done(i uint64, o Outcome) {
	l.finish(i, o, false)
}

// Void says that request i was cut off by an abort: it counts as never sent.
func (l *Log) Void(i uint64) { l.finish(i, Outcome{}, true) }

func (l *Log) finish(i uint64, o Outcome, cut bool) {
	l.mu.Lock()
	r := record{latency: micros(o.Latency), service: micros(o.Service), state: failed}
	switch {
	case cut:
		r.state = void
	case o.OK:
		r.state = good
	case o.Class == Timeout:
		r.state = waited
		r.latency = max(r.latency, micros(l.timeout))
	case o.Class == Overrun:
		r.state = overrun
		r.latency = micros(l.timeout)
	}
	if r.state != void {
		r.class = l.class(o.Class)
		if t := l.tallyOf(l.start(i)); t != nil {
			t.add(r)
		}
		l.now.add(time.Since(l.when.Begin), r)
	}
	l.doneInSecond(i, r)
	if p := l.at(i); p != nil {
		*p = r
	}
	before := l.oldest
	for l.oldest < l.next && l.ring[l.oldest%l.limit].state != pending {
		l.oldest++
	}
	moved := l.oldest != before
	l.mu.Unlock()
	if moved {
		l.rec.wake()
	}
}

// End says that nothing will be due any more.
func (l *Log) End() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.rec.wake()
}

// class is the number of a class; beyond 255 different ones all are Other.
func (l *Log) class(name string) uint8 {
	for i, n := range l.names {
		if n == name {
			return uint8(i)
		}
	}
	if len(l.names) == 255 {
		name = Other
	}
	if len(l.names) == 256 {
		return 255
	}
	l.names = append(l.names, name)
	return uint8(len(l.names) - 1)
}

func (l *Log) tallyOf(t time.Time) *tally {
	for k := len(l.bounds) - 1; k >= 0; k-- {
		if l.bounds[k].holds(t) {
			return l.tallies[k]
		}
	}
	return nil
}

// mark starts a window at t. Requests due from then on that are over already
// move into it.
func (l *Log) mark(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := l.from(t)
	l.closeWindow(t, moved)
	l.bounds = append(l.bounds, bound{start: t})
	l.tallies = append(l.tallies, moved)
}

// from sums the requests due at t or later that are over already.
func (l *Log) from(t time.Time) *tally {
	sum := &tally{}
	if !l.open {
		return sum
	}
	for i := max(l.index(t), l.first()); i < l.next; i++ {
		if r := l.ring[i%l.limit]; r.state != pending && r.state != void {
			sum.add(r)
		}
	}
	return sum
}

// closeWindow ends the open window, if there is one, and takes beyond out of it.
func (l *Log) closeWindow(t time.Time, beyond *tally) {
	k := len(l.bounds) - 1
	if k < 0 || !l.bounds[k].end.IsZero() {
		return
	}
	l.bounds[k].end = t
	l.tallies[k].subtract(beyond)
}

// close ends the open window at t.
func (l *Log) close(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeWindow(t, l.from(t))
}

// settled tells whether every request due before t is over.
func (l *Log) settled(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return true
	}
	if l.oldest == l.next && l.ended {
		return true
	}
	return !l.start(l.oldest).Before(t)
}
