//go:build unix

package relay

import (
	"io"
	"net"
	"syscall"
)

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
