package relay

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headLimit   = 64 << 10    // of a request, in bytes
	headTimeout = time.Minute // for reading a request's head
)

// httpEdge is what an edge needs to see requests: a server on the caller's side.
// On the callee's, each caller's connection has its own.
type httpEdge struct {
	edge   *Edge
	server *http.Server
	feed   *feeder
	served sync.WaitGroup
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
		ConnState: func(c net.Conn, s http.ConnState) { c.(*callerConn).is(s) },
	}
	return h
}

func (h *httpEdge) start() { h.served.Go(func() { h.server.Serve(h.feed) }) }

// take gives a connection to the server.
func (h *httpEdge) take(c *net.TCPConn, id uint64) {
	cc := &callerConn{TCPConn: c, http: h, id: id, from: remote(c), start: time.Now(), over: make(chan struct{})}
	cc.callee = newCallee(cc)
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
