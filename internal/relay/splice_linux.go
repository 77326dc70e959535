package relay

import (
	"io"
	"sync/atomic"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// spliceBytes is how much one splice moves at most.
const spliceBytes = linux.PipeSize

// idlePipes is how many pipes a loop keeps.
const idlePipes = 4

// pipes are the kernel's pipes that a loop splices with. A flow has one only
// while bytes are on their way.
type pipes struct {
	open *atomic.Int32 // of all loops
	most int32
	idle []*channel
}

// channel is a pipe and how many bytes it holds.
type channel struct {
	pipe linux.Pipe
	held int
}

// take returns an empty pipe; nil if there are too many already, or the system
// gives none: then bytes are copied.
func (p *pipes) take() *channel {
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c
	}
	if p.open.Add(1) > p.most {
		p.open.Add(-1)
		return nil
	}
	pipe, err := linux.NewPipe()
	if err != nil {
		p.open.Add(-1)
		return nil
	}
	return &channel{pipe: pipe}
}

// give takes a pipe back; one that holds bytes is closed, and they are lost.
func (p *pipes) give(c *channel) {
	if c.held == 0 && len(p.idle) < idlePipes {
		p.idle = append(p.idle, c)
		return
	}
	c.pipe.Close()
	p.open.Add(-1)
}

func (p *pipes) close() {
	for _, c := range p.idle {
		c.pipe.Close()
		p.open.Add(-1)
	}
	p.idle = nil
}

// fill moves bytes from a socket into the pipe.
func (c *channel) fill(from *end) (int, error) {
	n, err := c.pipe.Fill(from.fd, spliceBytes)
	c.held += n
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, again(err)
}

// drain moves bytes from the pipe to a socket.
func (c *channel) drain(to *end) (int, error) {
	n, err := c.pipe.Drain(to.fd, c.held)
	c.held -= n
	return n, again(err)
}
