//go:build !unix

package relay

import "net"

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
