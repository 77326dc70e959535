//go:build unix

package relay

import (
	"io"
	"math"
	"net"
	"syscall"
)

// watches: a reset is noticed without reading.
const watches = true

// fileLimit is how many descriptors the process may have.
func fileLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return math.MaxInt32
	}
	return int(min(uint64(r.Cur), math.MaxInt32))
}

// puller reads from a socket into blocks and holds none while it waits, so that
// an idle connection costs no buffer.
type puller struct {
	rc    syscall.RawConn
	step  func(fd uintptr) bool
	limit int
	block *block
	n     int
	err   error
}

func newPuller(c *net.TCPConn) (*puller, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &puller{rc: rc}
	p.step = p.try
	return p, nil
}

func (p *puller) try(fd uintptr) bool {
	b := newBlock()
	for {
		n, err := syscall.Read(int(fd), b.buf[:p.limit])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			b.release()
			return false
		case err != nil:
			b.release()
			p.err = err
		case n == 0:
			b.release()
			p.err = io.EOF
		default:
			p.block, p.n = b, n
		}
		return true
	}
}

// read returns a block with up to limit bytes, waiting for the first as long as
// the read deadline allows.
func (p *puller) read(limit int) (*block, int, error) {
	p.limit, p.block, p.n, p.err = min(limit, blockSize), nil, 0, nil
	if err := p.rc.Read(p.step); err != nil {
		return nil, 0, err
	}
	b := p.block
	p.block = nil
	return b, p.n, p.err
}

// gone waits, as long as the read deadline allows, for the peer to reset the
// connection, and takes no byte. A FIN does not count: it may be half a close.
func (p *puller) gone() error {
	if err := p.rc.Read(isReset); err != nil {
		return err
	}
	return syscall.ECONNRESET
}

// isReset is tried again at every event of the socket.
func isReset(fd uintptr) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		switch err {
		case syscall.EINTR:
			continue
		case nil, syscall.EAGAIN:
			return isShut(int(fd)) // bytes that came before a reset hide it
		}
		return true
	}
}
