package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// Queued is how many bytes all queues of the set hold.
func (s *Set) Queued() int64 { return s.budget.used.Load() }

// DialFor makes dials of edges that are opened later last for d at most.
func (s *Set) DialFor(d time.Duration) { s.dialTime = d }

// HeadFor makes callers of edges that are opened later have d for a request's head.
func (s *Set) HeadFor(d time.Duration) { s.headTime = d }

// Portable makes the set do as on systems that have no poller of ours.
func (s *Set) Portable() { s.portable = true }

// Sessions bounds those of a UDP edge.
func (e *Edge) Sessions(most int) {
	e.udp.mu.Lock()
	defer e.udp.mu.Unlock()
	e.udp.most = most
}

// listening is an ear that somebody listens with.
func listening() *ear {
	e := &ear{}
	f := func(*experiment.Exchange) {}
	e.of.Store(&f)
	return e
}
