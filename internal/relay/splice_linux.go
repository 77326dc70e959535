package relay

import (
	"io"
	"sync/atomic"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// spliceBytes is how much one splice moves at most.
const spliceBytes = linux.PipeSize

// A loop keeps idlePipes for the next second, and fewPipes for longer.
const (
	idlePipes = 256
	fewPipes  = 4
)

// pipes are the kernel's pipes that a loop splices with. A flow has one only
// while bytes are on their way.
type pipes struct {
	open *atomic.Int32 // of all loops
	most int32
	idle []*channel
	many func() // called when more are idle than are to be kept for long
}

// channel is a pipe and how many bytes it holds.
type channel struct {
	pipe linux.Pipe
	held int
	from *pipes
}

// release gives the pipe back, with the bytes it holds; nil is none.
func (c *channel) release() {
	if c != nil {
		c.from.give(c)
	}
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
	return &channel{pipe: pipe, from: p}
}

// give takes a pipe back; one that holds bytes is closed, and they are lost.
func (p *pipes) give(c *channel) {
	if c.held == 0 && len(p.idle) < idlePipes {
		p.idle = append(p.idle, c)
		if len(p.idle) == fewPipes+1 {
			p.many()
		}
		return
	}
	c.pipe.Close()
	p.open.Add(-1)
}

// trim closes what is idle but for a few.
func (p *pipes) trim() { p.keep(min(fewPipes, len(p.idle))) }

func (p *pipes) close() { p.keep(0) }

func (p *pipes) keep(n int) {
	for _, c := range p.idle[n:] {
		c.pipe.Close()
		p.open.Add(-1)
	}
	clear(p.idle[n:])
	p.idle = p.idle[:n]
}

// fill moves up to limit bytes from a socket into the pipe.
func (c *channel) fill(from *end, limit int) (int, error) {
	n, err := c.pipe.Fill(from.fd, min(limit, spliceBytes))
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
