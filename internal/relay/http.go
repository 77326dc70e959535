package relay

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	headLimit   = 64 << 10    // of a request, in bytes
	headTimeout = time.Minute // for reading a request's head
)

// over is a context that has ended.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

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
	var speaks http.Protocols
	speaks.SetHTTP1(true)
	speaks.SetUnencryptedHTTP2(true) // TLS ends before the server
	h.server = &http.Server{
		Handler:   h,
		Protocols: &speaks,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connWindow,
		},
		ReadHeaderTimeout:            e.headTime,
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
func (h *httpEdge) take(c *net.TCPConn, id uint64) { h.takeOver(c, id, nil, nil) }

// takeOver gives a connection to the server from which bytes were read ahead. callee,
// if not nil, is an idle connection to the callee that has served the caller so far;
// the next request goes there. The descriptors of both are the edge's already.
func (h *httpEdge) takeOver(c *net.TCPConn, id uint64, ahead []byte, callee *net.TCPConn) {
	cc := h.newCaller(c, c, id)
	if callee != nil {
		cc.callee.adopt(callee)
	}
	h.serve(cc, ahead)
}

// takeTLS gives a connection to the server on which TLS has been agreed on; raw is
// what it runs on.
// On an auto edge it is found out first what is spoken, unless that was agreed on, too.
func (h *httpEdge) takeTLS(c *tls.Conn, raw *net.TCPConn, id uint64) {
	state := c.ConnectionState()
	if h.edge.spec.Protocol == experiment.Auto && state.NegotiatedProtocol == "" {
		h.edge.meetSecure(c, raw, id)
		return
	}
	cc := h.newCaller(c, raw, id)
	cc.tls = &state
	h.serve(cc, nil)
}

func (h *httpEdge) serve(cc *callerConn, ahead []byte) {
	cc.ahead.bytes = ahead
	cc.came(len(ahead))
	h.edge.live.Lock()
	h.edge.links[cc.id] = cc
	h.edge.live.Unlock()
	h.edge.work.Add(1)
	select {
	case h.feed.conns <- cc:
	case <-h.feed.done:
		cc.Close()
	}
}

// drain closes idle connections; busy ones end after their answer, or are told by
// GOAWAY to.
func (h *httpEdge) drain() {
	h.server.SetKeepAlivesEnabled(false)
	h.server.Shutdown(over) // does not wait
	for _, l := range sorted(&h.edge.live, h.edge.links) {
		switch c := l.(type) {
		case *callerConn:
			if c.busy.Load() == 0 {
				c.end("relay", GoesOn)
			}
		case *newcomer:
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
