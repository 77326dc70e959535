package relay

import (
	"net"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// ownWire makes a caller's socket one that the connection's loop calls the kernel for
// by itself, if it can, so that bytes are spliced again. Whatever it returns, t must
// not be used any more.
func (c *conn) ownWire(t *net.TCPConn) (wire, int, error) {
	p, ok := c.loop.poll.(*epoll)
	if !ok {
		return newNetWire(t, c, Up), -1, nil
	}
	fd, err := linux.Detach(t)
	t.Close()
	if err != nil {
		return nil, -1, err
	}
	w, err := p.add(fd, c, Up)
	return w, fd, err
}
