package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a request and an answer look like: small, as APIs are.
var (
	request = []byte("GET /things/17 HTTP/1.1\r\nHost: upstream\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	body    = `{"text":"` + strings.Repeat("x", 128-11) + `"}`
	answer  = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n" + body)
)

// Web answers every HTTP request with the same 128 bytes, keeping the
// connection.
func Web(ctx context.Context) (*Upstream, error) {
	return newUpstream(ctx, func(l *Loop, fd int) (handler, uint32) { return &webConn{loop: l, fd: fd}, in })
}

type webConn struct {
	loop *Loop
	fd   int
	have int
	buf  [1024]byte
}

func (c *webConn) ready(uint32) {
	n, err := read(c.fd, c.buf[c.have:])
	if again(err) {
		return
	}
	if err != nil || n == 0 {
		c.loop.drop(c.fd)
		return
	}
	if c.have += n; !bytes.HasSuffix(c.buf[:c.have], []byte("\r\n\r\n")) {
		return
	}
	c.have = 0
	if n, err := write(c.fd, answer); err != nil || n < len(answer) {
		c.loop.drop(c.fd) // 200 bytes always fit where nothing else is under way
	}
}

// Answers is what a closed-loop client got.
type Answers struct {
	Latencies []time.Duration
	Elapsed   time.Duration
}

// PerSecond is how many answers came per second.
func (a *Answers) PerSecond() float64 { return float64(len(a.Latencies)) / a.Elapsed.Seconds() }

// Requests is a closed-loop HTTP client on n keep-alive connections: each sends
// its next request when it has the whole answer to the last.
type Requests struct {
	*Loop
	// AnyHead takes answers whose heads a proxy has written anew: status and body
	// are compared.
	AnyHead bool
	conns   []*requester
	got     *Answers
	failure error
}

// NewRequests opens the connections.
func NewRequests(ctx context.Context, addr string, n int) (*Requests, error) {
	l, err := NewLoop(ctx)
	if err != nil {
		return nil, err
	}
	r := &Requests{Loop: l}
	l.Do(func() { err = r.open(addr, n) })
	if err != nil {
		l.Close()
		return nil, err
	}
	return r, nil
}

func (r *Requests) open(addr string, n int) error {
	to, err := target(addr)
	if err != nil {
		return err
	}
	for range n {
		fd, err := connect(to)
		if err != nil {
			return err
		}
		c := &requester{all: r, fd: fd}
		if err := r.watch(fd, in, c); err != nil {
			return err
		}
		r.conns = append(r.conns, c)
	}
	return nil
}

// Run sends requests for the given time.
func (r *Requests) Run(length time.Duration) (*Answers, error) {
	got := &Answers{Latencies: make([]time.Duration, 0, int(length.Seconds()*500_000))}
	var failure error
	r.Do(func() { // late answers of an earlier run come there, too
		r.got = got
		r.run(length)
		r.got, failure = &Answers{}, r.failure
	})
	return got, failure
}

func (r *Requests) run(length time.Duration) {
	start := time.Now()
	for _, c := range r.conns {
		if !c.waiting { // an earlier run's last request may still be under way
			c.send()
		}
	}
	for r.failure == nil && time.Since(start) < length {
		if r.over() {
			r.failure = context.Canceled
			return
		}
		r.poll(10)
	}
	r.got.Elapsed = time.Since(start)
}

type requester struct {
	all     *Requests
	fd      int
	waiting bool
	sent    time.Time
	have    int
	buf     [1024]byte
}

func (c *requester) send() {
	c.sent, c.have, c.waiting = time.Now(), 0, true
	n, err := write(c.fd, request)
	if again(err) { // not connected yet
		c.waiting = false
		err = c.all.until("connecting", patience, func() bool {
			n, err = write(c.fd, request)
			return again(err)
		})
		c.sent, c.waiting = time.Now(), true
	}
	if err != nil || n != len(request) {
		c.all.failure = fmt.Errorf("send a request: %w", err)
	}
}

func (c *requester) ready(uint32) {
	n, err := read(c.fd, c.buf[c.have:])
	if again(err) {
		return
	}
	if err != nil || n == 0 {
		c.all.failure = errors.Join(errors.New("the connection was closed instead of answering"), err)
		c.all.drop(c.fd)
		return
	}
	c.have += n
	got := c.buf[:c.have]
	if c.all.AnyHead && bytes.HasPrefix(got, answer[:len("HTTP/1.1 200 ")]) && bytes.HasSuffix(got, answer[len(answer)-len(body)-4:]) {
		got = answer
	}
	if len(got) < len(answer) || c.all.AnyHead && len(got) < len(c.buf) && !bytes.Equal(got, answer) {
		return
	}
	if !bytes.Equal(got, answer) {
		c.all.failure = fmt.Errorf("not the answer that the upstream sent: %.80q", c.buf[:c.have])
		return
	}
	c.all.got.Latencies = append(c.all.got.Latencies, time.Since(c.sent))
	c.send()
}
