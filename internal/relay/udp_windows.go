package relay

import (
	"errors"
	"net"
	"syscall"
)

// datagramReader reads what comes to a connected socket.
type datagramReader struct{ c *net.UDPConn }

func newDatagramReader(c *net.UDPConn) *datagramReader { return &datagramReader{c} }

func (r *datagramReader) read() (*block, int, error) {
	b := newBlock()
	n, err := r.c.Read(b.buf)
	return b, n, err
}

// isUnreachable tells whether an error is about an earlier datagram that did not
// arrive.
func isUnreachable(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.ECONNREFUSED)
}
