package relay

import (
	"sync/atomic"

	"github.com/chaosctl/chaosctl/experiment"
)

// ear is who is told of exchanges: one for all edges of a set.
type ear struct {
	of atomic.Pointer[func(*experiment.Exchange)]
}

// on tells whether somebody listens.
func (e *ear) on() bool { return e.of.Load() != nil }

// tell tells of an exchange.
func (e *ear) tell(x *experiment.Exchange) {
	if f := e.of.Load(); f != nil {
		(*f)(x)
	}
}

// Listen has to be told of each exchange of an HTTP edge, each connection of a TCP edge
// and each session of a UDP edge as it ends, from now on and instead of whoever listened
// before; nil ends that. Whoever calls an edge that sees requests, and fails before its
// first one because of the callee, of TLS or of a fault, is told of as a connection.
// It is called from many goroutines, must not block, and may keep nothing of what it
// is given: the exchange is valid until it returns. Exchanges that had begun before are
// told as far as is known of them.
func (s *Set) Listen(to func(*experiment.Exchange)) {
	if to == nil {
		s.ear.of.Store(nil)
		return
	}
	s.ear.of.Store(&to)
}
