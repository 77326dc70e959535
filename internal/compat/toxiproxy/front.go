package toxiproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// front accepts the connections of a server. It answers plain requests itself, for
// net/http takes as long over one as opening an edge does; with the first that is
// not plain a connection goes to net/http, which has it from then on, and sees it
// as if nobody had read from it. To net/http it is a listener.
type front struct {
	net.Listener
	door    *Door
	ctx     context.Context
	given   chan given // to net/http
	closing chan struct{}
	once    sync.Once
	closed  error          // what closing the listener said
	work    sync.WaitGroup // connections, and what accepts them

	mu       sync.Mutex
	conns    map[*frontConn]struct{}
	stopping bool
}

// given is what Accept returns.
type given struct {
	conn net.Conn
	err  error
}

func newFront(ctx context.Context, d *Door, ln net.Listener) *front {
	f := &front{Listener: ln, door: d, ctx: ctx, given: make(chan given), closing: make(chan struct{}), conns: map[*frontConn]struct{}{}}
	f.work.Go(f.accept)
	return f
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case g := <-f.given:
		return g.conn, g.err
	case <-f.closing:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.once.Do(func() {
		close(f.closing)
		f.closed = f.Listener.Close()
	})
	return f.closed
}

// give hands something to net/http, which waits a while after an error; false if
// it takes nothing any more.
func (f *front) give(g given) bool {
	select {
	case f.given <- g:
		return true
	case <-f.closing:
		return false
	}
}

func (f *front) accept() {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			if !f.give(given{err: err}) {
				return
			}
			continue
		}
		c := &frontConn{front: f, conn: conn, by: time.Now().Add(f.door.limits.read)}
		if !f.enter(c) {
			conn.Close()
			return
		}
		f.work.Go(c.serve)
	}
}

func (f *front) enter(c *frontConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *front) leave(c *frontConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// stop closes the connections that wait for a request, lets the requests under way
// finish until ctx ends, and then cuts them.
func (f *front) stop(ctx context.Context) error {
	f.shut(func(c *frontConn) bool { return !c.busy })
	ended := make(chan struct{})
	go func() {
		f.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		f.shut(func(*frontConn) bool { return true })
		return ctx.Err()
	}
}

func (f *front) shut(which func(*frontConn) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping = true
	for c := range f.conns {
		if which(c) {
			c.conn.Close()
		}
	}
}

// frontConn is a connection that has brought only plain requests so far.
type frontConn struct {
	front *front
	conn  net.Conn
	busy  bool // with a request; under front.mu

	by    time.Time // when what is being waited for must be there
	armed time.Time // when the deadlines were set
	in    []byte    // what has come and is not answered
	out   []byte    // of the last answer, for its room
	date  dateText
}

// Sizes of buffers: to begin with, and the largest that are kept.
const (
	frontBuffer = 4 << 10
	frontKept   = 64 << 10
)

// deadlineStep is by how much deadlines may be off: setting them for each request
// costs.
const deadlineStep = time.Second

func (c *frontConn) serve() {
	passed := false
	defer func() {
		if v := recover(); v != nil {
			c.front.door.log.Error("a request panicked", "client", c.conn.RemoteAddr().String(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
		c.front.leave(c)
		if !passed {
			c.conn.Close()
		}
	}()
	c.in = make([]byte, 0, frontBuffer)
	_ = c.conn.SetReadDeadline(c.by)
	more := true
	for more {
		more, passed = c.request()
	}
}

// request answers the next request, or passes the connection on.
func (c *frontConn) request() (more, passed bool) {
	if len(c.in) == 0 && !c.first() {
		return false, false
	}
	d, ctx := c.front.door, c.front.ctx
	p, plain := readPlain(c.in)
	// With debug messages each request is told, in words that net/http finds.
	if !plain || d.foreign(string(p.host)) || d.log.Enabled(ctx, slog.LevelDebug) {
		return false, c.pass(nil)
	}
	n, to, _ := d.route(string(p.method), string(p.path))
	if n.handler == nil {
		return false, c.pass(nil)
	}
	post := string(p.method) == http.MethodPost
	if err := c.rest(p.size); err != nil {
		return false, c.pass(err)
	}
	if !c.answer(d.run(ctx, n.name, n.handler, to, c.in[p.head:p.size:p.size])) {
		return false, false
	}
	next := c.in[p.size:]
	if post {
		next = withoutStray(next)
	}
	c.in = append(c.in[:0], next...)
	return true, false
}

// withoutStray drops a line end that old clients send behind a body, as net/http
// does.
func withoutStray(b []byte) []byte {
	for i := 0; i < 4 && len(b) > 0 && (b[0] == '\r' || b[0] == '\n'); i++ {
		b = b[1:]
	}
	return b
}

// first waits for the first bytes of a request; false if none come.
func (c *frontConn) first() bool {
	if !c.setBusy(false) {
		return false
	}
	if cap(c.in) > frontKept {
		c.in = make([]byte, 0, frontBuffer)
	}
	n, err := c.conn.Read(c.in[:cap(c.in)])
	c.in = c.in[:n]
	// An error that comes with bytes comes again.
	return (err == nil || n > 0) && c.setBusy(true)
}

// setBusy is false once nothing more is to be read.
func (c *frontConn) setBusy(busy bool) bool {
	c.front.mu.Lock()
	defer c.front.mu.Unlock()
	c.busy = busy
	return busy || !c.front.stopping
}

// rest waits for the whole request, as far as it is not there yet.
func (c *frontConn) rest(size int) error {
	if len(c.in) >= size {
		return nil
	}
	if !c.armed.IsZero() { // the first request has its deadline
		c.by = time.Now().Add(c.front.door.limits.read)
		_ = c.conn.SetReadDeadline(c.by)
	}
	for len(c.in) < size {
		if len(c.in) == cap(c.in) {
			c.in = append(c.in, 0)[:len(c.in)] // as much again as has come
		}
		n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if err != nil && len(c.in) < size {
			return err
		}
	}
	c.armed = time.Unix(1, 0) // the deadline is not the usual one
	return nil
}

// answer sends an answer; false if it is the last.
func (c *frontConn) answer(a answer) bool {
	f := c.front
	f.mu.Lock()
	last := f.stopping
	f.mu.Unlock()
	now := time.Now()
	if now.Sub(c.armed) > deadlineStep || len(a.body) > frontKept {
		c.armed = now
		_ = c.conn.SetWriteDeadline(now.Add(f.door.limits.write + deadlineStep))
		_ = c.conn.SetReadDeadline(now.Add(f.door.limits.idle + deadlineStep))
	}
	c.out = f.door.appendAnswer(c.out[:0], a, requestID(), c.date.at(now), last)
	_, err := c.conn.Write(c.out)
	if cap(c.out) > frontKept {
		c.out = nil
	}
	return err == nil && !last
}

// pass gives the connection to net/http, which reads what has come and then err, if
// there is one; false if it takes none.
func (c *frontConn) pass(err error) bool {
	if !c.armed.IsZero() && err == nil {
		c.by = time.Now().Add(c.front.door.limits.read)
		_ = c.conn.SetDeadline(time.Time{})
	}
	return c.front.give(given{conn: &passed{Conn: c.conn, in: c.in, err: err, by: c.by}})
}

// passed is a connection that has been read from.
type passed struct {
	net.Conn
	in  []byte
	err error
	by  time.Time
}

// Read implements net.Conn.
func (p *passed) Read(b []byte) (int, error) {
	if len(p.in) > 0 {
		n := copy(b, p.in)
		if p.in = p.in[n:]; len(p.in) == 0 {
			p.in = nil
		}
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.Conn.Read(b)
}

// SetReadDeadline implements net.Conn. The first one is that of the request that
// has begun to come already.
func (p *passed) SetReadDeadline(t time.Time) error {
	if !p.by.IsZero() && t.After(p.by) {
		t = p.by
	}
	p.by = time.Time{}
	return p.Conn.SetReadDeadline(t)
}

// CloseWrite has the client see the end before the connection is gone.
func (p *passed) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
