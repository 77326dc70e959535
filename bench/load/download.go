package load

import (
	"context"
	"errors"
	"time"
)

// arrival is how many bytes had come by a moment.
type arrival struct {
	at    time.Duration // since the order was sent
	bytes uint64        // all so far, these included
}

// Download is what came over the connections to a Source.
type Download struct {
	arrivals []arrival
	end      time.Duration
}

// Fetch orders endless streams on n connections and takes what comes for the
// given time. The bytes are not copied to user space (MSG_TRUNC): the client
// costs little.
func Fetch(ctx context.Context, addr string, n int, length time.Duration) (*Download, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	d := &Download{arrivals: make([]arrival, 0, 1<<16)}
	l.Do(func() { err = d.run(l, addr, n, length) })
	return d, err
}

func (d *Download) run(l *Loop, addr string, n int, length time.Duration) error {
	to, err := target(addr)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	start := time.Now()
	t := &taker{loop: l, d: d, buf: buf, start: start}
	for range n {
		fd, err := connect(to)
		if err != nil {
			return err
		}
		if err := l.watch(fd, both|edge, &stream{taker: t, fd: fd}); err != nil {
			return err
		}
	}
	for d.end < length && t.failure == nil && !l.over() {
		l.poll(10)
		d.end = time.Since(start)
	}
	if l.over() {
		return context.Canceled
	}
	return t.failure
}

// taker is what the streams of one download share.
type taker struct {
	loop    *Loop
	d       *Download
	buf     []byte
	start   time.Time
	total   uint64
	failure error
}

type stream struct {
	*taker
	fd      int
	ordered bool
}

func (s *stream) ready(events uint32) {
	if !s.ordered {
		if _, err := write(s.fd, order(Endless)); err != nil {
			if !again(err) {
				s.failure = errors.Join(errors.New("the connection was not accepted"), err)
			}
			return
		}
		s.ordered = true
	}
	for {
		n, err := swallow(s.fd, s.buf)
		switch {
		case again(err):
			return
		case err != nil || n == 0:
			s.failure = errors.Join(errors.New("the download ended early"), err)
			return
		}
		s.total += uint64(n)
		s.note()
		if n < len(s.buf) {
			return // drained, and the next byte is a new event
		}
	}
}

// note merges what comes within a tenth of a millisecond.
func (t *taker) note() {
	at := time.Since(t.start)
	if k := len(t.d.arrivals); k > 0 && at-t.d.arrivals[k-1].at < 100*time.Microsecond {
		t.d.arrivals[k-1].bytes = t.total
		return
	}
	t.d.arrivals = append(t.d.arrivals, arrival{at, t.total})
}

// Rate is bytes per second after the first skip of time, from arrival to
// arrival, so that the size of the pieces does not blur it.
func (d *Download) Rate(skip time.Duration) (float64, error) {
	var first *arrival
	for i := range d.arrivals {
		if d.arrivals[i].at >= skip {
			first = &d.arrivals[i]
			break
		}
	}
	if first == nil || first.at >= d.arrivals[len(d.arrivals)-1].at {
		return 0, errors.New("nothing came")
	}
	last := d.arrivals[len(d.arrivals)-1]
	return float64(last.bytes-first.bytes) / (last.at - first.at).Seconds(), nil
}

// Windows is how many bytes came in each whole window after the first skip.
func (d *Download) Windows(skip, window time.Duration) []float64 {
	var all []float64
	before, i := uint64(0), 0
	upTo := func(t time.Duration) uint64 {
		for ; i < len(d.arrivals) && d.arrivals[i].at < t; i++ {
			before = d.arrivals[i].bytes
		}
		return before
	}
	from := upTo(skip)
	for t := skip + window; t <= d.end; t += window {
		to := upTo(t)
		all = append(all, float64(to-from))
		from = to
	}
	return all
}

// FirstByte is how long after the order the first byte came.
func (d *Download) FirstByte() time.Duration {
	if len(d.arrivals) == 0 {
		return 0
	}
	return d.arrivals[0].at
}

// Bytes is how many came in all.
func (d *Download) Bytes() uint64 {
	if len(d.arrivals) == 0 {
		return 0
	}
	return d.arrivals[len(d.arrivals)-1].bytes
}
