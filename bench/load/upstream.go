package load

import (
	"context"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Upstream is a server on loopback that answers what comes through a proxy.
type Upstream struct {
	*Loop
	Addr string
}

// behaviour makes the handler of a connection that was accepted.
type behaviour func(l *Loop, fd int) (handler, uint32)

func newUpstream(ctx context.Context, b behaviour) (*Upstream, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	addr, err := l.serveOn(b)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Upstream{Loop: l, Addr: addr}, nil
}

// serveOn opens a listener and watches it.
func (l *Loop) serveOn(b behaviour) (addr string, err error) {
	fd, addr, err := listen()
	if err != nil {
		return "", err
	}
	l.Do(func() {
		if err = l.watch(fd, unix.EPOLLIN, &acceptor{l, fd, b}); err != nil {
			unix.Close(fd)
		}
	})
	return addr, err
}

type acceptor struct {
	loop *Loop
	fd   int
	b    behaviour
}

func (a *acceptor) ready(uint32) {
	for {
		fd, err := accept(a.fd)
		if err != nil || fd < 0 {
			return // what is wrong here, the client misses
		}
		h, events := a.b(a.loop, fd)
		if a.loop.watch(fd, events, h) != nil {
			unix.Close(fd)
		}
	}
}

// Echo returns what it is sent, in pieces of at most 4 KB.
func Echo(ctx context.Context) (*Upstream, error) { return newUpstream(ctx, echo) }

func echo(l *Loop, fd int) (handler, uint32) { return &echoConn{loop: l, fd: fd}, in }

type echoConn struct {
	loop *Loop
	fd   int
	buf  [512]byte
}

func (c *echoConn) ready(uint32) {
	n, err := read(c.fd, c.buf[:])
	switch {
	case again(err):
	case err != nil || n == 0:
		c.loop.drop(c.fd)
	default:
		if _, err := write(c.fd, c.buf[:n]); err != nil {
			c.loop.drop(c.fd)
		}
	}
}

// Endless as an order makes a Source send until its client goes away.
const Endless = 1<<63 - 1

// Source sends as many bytes as it is ordered to; an order is eight bytes.
func Source(ctx context.Context) (*Upstream, error) {
	bytes := make([]byte, 256<<10)
	return newUpstream(ctx, func(l *Loop, fd int) (handler, uint32) {
		return &sourceConn{loop: l, fd: fd, bytes: bytes}, both | edge
	})
}

type sourceConn struct {
	loop  *Loop
	fd    int
	bytes []byte
	left  uint64
}

func (c *sourceConn) ready(events uint32) {
	if events&in != 0 {
		var order [8]byte
		n, err := read(c.fd, order[:])
		switch {
		case again(err):
		case err != nil || n == 0:
			c.loop.drop(c.fd)
			return
		case n == len(order): // eight bytes written at once arrive at once on loopback
			c.left = binary.BigEndian.Uint64(order[:])
		}
	}
	for c.left > 0 {
		n, err := write(c.fd, c.bytes[:min(c.left, uint64(len(c.bytes)))])
		if again(err) {
			return
		}
		if err != nil {
			c.loop.drop(c.fd)
			return
		}
		c.left -= uint64(n)
	}
}

func order(bytes uint64) []byte { return binary.BigEndian.AppendUint64(nil, bytes) }
