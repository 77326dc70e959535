package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Pings measures round trips. The client and the upstream that echoes are one
// locked thread that polls without ever sleeping while it measures: so neither
// end adds the time it takes to be woken, and what is left is the proxy's. It
// takes one core.
type Pings struct {
	*Loop
	Addr  string // of the upstream
	conns []*pinger

	got     []time.Duration
	failure error
}

// rest is how long a connection is left alone between an answer and the next
// ping: a proxy that only works when it is hot is not what is measured.
const rest = time.Millisecond

// NewPings starts the upstream.
func NewPings(ctx context.Context) (*Pings, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	addr, err := l.serveOn(echo)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Pings{Loop: l, Addr: addr}, nil
}

// Connect opens n connections through addr to the upstream, and has each answer
// once.
func (p *Pings) Connect(addr string, n int) (err error) {
	p.Do(func() { err = p.open(addr, n) })
	return err
}

func (p *Pings) open(addr string, n int) error {
	to, err := target(addr)
	if err != nil {
		return err
	}
	p.got = make([]time.Duration, 0, n)
	for range n {
		fd, err := connect(to)
		if err != nil {
			return err
		}
		c := &pinger{all: p, fd: fd}
		if err := p.watch(fd, in, c); err != nil {
			return err
		}
		p.conns = append(p.conns, c)
		if err := p.until("connecting", patience, func() bool {
			err = c.send()
			return again(err)
		}); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		if err := p.until("the first answer", patience, func() bool { return c.waiting && p.failure == nil }); err != nil {
			return err
		}
	}
	return p.failure
}

// Run sends pings over the connections in turn, spacing apart (0: each as soon
// as its connection has rested), until count are answered, and returns their
// round trips. One connection has one ping under way at most.
func (p *Pings) Run(count int, spacing time.Duration) ([]time.Duration, error) {
	p.got = make([]time.Duration, 0, count+len(p.conns))
	var err error
	p.Do(func() { err = p.run(count, spacing) })
	return p.got, err
}

func (p *Pings) run(count int, spacing time.Duration) error {
	last := time.Now()
	next, sent := last, 0
	for len(p.got) < count && p.failure == nil {
		now := time.Now()
		if sent < count && !now.Before(next) {
			if c := p.conns[sent%len(p.conns)]; !c.waiting && now.Sub(c.answered) >= rest {
				if err := c.send(); err != nil {
					return fmt.Errorf("send a ping: %w", err)
				}
				next = next.Add(spacing)
				last = now
				sent++
			}
		}
		p.poll(0)
		if p.over() {
			return context.Canceled
		}
		if now.Sub(last) > patience {
			return fmt.Errorf("no answer to a ping within %v", patience)
		}
	}
	return p.failure
}

type pinger struct {
	all      *Pings
	fd       int
	waiting  bool
	sent     time.Time
	answered time.Time
}

func (c *pinger) send() error {
	b := [1]byte{'.'}
	c.sent = time.Now()
	_, err := write(c.fd, b[:])
	c.waiting = err == nil
	return err
}

func (c *pinger) ready(uint32) {
	var b [8]byte
	n, err := read(c.fd, b[:])
	if again(err) {
		return
	}
	c.answered = time.Now()
	switch {
	case err != nil || n == 0:
		c.all.failure = errors.Join(errors.New("a connection was closed while it was measured"), err)
		c.all.drop(c.fd)
	case n > 1 || !c.waiting:
		c.all.failure = fmt.Errorf("%d bytes came back for one", n)
	default:
		c.all.got = append(c.all.got, c.answered.Sub(c.sent))
	}
	c.waiting = false
}
