package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// takeTLS carries an accepted connection of a caller that speaks TLS.
func (e *Edge) takeTLS(c *net.TCPConn) {
	k := newKnock(c)
	e.work.Go(k.listen)
	e.welcome(k)
}

// welcome carries a connection whose caller knocks.
func (e *Edge) welcome(k *knock) {
	switch {
	case e.http != nil && e.spec.terminates():
		e.greet(k)
	case e.http != nil:
		k.stop()
		ahead, _ := k.take() // a caller that has left is noticed again
		if e.spec.Protocol == experiment.Auto {
			e.meet(k.TCPConn, ahead)
			return
		}
		e.http.takeOver(k.TCPConn, e.newID(), ahead, nil)
	default:
		c := e.newLive(e.idlest(), remote(k.TCPConn))
		c.loop.post(func() {
			c.ends[Up].wire = &knockWire{knock: k}
			k.follow(func(r readiness) { c.loop.post(func() { c.told(r) }) })
			c.begin()
		})
	}
}

// idlest is the loop with the fewest connections.
func (e *Edge) idlest() *loop {
	l := e.loops[0]
	for _, o := range e.loops {
		if o.live.Load() < l.live.Load() {
			l = o
		}
	}
	return l
}

// told is ready, as long as the caller is still knocking.
func (c *conn) told(r readiness) {
	if _, ok := c.ends[Up].wire.(*knockWire); ok {
		c.ready(Up, r)
	}
}

// shake brings caller and callee through their handshakes: the ClientHello first,
// then the callee, so that the caller is given what the callee would have chosen.
func (c *conn) shake(k *knockWire) {
	d := &dialing{}
	c.dialing = d
	c.loop.setAlarm(&c.hour, time.Time{}) // each step has its own time
	k.seen, c.flows[Up].rest = 0, nil     // what an effect wanted to lose, and did not
	ctx, cancel := context.WithCancel(c.edge.ctx)
	d.cancel = cancel
	c.edge.work.Go(func() {
		defer cancel()
		c.shakeBoth(ctx, d, k.knock)
	})
}

// shakeBoth is shake, on a goroutine of its own.
func (c *conn) shakeBoth(ctx context.Context, d *dialing, k *knock) {
	var up, down socket
	var err error
	passes := !c.edge.spec.terminates()
	if passes {
		err = c.onlyHello(ctx, k)
	} else {
		up, down, err = c.handshakes(ctx, k)
	}
	c.shaken()
	c.loop.post(func() {
		if !c.current(d) {
			if down != nil {
				down.Close()
			}
			return
		}
		switch failed := (*calleeError)(nil); {
		case errors.As(err, &failed):
			d.err = err
			c.notDialed()
		case err != nil:
			c.ended(Up)
			c.end("", Close)
		case passes:
			c.pass(k)
		default:
			e := &c.ends[Up] // its address is read by others
			e.wire, e.readable, e.writable, e.ending, e.reset = newNetWire(up, c, Up), false, true, false, false
			c.flows[Up].rest = nil
			c.ends[Down] = end{wire: newNetWire(down, c, Down), fd: -1, writable: true, addr: remote(rawOf(down))}
			c.opened()
		}
	})
}

// onlyHello is what happens to a handshake that is the callee's to answer. A caller
// that speaks something else has none.
func (c *conn) onlyHello(ctx context.Context, k *knock) error {
	if h, err := k.await(ctx); err == nil {
		c.setHost(h.name)
		if _, err := c.edge.hurt(ctx, k, c.hurts()); err != nil {
			return err
		}
	}
	k.stop()
	return ctx.Err()
}

// pass goes on with the bytes of a caller as they came and come.
func (c *conn) pass(k *knock) {
	ahead, err := k.take()
	if err != nil && err != io.EOF {
		c.fail(Up)
		return
	}
	w, fd, err := c.ownWire(k.TCPConn)
	if err != nil {
		c.ends[Up].wire = nil // it is closed
		c.fail(Up)
		return
	}
	e := &c.ends[Up]
	e.wire, e.fd = &aheadWire{w, ahead}, fd
	// The poller has not told of what was read ahead, and may tell of the rest before
	// that was worked off.
	e.readable, e.urgent, e.writable = true, true, true
	c.flows[Up].rest = nil
	c.dial()
}

// handshakes returns both ends, or an error: a calleeError if it is not the caller
// who has failed.
func (c *conn) handshakes(ctx context.Context, k *knock) (up, down socket, err error) {
	e := c.edge
	h, err := k.await(ctx)
	if err != nil {
		refuse(k, err)
		return nil, nil, err
	}
	c.setHost(h.name)
	bad, err := e.hurt(ctx, k, c.hurts())
	if err != nil {
		return nil, nil, err
	}
	down, called, err := e.reach(ctx, e.next().text, h)
	if err != nil {
		return nil, nil, &calleeError{err}
	}
	caller, err := e.tls.answer(ctx, k, called, bad)
	if err != nil {
		down.Close()
		return nil, nil, err
	}
	secure := newTLSSocket(caller)
	if d, ok := down.(*tlsSocket); ok {
		secure.other, d.other = d, secure
	}
	return secure, down, nil
}

// hurts is what the connection does when its handshake is hurt.
func (c *conn) hurts() handshakeHurts {
	return handshakeHurts{
		drawn: c.struck,
		end:   func(h *hit, how Ending) bool { return c.strike(h.armed, how, h) },
	}
}

// struck notes a hit on the handshake of the connection.
func (c *conn) struck(h *hit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		h.end()
		return
	}
	c.hits = append(c.hits, h)
}

// shaken lets go of the hits on the handshake, which is over.
func (c *conn) shaken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits = slices.DeleteFunc(c.hits, func(h *hit) bool {
		if _, ok := h.Effect.(Handshaker); !ok {
			return false
		}
		c.applied = append(c.applied, names([]*hit{h})...)
		h.end()
		return true
	})
}

// reach connects to an address of the callee, by TLS if that is how it is called:
// then it has chosen something. h is nil for a caller that speaks plain.
func (e *Edge) reach(ctx context.Context, addr string, h *hello) (socket, *choice, error) {
	ctx, cancel := context.WithTimeout(ctx, e.dialTime)
	defer cancel()
	if !e.spec.originates() {
		raw, err := e.dialTo(ctx, addr)
		if err != nil {
			return nil, nil, err
		}
		return raw, nil, nil
	}
	conn, err := e.tls.call(ctx, addr, h, nil)
	if err != nil {
		return nil, nil, err
	}
	c := chosen(conn)
	return newTLSSocket(conn), &c, nil
}

// rawOf is what a socket stands on.
func rawOf(s socket) *net.TCPConn {
	if t, ok := s.(*tlsSocket); ok {
		return t.tcp
	}
	return s.(*net.TCPConn)
}

// setHost notes which name the caller has called.
func (c *conn) setHost(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = name
}
