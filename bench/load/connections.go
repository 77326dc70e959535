package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long anything may take that should take milliseconds.
const patience = 20 * time.Second

// Connections are open connections to one address that do nothing by
// themselves.
type Connections struct {
	*Loop
	fds []int
}

// Open connects n times to addr, has each connection pass a byte to an Echo and
// back, and returns when all have.
func Open(ctx context.Context, addr string, n int) (*Connections, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	c := &Connections{Loop: l}
	l.Do(func() { err = c.open(addr, n) })
	if err != nil {
		l.Close()
		return nil, err
	}
	return c, nil
}

func (c *Connections) open(addr string, n int) error {
	to, err := target(addr)
	if err != nil {
		return err
	}
	const atOnce = 64
	var answered, failed int
	for i := range n {
		fd, err := connect(to)
		if err != nil {
			return err
		}
		c.fds = append(c.fds, fd)
		if err := c.watch(fd, unix.EPOLLOUT, &greeting{loop: c.Loop, fd: fd, answered: &answered, failed: &failed}); err != nil {
			return err
		}
		err = c.until(fmt.Sprintf("opening %d connections", n), patience, func() bool { return i+1-answered-failed >= atOnce })
		if err != nil {
			return err
		}
	}
	err = c.until(fmt.Sprintf("opening %d connections", n), patience, func() bool { return answered+failed < n })
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d connections were closed instead of answered", failed, n)
	}
	return err
}

// greeting passes one byte each way, then leaves the socket alone.
type greeting struct {
	loop             *Loop
	fd               int
	sent             bool
	answered, failed *int
}

func (g *greeting) ready(events uint32) {
	b := []byte{'.'}
	if !g.sent {
		if _, err := write(g.fd, b); err != nil {
			g.fail()
			return
		}
		g.sent = true
		g.listenFor(in)
		return
	}
	n, err := read(g.fd, b)
	switch {
	case again(err):
	case err != nil || n == 0:
		g.fail()
	default:
		*g.answered++
		g.listenFor(0)
	}
}

func (g *greeting) fail() {
	*g.failed++
	g.listenFor(0)
}

func (g *greeting) listenFor(events uint32) {
	e := unix.EpollEvent{Events: events, Fd: int32(g.fd)}
	if unix.EpollCtl(g.loop.epfd, unix.EPOLL_CTL_MOD, g.fd, &e) != nil {
		*g.failed++
	}
}

// Sleepers orders an endless stream from a Source on each of n connections, and
// never reads. Small receive buffers keep the machine's memory out of it.
func Sleepers(ctx context.Context, addr string, n int) (*Connections, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	c := &Connections{Loop: l}
	l.Do(func() { err = c.orderAll(addr, n) })
	if err != nil {
		l.Close()
		return nil, err
	}
	return c, nil
}

func (c *Connections) orderAll(addr string, n int) error {
	to, err := target(addr)
	if err != nil {
		return err
	}
	var ordered int
	for range n {
		fd, err := connect(to)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<10); err != nil {
			unix.Close(fd)
			return err
		}
		if err := c.watch(fd, unix.EPOLLOUT|edge, &orderer{fd: fd, ordered: &ordered}); err != nil {
			return err
		}
	}
	return c.until(fmt.Sprintf("opening %d connections", n), patience, func() bool { return ordered < n })
}

type orderer struct {
	fd      int
	sent    bool
	ordered *int
}

func (o *orderer) ready(uint32) {
	if o.sent {
		return
	}
	if _, err := write(o.fd, order(Endless)); err == nil {
		o.sent = true
		*o.ordered++
	}
}
