package relay

import (
	"math"
	"sync"
)

const (
	connFiles = 2  // descriptors of a connection: the caller's and the callee's
	edgeFiles = 2  // of an edge: its listener, and a connection that waits its turn
	spareMin  = 32 // descriptors that are left to the rest of the process, at least
)

// slots are the descriptors that the edges of a set may use. The rest of what the
// system allows stays free: with none left, nobody could reach the API to lift a
// fault. A connection takes both of its descriptors before it is served, also
// while it is held and not yet dialled, so that all can be dialled at a lift.
type slots struct {
	spare int // left to the rest of the process
	mu    sync.Mutex
	free  int
	freed chan struct{} // closed when some are given back; nil if nobody waits
}

// newSlots leaves a tenth of limit free, or 32; of a very small limit half.
func newSlots(limit int) *slots {
	spare := min(max(spareMin, limit/10), limit/2)
	return &slots{free: min(limit-spare, math.MaxInt32), spare: min(spare, 4096)}
}

// add takes n, or gives -n back, without waiting.
func (s *slots) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free -= n
	if n < 0 && s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

// tryTake takes n if they are free.
func (s *slots) tryTake(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free < n {
		return false
	}
	s.free -= n
	return true
}

// take waits until n are free, and takes them; false when stop was closed. It
// calls full if it has to wait.
func (s *slots) take(n int, stop <-chan struct{}, full func()) bool {
	for {
		s.mu.Lock()
		if s.free >= n {
			s.free -= n
			s.mu.Unlock()
			return true
		}
		if s.freed == nil {
			s.freed = make(chan struct{})
		}
		freed := s.freed
		s.mu.Unlock()
		full()
		full = func() {}
		select {
		case <-freed:
		case <-stop:
			return false
		}
	}
}
