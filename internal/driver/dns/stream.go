package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxIdle  = 8               // connections of an upstream that wait for a query
	keepTime = 5 * time.Second // for as long
)

// errNoConn: an upstream takes no connection.
var errNoConn = errors.New("cannot be connected to")

// streamDialer makes connections; *net.Dialer and *tls.Dialer do.
type streamDialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// stream asks an upstream by TCP, in plain or by TLS: one query at a time on a
// connection, which is kept for the next one.
type stream struct {
	dialer  streamDialer
	address string

	mu     sync.Mutex
	idle   []kept // the latest last
	closed bool
}

// kept is a connection that waits.
type kept struct {
	net.Conn
	since time.Time
}

func newStream(d streamDialer, address string) *stream {
	return &stream{dialer: d, address: address}
}

func (s *stream) exchange(ctx context.Context, q *query) ([]byte, error) {
	for {
		c, fresh, err := s.conn(ctx)
		if err != nil {
			return nil, err
		}
		a, again, err := over(ctx, c, q)
		if again {
			s.keep(c)
		} else {
			_ = c.Close()
		}
		if err == nil {
			return q.fit(a), nil
		}
		if fresh || ctx.Err() != nil { // one that was kept may have been closed by then
			return nil, ended(ctx, err)
		}
	}
}

// over asks on one connection, and tells whether it can be used again.
func over(ctx context.Context, c net.Conn, q *query) (a []byte, again bool, err error) {
	stop := interruptible(ctx, c)
	defer func() { again = stop() && err == nil }()
	if _, err := c.Write(frame(q.raw)); err != nil {
		return nil, false, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, false, err
	}
	a = make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, a); err != nil {
		return nil, false, err
	}
	if !q.answers(a) {
		return nil, false, errors.New("answers another query")
	}
	return a, false, nil
}

// conn returns a connection that was kept, or a fresh one.
func (s *stream) conn(ctx context.Context) (c net.Conn, fresh bool, err error) {
	if c := s.take(); c != nil {
		return c, false, nil
	}
	c, err = s.dialer.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errNoConn, err)
	}
	return c, true, nil
}

// take returns a connection that was kept, and closes those that are too old.
func (s *stream) take() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		last := s.idle[n-1]
		if time.Since(last.since) < keepTime {
			s.idle = s.idle[:n-1]
			return last.Conn
		}
	}
	for _, k := range s.idle {
		_ = k.Close()
	}
	s.idle = nil
	return nil
}

// keep keeps a connection for the next query.
func (s *stream) keep(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle || c.SetDeadline(time.Time{}) != nil {
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, kept{c, time.Now()})
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, k := range s.idle {
		_ = k.Close()
	}
	s.idle = nil
}
