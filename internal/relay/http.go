package relay

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	headLimit   = 64 << 10         // of a request, in bytes
	headTimeout = time.Minute      // for reading a request's head
	idleCallee  = 2 * time.Second  // shorter than servers keep idle connections
	continueMax = 10 * time.Second // for a callee's 100 Continue
)

// httpEdge is what an edge needs to see requests: a server on the caller's side,
// a pool of connections on the callee's.
type httpEdge struct {
	edge   *Edge
	server *http.Server
	pool   *http.Transport
	feed   *feeder
	served sync.WaitGroup
	tries  attempts
}

func newHTTPEdge(e *Edge) *httpEdge {
	h := &httpEdge{edge: e, feed: &feeder{addr: e.port.ln.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}}
	h.server = &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headTimeout,
		MaxHeaderBytes:               headLimit,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return c.(*callerConn).context(ctx)
		},
	}
	h.pool = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// The pool lets a dial outlive its request; the edge does not.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(e.ctx, cancel)()
			c, err := e.dial(ctx)
			if err != nil {
				return nil, err
			}
			return &calleeConn{TCPConn: c}, nil
		},
		DisableCompression:    true,
		MaxIdleConnsPerHost:   4096,
		IdleConnTimeout:       idleCallee,
		ExpectContinueTimeout: continueMax,
	}
	return h
}

func (h *httpEdge) start() { h.served.Go(func() { h.server.Serve(h.feed) }) }

// take gives a connection to the server.
func (h *httpEdge) take(c *net.TCPConn, id uint64) {
	cc := &callerConn{TCPConn: c, http: h, id: id, over: make(chan struct{})}
	h.edge.live.Lock()
	h.edge.links[id] = cc
	h.edge.live.Unlock()
	h.edge.work.Add(1)
	select {
	case h.feed.conns <- cc:
	case <-h.feed.done:
		cc.Close()
	}
}

// drain closes idle connections; busy ones end after their answer.
func (h *httpEdge) drain() {
	h.server.SetKeepAlivesEnabled(false)
	for _, l := range sorted(&h.edge.live, h.edge.links) {
		if c, ok := l.(*callerConn); ok && c.busy.Load() == 0 {
			c.end("relay", GoesOn)
		}
	}
}

func (h *httpEdge) close() {
	h.server.Close()
	h.served.Wait()
	h.pool.CloseIdleConnections()
}

// feeder is a listener whose connections the edge's own accept loop brings.
type feeder struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (f *feeder) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feeder) Close() error   { f.once.Do(func() { close(f.done) }); return nil }
func (f *feeder) Addr() net.Addr { return f.addr }

type callerKey struct{}

// callerConn is a caller's connection to an HTTP edge. It counts bytes and can be
// ended at any time; once it has, no deadline that the server sets revives it.
type callerConn struct {
	*net.TCPConn
	http *httpEdge
	id   uint64
	busy atomic.Int32 // exchanges under way

	mu     sync.Mutex
	over   chan struct{} // closed when it was ended
	cancel func()        // ends its exchanges; nil until the server has it
	by     string        // who ended it
	byName []string      // the faults that ended it
	closed sync.Once
}

// context makes the context of the connection's exchanges: done once it is ended.
func (c *callerConn) context(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, callerKey{}, c))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	if c.isOver() {
		cancel()
	}
	return ctx
}

func (c *callerConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.http.edge.in.Add(uint64(max(n, 0)))
	return n, err
}

func (c *callerConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.http.edge.out.Add(uint64(max(n, 0)))
	return n, err
}

// ReadFrom hides the socket's own, which would not count.
func (c *callerConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Close is called by the server, once it is done with the connection.
func (c *callerConn) Close() error {
	err := c.TCPConn.Close()
	c.closed.Do(func() {
		c.mu.Lock()
		if c.cancel != nil {
			c.cancel()
		}
		c.mu.Unlock()
		c.http.edge.forget(c.id)
		c.http.edge.work.Done()
	})
	return err
}

func (c *callerConn) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *callerConn) end(by string, how Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(by, how)
}

func (c *callerConn) endLocked(by string, how Ending) {
	if c.isOver() {
		return
	}
	c.by = by
	close(c.over)
	if how == Reset {
		c.TCPConn.SetLinger(0)
	} else {
		c.TCPConn.CloseWrite()
	}
	c.TCPConn.SetDeadline(past)
	if c.cancel != nil {
		c.cancel()
	}
}

func (c *callerConn) strike(a *armed, how Ending, h *hit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return false
	}
	return a.strike(func() {
		if h != nil {
			h.acted.Store(true)
		} else {
			c.byName = append(c.byName, a.Name)
		}
		c.endLocked("relay", how)
	})
}

// whoEnded is empty unless the relay did.
func (c *callerConn) whoEnded() (by string, faults []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, c.byName
}

func (c *callerConn) SetDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetDeadline, t)
}

func (c *callerConn) SetReadDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetReadDeadline, t)
}

func (c *callerConn) SetWriteDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetWriteDeadline, t)
}

func (c *callerConn) deadline(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		t = past
	}
	return set(t)
}

// calleeConn is a connection of the pool. It counts what was written, so that a
// request of which nothing was sent can be told from one that may have arrived.
type calleeConn struct {
	*net.TCPConn
	written atomic.Uint64
}

func (c *calleeConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.written.Add(uint64(max(n, 0)))
	return n, err
}

// ReadFrom hides the socket's own, which would not count.
func (c *calleeConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// attempts numbers the exchanges of each trace on an edge. It remembers the last
// traces only: between 32768 and twice as many.
type attempts struct {
	mu        sync.Mutex
	now, last map[string]int
}

func (a *attempts) next(trace string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.now[trace]
	if !ok {
		n = a.last[trace]
		if len(a.now) >= 1<<15 || a.now == nil {
			a.now, a.last = map[string]int{}, a.now
		}
	}
	a.now[trace] = n + 1
	return n + 1
}
