package traffic

import (
	"time"
)

// Sample is one request.
type Sample struct {
	// Start is the intended start.
	Start time.Time
	// Latency from it; of a pending request, 0.
	Latency time.Duration
	// OK tells whether it succeeded.
	OK bool
	// Unanswered is a timeout or an overrun.
	Unanswered bool
	// Pending is not over yet.
	Pending bool
}

// Samples are the requests of a flow with an intended start in [from, to), in
// that order. missing counts those that lie so far back that they are kept no
// more: a recorder keeps the last 4 million requests, shared by its flows.
func (r *Recorder) Samples(flow string, from, to time.Time) (samples []Sample, missing uint64) {
	l := r.logs[flow]
	if l == nil {
		return nil, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		return nil, 0
	}
	lo, hi := l.index(from), min(l.index(to), l.next)
	if f := l.first(); lo < f {
		missing = min(f, max(hi, lo)) - lo
		lo = f
	}
	for i := lo; i < hi; i++ {
		rec := l.ring[i%l.limit]
		if rec.state == void {
			continue
		}
		samples = append(samples, Sample{
			Start:      l.start(i),
			Latency:    time.Duration(rec.latency) * time.Microsecond,
			OK:         rec.state == good,
			Unanswered: rec.state == waited || rec.state == overrun,
			Pending:    rec.state == pending,
		})
	}
	return samples, missing
}

// Dropped is how many requests of a flow are kept no more one by one. They are
// still in its windows and in its series.
func (r *Recorder) Dropped(flow string) uint64 {
	l := r.logs[flow]
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// SettledUntil is the instant before which every request of a flow that was due
// is over, at most t.
func (r *Recorder) SettledUntil(flow string, t time.Time) time.Time {
	l := r.logs[flow]
	if l == nil {
		return t
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open || l.oldest == l.next && l.ended {
		return t
	}
	if s := l.start(l.oldest); s.Before(t) {
		return s
	}
	return t
}

// Sliding sums the requests of a flow with an intended start in [from, to).
func (r *Recorder) Sliding(flow string, from, to time.Time) Stats {
	var c collected
	l := r.logs[flow]
	if l == nil {
		return c.stats()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		for i := max(l.index(from), l.first()); i < min(l.index(to), l.next); i++ {
			rec := l.ring[i%l.limit]
			if rec.state == pending {
				c.n.Pending++
			}
			c.add(rec)
		}
	}
	return c.stats()
}

// Decided sums a flow over the window [from, to) as abort rules see it, to being
// now or shortly before: not by intended start but by when a request was
// decided, so that a service that has stopped answering is noticed at once.
//
//   - A request that ended in the window counts as it ended.
//   - An overrun counts at its intended start.
//   - A request that is still waiting, and has come to wait longer than the whole
//     window within the window, counts as unanswered with its age.
//
// A full stall thus makes success 0% as soon as the window is over, however long
// the flow's timeout is, and a service that is merely slower than the window
// gets its answers counted when they come. There is no data (zero Requests)
// before the flow has run for the length of the window.
func (r *Recorder) Decided(flow string, from, to time.Time) Stats {
	var c collected
	l := r.logs[flow]
	if l == nil {
		return c.stats()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	width := to.Sub(from)
	if !l.open || from.Before(l.when.Begin) || width <= 0 {
		return c.stats()
	}
	// What is decided in the window was due within one timeout, or one window,
	// before it; a second more for the generator's lag.
	lo := max(l.index(from.Add(-max(l.timeout, width)-time.Second)), l.first())
	for i := lo; i < min(l.index(to), l.next); i++ {
		c.slide(l.ring[i%l.limit], l.start(i), from, to)
	}
	return c.stats()
}

// slide adds a request if it was decided in [from, to).
func (c *collected) slide(rec record, start, from, to time.Time) {
	if rec.state == void {
		return
	}
	end := start.Add(time.Duration(rec.latency) * time.Microsecond)
	if rec.state == overrun {
		end = start
	}
	if rec.state != pending && end.Before(to) {
		if !end.Before(from) {
			c.add(rec)
		}
		return
	}
	// Waiting at the end of the window.
	if aged := start.Add(to.Sub(from)); aged.Before(to) && !aged.Before(from) {
		c.add(record{latency: micros(to.Sub(start)), state: waited})
		return
	}
	c.n.Pending++
}
