package relay

import (
	"net"
	"net/netip"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// h1Loops tells whether loops can carry connections of HTTP edges.
const h1Loops = true

// release takes the socket out of the loop's hands, open.
func (w *fdWire) release() int {
	_ = w.poll.poller.Remove(w.fd)
	w.poll.forget(w.key)
	return w.fd
}

// admitH1 carries a connection that was accepted.
func (g *gate) admitH1(l *loop, fd int, from netip.AddrPort) {
	c := newH1(g.edge, l, g.edge.newID(), from)
	c.list()
	begin := func() {
		if c.attach(Up, fd) {
			c.begin()
		}
	}
	if l == g.loop {
		begin()
	} else {
		l.post(begin)
	}
}

// attach gives the connection a socket, which it closes if that fails; then it has
// ended.
func (c *h1Conn) attach(way Way, fd int) bool {
	w, err := c.loop.poll.(*epoll).add(fd, c, way)
	if err != nil {
		c.finish(false)
		return false
	}
	c.ends[way].wire, c.ends[way].fd, c.ends[way].writable = w, fd, true
	return true
}

// adopt goes on with sockets that the server has let go of; callee may be -1.
func (c *h1Conn) adopt(caller, callee int) {
	if !c.attach(Up, caller) {
		if callee >= 0 {
			linux.Close(callee)
		}
		return
	}
	if callee >= 0 && c.attach(Down, callee) {
		c.ends[Down].addr = c.to
		c.stage, c.served = open, 1
	}
	c.begun = true
	c.resume()
}

// copyOf is a descriptor of a connection for a loop's own use.
func copyOf(c *net.TCPConn) (int, error) { return linux.Detach(c) }
