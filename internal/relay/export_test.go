package relay

import "time"

// Queued is how many bytes all queues of the set hold.
func (s *Set) Queued() int64 { return s.budget.used.Load() }

// DialFor makes dials of edges that are opened later last for d at most.
func (s *Set) DialFor(d time.Duration) { s.dialTime = d }

// Portable makes the set do as on systems that have no poller of ours.
func (s *Set) Portable() { s.portable = true }
