package relay

import (
	"context"
	"time"
)

// dial begins to connect to the callee's next address.
func (c *h1Conn) dial() {
	c.stage = dialling
	c.loop.setAlarm(&c.hour, time.Now().Add(c.edge.dialTime))
	up := c.edge.next()
	d := &dialing{}
	c.dialing = d
	if up.addr.IsValid() {
		d.addrs = append(d.addrs, up.addr)
		c.dialNext()
		return
	}
	ctx, cancel := context.WithTimeout(c.edge.ctx, c.edge.dialTime)
	d.cancel = cancel
	c.edge.work.Go(func() {
		defer cancel()
		addrs, err := resolve(ctx, up.text)
		c.loop.post(func() {
			if c.dialing == d && c.stage == dialling {
				d.addrs, d.err = addrs, err
				c.dialNext()
			}
		})
	})
}

// dialNext tries the next address.
func (c *h1Conn) dialNext() {
	d := c.dialing
	for len(d.addrs) > 0 {
		to := d.addrs[0]
		d.addrs = d.addrs[1:]
		w, fd, err := c.loop.poll.(connector).connect(c, to)
		if err == nil {
			c.ends[Down] = end{wire: w, fd: fd, addr: to}
			return
		}
	}
	c.notDialed()
}

// dialed is called when the callee's wire may have connected.
func (c *h1Conn) dialed(r readiness) {
	switch {
	case r.broken:
		c.ends[Down].wire.close(false)
		c.ends[Down] = end{fd: -1}
		c.dialNext()
	case r.writable:
		c.stage, c.served = open, 0
		c.loop.setAlarm(&c.hour, time.Time{})
		c.mu.Lock()
		c.to = c.ends[Down].addr
		c.mu.Unlock()
		c.pump()
	}
}

// notDialed resets the caller, as the callee would have.
func (c *h1Conn) notDialed() {
	c.fail(Reset)
}
