package relay

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
)

const (
	// maxStreams is how many exchanges a caller may have under way on one connection.
	maxStreams = 4096
	// streamWindow is how many bytes of one way of one exchange are taken ahead of
	// who reads them, and connWindow of all on one connection: so much that those
	// which nobody reads do not stop the others.
	streamWindow = 256 << 10
	connWindow   = 1 << 30
	// maxLines is how many connections to the callee one of a caller may need.
	maxLines = 64
)

// errSpeaksHTTP1 says that a callee has agreed on HTTP/1 over TLS, although its
// caller speaks HTTP/2.
var errSpeaksHTTP1 = errors.New("the callee speaks HTTP/1 only")

// lines are the HTTP/2 connections to the callee of one caller's connection. There
// is one as long as the callee allows as many streams as the caller needs; else more
// are made, up to 64, rather than that one stream waits for another to end: those of
// gRPC may never do that. Past that, and when the process is short of descriptors,
// exchanges wait for a stream.
type lines struct {
	mu      sync.Mutex
	open    []*http.ClientConn
	closed  bool
	dialing *lineDial

	bell  sync.Mutex
	moved chan struct{} // closed when a stream may be free; nil if nobody waits
}

// lineDial is a connection on its way; all who wait for a stream share it.
type lineDial struct {
	done chan struct{}
	err  error // set before done is closed
}

// reserve returns a connection with a stream that is the caller's to use, dialling
// if there is none.
func (l *lines) reserve(ctx context.Context, side *callee) (*http.ClientConn, error) {
	for {
		moved := l.watch()
		l.mu.Lock()
		open := append([]*http.ClientConn(nil), l.open...)
		l.mu.Unlock()
		for _, c := range open {
			if c.Reserve() == nil {
				return c, nil
			}
		}
		d := l.dial(ctx, side, len(open))
		var dialed chan struct{}
		if d != nil {
			dialed = d.done
		}
		select {
		case <-dialed:
			if d.err != nil {
				return nil, d.err
			}
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dial starts to connect, unless somebody did or no more connections may be had:
// then nil. had is how many were looked at.
func (l *lines) dial(ctx context.Context, side *callee, had int) *lineDial {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = working(l.open)
	slots := side.caller.http.edge.slots
	switch {
	case l.dialing != nil:
		return l.dialing
	case len(l.open) > had: // one was made since
		d := &lineDial{done: make(chan struct{})}
		close(d.done)
		return d
	case len(l.open) >= maxLines, len(l.open) > 0 && !slots.tryTake(1):
		return nil
	}
	extra := len(l.open) > 0
	d := &lineDial{done: make(chan struct{})}
	l.dialing = d
	side.caller.http.edge.work.Go(func() {
		err := l.connect(context.WithoutCancel(ctx), side, extra)
		l.mu.Lock()
		l.dialing, d.err = nil, err
		l.mu.Unlock()
		close(d.done)
	})
	return d
}

// connect makes a connection. It returns once the callee has said how many streams
// it allows: a stream too many would be refused.
func (l *lines) connect(ctx context.Context, side *callee, extra bool) error {
	give := func() {
		if extra {
			side.caller.http.edge.slots.add(-1)
		}
	}
	up, err := side.dial(ctx, "h2", "http/1.1")
	if err == nil && up.alpn == "http/1.1" {
		side.speaksHTTP1(up)
		err = errSpeaksHTTP1
	}
	if err != nil {
		give()
		return err
	}
	up.greeted, up.freed = make(chan struct{}), give
	c, err := lineTransport(up).NewClientConn(ctx, "http", "callee:80")
	if err != nil {
		up.Close()
		return err
	}
	c.SetStateHook(func(*http.ClientConn) { l.ring() })
	select {
	case <-up.greeted:
	case <-side.caller.life.Done():
		c.Close()
		return errCut
	}
	if c.Err() != nil || c.Available() == 0 {
		c.Close()
		return up.why(errors.New("the callee takes no requests by HTTP/2"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return errCut
	}
	l.open = append(l.open, c)
	return nil
}

// lineTransport makes one HTTP/2 connection of up, which it takes for plain.
func lineTransport(up *calleeConn) *http.Transport {
	t := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return up, nil },
		Protocols:          new(http.Protocols),
		HTTP2:              &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow},
		DisableCompression: true,
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// watch returns a channel that is closed when a stream may have become free.
func (l *lines) watch() <-chan struct{} {
	l.bell.Lock()
	defer l.bell.Unlock()
	if l.moved == nil {
		l.moved = make(chan struct{})
	}
	return l.moved
}

func (l *lines) ring() {
	l.bell.Lock()
	defer l.bell.Unlock()
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// any tells whether there is a connection left that is of use to somebody.
func (l *lines) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = working(l.open)
	return slices.ContainsFunc(l.open, func(c *http.ClientConn) bool { return c.Available() > 0 || c.InFlight() > 0 })
}

// close closes all connections; nothing is under way on them.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.open {
		c.Close()
	}
	l.open = nil
}

// working leaves out the connections that are closed.
func working(all []*http.ClientConn) []*http.ClientConn {
	return slices.DeleteFunc(all, func(c *http.ClientConn) bool { return c.Err() != nil })
}
