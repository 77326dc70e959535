package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// plain is an upstream without encryption. It is asked in the way that the caller
// asked us, so that truncation is what the caller would see of it.
type plain struct {
	dialer  *net.Dialer
	address string
	stream  *stream
}

func newPlain(d *net.Dialer, address string) *plain {
	return &plain{dialer: d, address: address, stream: newStream(d, address)}
}

func (p *plain) close() { p.stream.close() }

var buffers = sync.Pool{New: func() any { return new([maxMessage]byte) }}

func (p *plain) exchange(ctx context.Context, q *query) ([]byte, error) {
	if q.tcp {
		a, err := p.stream.exchange(ctx, q)
		if !errors.Is(err, errNoConn) {
			return a, err
		}
	}
	// A socket for each query: the kernel picks a port at random, and takes nothing
	// from anybody else, so that the query's own id will do.
	c, err := p.dialer.DialContext(ctx, "udp", p.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer interruptible(ctx, c)()
	if _, err := c.Write(q.raw); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[maxMessage]byte)
	defer buffers.Put(buf)
	for {
		n, err := c.Read(buf[:])
		if err != nil {
			return nil, ended(ctx, err)
		}
		if !q.answers(buf[:n]) {
			continue
		}
		if q.tcp && truncated(buf[:n]) {
			return nil, errors.New("the answer is too long for UDP, and it does not listen on TCP")
		}
		return slices.Clone(buf[:n]), nil
	}
}

// interruptible ends what a connection waits for when ctx ends. The returned
// function must be called before the connection is used otherwise.
func interruptible(ctx context.Context, c net.Conn) func() bool {
	if d, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(d)
	}
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

// ended says why a wait was over.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	return err
}
