//go:build unix

package relay

import (
	"errors"
	"net"
	"syscall"
)

// datagramReader reads what comes to a connected socket. While nothing comes, it
// has no buffer: there may be thousands of sessions.
type datagramReader struct {
	conn syscall.RawConn
	try  func(fd uintptr) bool
	b    *block
	n    int
	err  error
}

func newDatagramReader(c *net.UDPConn) *datagramReader {
	r := &datagramReader{}
	r.conn, r.err = c.SyscallConn()
	r.try = func(fd uintptr) bool {
		r.b = newBlock()
		for {
			if r.n, r.err = syscall.Read(int(fd), r.b.buf); r.err != syscall.EINTR {
				break
			}
		}
		if r.err == syscall.EAGAIN {
			r.b.release()
			r.b = nil
			return false
		}
		return true
	}
	return r
}

// read waits for a datagram, whose block the caller releases; it may be nil with an
// error, which is net.ErrClosed once the socket is closed.
func (r *datagramReader) read() (*block, int, error) {
	if r.conn == nil {
		return nil, 0, net.ErrClosed
	}
	r.b = nil
	if err := r.conn.Read(r.try); err != nil {
		r.b.release()
		return nil, 0, net.ErrClosed
	}
	return r.b, r.n, r.err
}

// isUnreachable tells whether an error is about an earlier datagram that did not
// arrive.
func isUnreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
