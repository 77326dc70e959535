package load

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Dial has so many workers dial an Echo, pass one byte both ways and close, over
// and over, for the given time or until max connections are through (each leaves
// a port behind in TIME_WAIT).
func Dial(ctx context.Context, addr string, workers, max int, length time.Duration) (*Answers, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	d := &dials{loop: l, got: &Answers{Latencies: make([]time.Duration, 0, max)}}
	if d.to, err = target(addr); err != nil {
		return nil, err
	}
	l.Do(func() { err = d.run(workers, max, length) })
	return d.got, err
}

type dials struct {
	loop    *Loop
	to      *unix.SockaddrInet4
	got     *Answers
	failure error
}

func (d *dials) run(workers, max int, length time.Duration) error {
	start := time.Now()
	for range workers {
		d.dial()
	}
	for d.failure == nil && len(d.got.Latencies) < max && time.Since(start) < length {
		if d.loop.over() {
			return context.Canceled
		}
		d.loop.poll(10)
	}
	d.got.Elapsed = time.Since(start)
	return d.failure
}

func (d *dials) dial() {
	begun := time.Now()
	fd, err := connect(d.to)
	if err == nil {
		err = d.loop.watch(fd, both|edge, &dial{dials: d, fd: fd, begun: begun})
	}
	if err != nil {
		d.failure = err
	}
}

type dial struct {
	*dials
	fd    int
	begun time.Time
	sent  bool
}

func (d *dial) ready(uint32) {
	b := [1]byte{'.'}
	if !d.sent {
		_, err := write(d.fd, b[:])
		if err != nil && !again(err) {
			d.failure = fmt.Errorf("a new connection: %w", err)
		}
		d.sent = err == nil
		return
	}
	n, err := read(d.fd, b[:])
	if again(err) {
		return
	}
	if err != nil || n == 0 {
		d.failure = fmt.Errorf("a new connection was closed before it answered: %w", err)
		return
	}
	d.loop.drop(d.fd)
	d.got.Latencies = append(d.got.Latencies, time.Since(d.begun))
	d.dial()
}
