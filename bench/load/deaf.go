package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Deaf is an upstream whose queue is full: whoever connects to it waits, since
// the kernel answers no further SYN.
type Deaf struct {
	Addr   string
	listen int
	filler []int
}

// NewDeaf opens the listener and fills its queue, which nobody will empty.
func NewDeaf(ctx context.Context) (*Deaf, error) {
	fd, addr, err := listen()
	if err != nil {
		return nil, err
	}
	d := &Deaf{Addr: addr, listen: fd}
	if err := unix.Listen(fd, 0); err != nil {
		d.Close()
		return nil, err
	}
	to, err := target(addr)
	if err != nil {
		d.Close()
		return nil, err
	}
	for range 16 {
		c, err := connect(to)
		if err != nil {
			d.Close()
			return nil, err
		}
		d.filler = append(d.filler, c)
		if ctx.Err() != nil {
			d.Close()
			return nil, ctx.Err()
		}
		if stood, err := standsWithin(c, 100*time.Millisecond); err != nil || !stood {
			return d, err
		}
	}
	d.Close()
	return nil, fmt.Errorf("the queue of %s does not fill", addr)
}

func standsWithin(fd int, limit time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for deadline := time.Now().Add(limit); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return n > 0, err
		}
	}
}

// Close lets whoever waits go.
func (d *Deaf) Close() {
	for _, fd := range d.filler {
		unix.Close(fd)
	}
	unix.Close(d.listen)
}
