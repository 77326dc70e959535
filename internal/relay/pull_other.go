//go:build !unix

package relay

import (
	"errors"
	"math"
	"net"
)

// watches: a reset is noticed by reading only.
const watches = false

// fileLimit is how many descriptors the process may have; there is no limit.
func fileLimit() int { return math.MaxInt32 }

// puller reads from a socket into blocks.
type puller struct{ conn *net.TCPConn }

func newPuller(c *net.TCPConn) (*puller, error) { return &puller{conn: c}, nil }

// read returns a block with up to limit bytes, waiting for the first as long as
// the read deadline allows.
func (p *puller) read(limit int) (*block, int, error) {
	b := newBlock()
	n, err := p.conn.Read(b.buf[:min(limit, blockSize)])
	if n == 0 {
		b.release()
		return nil, 0, err
	}
	return b, n, nil
}

// gone cannot be told here.
func (p *puller) gone() error { return errors.ErrUnsupported }
