package relay

import (
	"net"
	"sync"
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

// LateCallee gives the only connection of an edge one to its callee whose writes are
// done long before they return: not before it is closed, which closed tells.
func (e *Edge) LateCallee() (closed <-chan struct{}, err error) {
	raw, err := net.Dial("tcp", e.spec.Upstreams[0])
	if err != nil {
		return nil, err
	}
	late := &lateConn{Conn: raw, closed: make(chan struct{})}
	for _, l := range sorted(&e.live, e.links) {
		cc := l.(*callerConn)
		cc.callee.adopt(raw.(*net.TCPConn))
		cc.callee.ready[0].Conn = late
		cc.callee.ready[0].used = false
	}
	return late.closed, nil
}

// Met is how many connections the server of an edge has.
func (e *Edge) Met() int {
	e.live.Lock()
	defer e.live.Unlock()
	return len(e.links)
}

type lateConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *lateConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	<-c.closed
	return n, err
}

func (c *lateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
