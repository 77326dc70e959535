package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialing is a connection's way to its callee.
type dialing struct {
	cancel context.CancelFunc // ends what a goroutine does for it; nil without
	addrs  []netip.AddrPort   // still to be tried
	err    error              // of the last one
}

func (d *dialing) stop() {
	if d != nil && d.cancel != nil {
		d.cancel()
	}
}

// connector is a poller that connects by itself.
type connector interface {
	// connect starts to connect. The connection hears of the end of it by its
	// callee's wire being writable or broken.
	connect(c socketOwner, to netip.AddrPort) (wire, int, error)
}

// upstream is an address of the callee; addr is invalid if it has a name.
type upstream struct {
	text string
	addr netip.AddrPort
}

func upstreamsOf(texts []string) []upstream {
	all := make([]upstream, len(texts))
	for i, t := range texts {
		all[i].text = t
		if a, err := netip.ParseAddrPort(t); err == nil && a.Port() != 0 && !a.Addr().IsUnspecified() {
			all[i].addr = a
		}
	}
	return all
}

// next is the address whose turn it is.
func (e *Edge) next() upstream {
	if len(e.callee) == 1 {
		return e.callee[0]
	}
	return e.callee[(e.nextUp.Add(1)-1)%uint64(len(e.callee))]
}

// dial begins to connect to the callee's next address.
func (c *conn) dial() {
	c.stage.Store(int32(dialling))
	if k, ok := c.ends[Up].wire.(*knockWire); ok {
		c.shake(k)
		return
	}
	c.loop.setAlarm(&c.hour, time.Now().Add(c.edge.dialTime))
	up := c.edge.next()
	d := &dialing{}
	c.dialing = d
	_, direct := c.loop.poll.(connector)
	direct = direct && !c.edge.spec.originates()
	if direct && up.addr.IsValid() && c.edge.spec.Resolve == nil {
		d.addrs = append(d.addrs, up.addr)
		c.dialNext()
		return
	}
	ctx, cancel := context.WithTimeout(c.edge.ctx, c.edge.dialTime)
	d.cancel = cancel
	c.edge.work.Go(func() {
		defer cancel()
		if direct {
			c.lookUp(ctx, d, up.text)
		} else {
			c.dialOut(ctx, d, up.text)
		}
	})
}

// current tells whether d is what the connection still waits for.
func (c *conn) current(d *dialing) bool {
	return c.dialing == d && stage(c.stage.Load()) == dialling && !c.isOver.Load()
}

// lookUp finds the addresses of a name, for every connection anew.
func (c *conn) lookUp(ctx context.Context, d *dialing, text string) {
	addrs, err := c.edge.resolve(ctx, text)
	c.loop.post(func() {
		if c.current(d) {
			d.addrs, d.err = addrs, err
			c.dialNext()
		}
	})
}

// resolve finds the addresses of an upstream.
func (e *Edge) resolve(ctx context.Context, text string) ([]netip.AddrPort, error) {
	if e.spec.Resolve != nil {
		return e.spec.Resolve(ctx, text)
	}
	return resolve(ctx, text)
}

func resolve(ctx context.Context, text string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(text)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	var v4, v6 []netip.AddrPort
	for _, ip := range ips {
		if ip.IsUnspecified() {
			ip = loopback(ip)
		}
		if to := netip.AddrPortFrom(ip, uint16(port)); ip.Unmap().Is4() {
			v4 = append(v4, to)
		} else {
			v6 = append(v6, to)
		}
	}
	return append(v4, v6...), err
}

// loopback is what an unspecified address means to one who calls it.
func loopback(ip netip.Addr) netip.Addr {
	if ip.Unmap().Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// dialNext tries the next address.
func (c *conn) dialNext() {
	d := c.dialing
	for len(d.addrs) > 0 {
		to := d.addrs[0]
		d.addrs = d.addrs[1:]
		w, fd, err := c.loop.poll.(connector).connect(c, to)
		if err == nil {
			c.ends[Down] = end{wire: w, fd: fd, addr: to}
			return
		}
		d.err = err
	}
	c.notDialed()
}

// dialed is called when the callee's wire may have connected.
func (c *conn) dialed(r readiness) {
	switch {
	case r.broken:
		w := c.ends[Down].wire
		c.dialing.err = syscall.ECONNREFUSED
		if f, ok := w.(interface{ failure() error }); ok {
			c.dialing.err = f.failure()
		}
		w.close(false)
		c.ends[Down] = end{fd: -1}
		c.dialNext()
	case r.writable:
		c.opened()
	}
}

// dialOut connects by the standard library.
func (c *conn) dialOut(ctx context.Context, d *dialing, text string) {
	callee, _, err := c.edge.reach(ctx, text, nil)
	c.loop.post(func() {
		switch {
		case !c.current(d):
			if err == nil {
				callee.Close()
			}
		case err != nil:
			d.err = err
			c.notDialed()
		default:
			c.ends[Down] = end{wire: newNetWire(callee, c, Down), fd: -1, writable: true, addr: remote(rawOf(callee))}
			c.opened()
		}
	})
}

// opened goes on with both ends.
func (c *conn) opened() {
	c.loop.setAlarm(&c.hour, time.Time{})
	c.mu.Lock()
	c.to = c.ends[Down].addr
	c.mu.Unlock()
	c.stage.Store(int32(open))
	c.flows[Down].pump()
	c.flows[Up].pump()
}

// notDialed ends the connection as the edge wants its callers to see it.
func (c *conn) notDialed() {
	how := Reset
	switch c.edge.spec.WhenDown {
	case WhenDownClose:
		how = Close
	case WhenDownRefuse:
		if errors.Is(c.dialing.err, syscall.ECONNREFUSED) {
			c.edge.calleeIsDown()
		}
	}
	c.end("callee", how)
}

// remote is the other side of a connection.
func remote(c *net.TCPConn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// What a caller sees of a callee that cannot be reached; see Spec.WhenDown.
const (
	WhenDownReset  = "reset"
	WhenDownClose  = "close"
	WhenDownRefuse = "refuse"
)

// downEvery is how often a callee that is down is asked for.
const downEvery = 100 * time.Millisecond

// calleeIsDown closes the listener until the callee accepts again. It does not
// wait.
func (e *Edge) calleeIsDown() {
	if !e.watching.CompareAndSwap(false, true) {
		return
	}
	e.work.Go(func() {
		defer e.watching.Store(false)
		if e.reachable() || e.setDown(true) != nil { // one of several may be down
			return
		}
		t := time.NewTicker(downEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-e.ctx.Done():
				return
			case <-e.port.shut:
				return
			}
			if e.reachable() && e.setDown(false) == nil {
				return
			}
		}
	})
}

// reachable tells whether the callee accepts at one of its addresses.
func (e *Edge) reachable() bool {
	for _, u := range e.callee {
		ctx, cancel := context.WithTimeout(e.ctx, time.Second)
		c, err := new(net.Dialer).DialContext(ctx, "tcp", u.text)
		cancel()
		if err == nil {
			c.Close()
			return true
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && e.ctx.Err() == nil {
			return true // not refused: what it is shows when it is called
		}
	}
	return false
}

// setDown closes the listener because the callee is down, or opens it again
// unless an effect keeps it closed.
func (e *Edge) setDown(down bool) error {
	e.control.Lock()
	defer e.control.Unlock()
	if e.closed {
		return nil
	}
	was := e.down
	e.down = down
	err := e.openPort(e.armed())
	if err != nil {
		e.down = was
	}
	return err
}
