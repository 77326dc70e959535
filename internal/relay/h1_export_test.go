package relay

// Fast tells whether all connections of the edge are on the fast path.
func (e *Edge) Fast() bool {
	e.live.Lock()
	defer e.live.Unlock()
	for _, l := range e.links {
		if _, ok := l.(*h1Conn); !ok {
			return false
		}
	}
	return true
}
