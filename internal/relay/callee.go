package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// callee is the callee's side of a caller's connection. It dials for the first
// request and keeps that connection for the later ones, as long as the callee does.
// Nobody else's requests go there, so that a connection that breaks hurts only whom
// it would hurt without us. The callee is spoken to as the caller speaks: HTTP/1 or
// HTTP/2; over TLS, as the callee agrees to.
type callee struct {
	caller *callerConn
	h1     *http.Transport

	mu     sync.Mutex
	ready  []*calleeConn // connected for HTTP/1, and not yet used
	h1TLS  bool          // over TLS the callee speaks HTTP/1 only
	latest *net.TCPConn  // the last one that was made or adopted

	lines lines // of HTTP/2
}

func newCallee(c *callerConn) *callee {
	l := &callee{caller: c}
	l.h1 = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if up := l.takeReady(); up != nil {
				return up, nil
			}
			return l.dial(ctx, "http/1.1")
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
	}
	return l
}

// give has a connection to the callee used for the next request by HTTP/1.
func (l *callee) give(c *calleeConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = append(l.ready, c)
}

func (l *callee) takeReady() *calleeConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 {
		return nil
	}
	c := l.ready[0]
	l.ready = l.ready[1:]
	return c
}

// adopt makes a connection to the callee, which has served the caller already, one
// of this side.
func (l *callee) adopt(raw *net.TCPConn) {
	l.caller.joined(remote(raw))
	l.latest = raw // nobody else has l yet
	l.give(&calleeConn{Conn: raw, side: l, used: true})
}

// dial connects to the callee. alpn is what is offered over TLS.
func (l *callee) dial(ctx context.Context, alpn ...string) (*calleeConn, error) {
	// The transport lets a dial outlive its request; the caller's connection does
	// not.
	c := l.caller
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.http.edge.ctx, cancel)()
	defer context.AfterFunc(c.life, cancel)()
	raw, err := c.http.edge.dial(ctx)
	if err != nil {
		return nil, err
	}
	up := &calleeConn{Conn: raw, side: l}
	if config := c.http.edge.upstreamTLS(c.tls, alpn); config != nil {
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			c.http.edge.distrust(err)
			return nil, err
		}
		up.Conn, up.alpn = secured, secured.ConnectionState().NegotiatedProtocol
	}
	c.joined(remote(raw))
	l.mu.Lock()
	l.latest = raw
	l.mu.Unlock()
	return up, nil
}

// upstreamTLS is how a caller's callee is called; nil is plain.
func (e *Edge) upstreamTLS(caller *tls.ConnectionState, alpn []string) *tls.Config {
	if e.spec.TLS == nil || e.spec.TLS.Upstream == nil {
		return nil
	}
	config := e.spec.TLS.Upstream.Clone()
	config.NextProtos = alpn
	if caller != nil { // it was given what the callee has chosen
		config.MinVersion, config.MaxVersion = caller.Version, caller.Version
		if config.ServerName == "" {
			config.ServerName = caller.ServerName
		}
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(e.spec.Upstreams[0])
	}
	return config
}

// speaksHTTP1 keeps that over TLS the callee has agreed on HTTP/1, on a connection
// that can be used for that.
func (l *callee) speaksHTTP1(up *calleeConn) {
	l.mu.Lock()
	l.h1TLS = true
	l.mu.Unlock()
	l.give(up)
}

// streams tells whether the callee is spoken to by HTTP/2.
func (l *callee) streams() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.caller.streams.Load() && !l.h1TLS
}

// scheme is that of URLs of the callee.
func (l *callee) scheme() string {
	if t := l.caller.http.edge.spec.TLS; t != nil && t.Upstream != nil {
		return "https"
	}
	return "http"
}

// close closes what is idle; nothing else is left when it is called.
func (l *callee) close() {
	l.h1.CloseIdleConnections()
	l.lines.close()
	for c := l.takeReady(); c != nil; c = l.takeReady() {
		c.Close()
	}
}

// calleeConn is a connection to the callee. It counts what was written, so that a
// request of which nothing was sent can be told from one that may have arrived.
type calleeConn struct {
	net.Conn // plain, or TLS; to the transport it is plain
	side     *callee
	alpn     string // what was agreed on; empty without TLS
	used     bool   // it has carried requests before it came here
	written  atomic.Uint64
	closed   sync.Once
	greeted  chan struct{} // closed once the callee's first bytes were worked off, or it closed; HTTP/2 only
	freed    func()        // called once it is closed; may be nil
	mu       sync.Mutex
	reads    int
	bad      error       // of reading
	begins   string      // how the next request would begin, wrongly; empty if rightly
	ours     atomic.Bool // if it is closed, then because an effect did without the rest of an answer
	parked   atomic.Bool // the transport keeps it for the next request
}

// Close is called by the transport once the connection is of no more use, most
// often because the callee has closed it. A transport that does not keep it after an
// answer, for reasons of its own, is ours: on a busy machine it hears too late that the
// request was written.
func (c *calleeConn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		c.greet(2)
		c.side.caller.left(c.ours.Load() || !c.parked.Load() && c.why(nil) == nil)
		if c.freed != nil {
			c.freed()
		}
	})
	return err
}

// CloseWrite ends the way up of a connection that has changed its protocol.
func (c *calleeConn) CloseWrite() error { return closeWrite(c.Conn) }

// Read notices that who reads comes back for more.
func (c *calleeConn) Read(b []byte) (int, error) {
	c.greet(1)
	n, err := c.Conn.Read(b)
	if err != nil {
		c.mu.Lock()
		c.bad = err
		c.mu.Unlock()
	}
	return n, err
}

// greet counts reads; with the second what came by the first was worked off.
func (c *calleeConn) greet(reads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.reads
	c.reads += reads
	if c.greeted != nil && before < 2 && c.reads >= 2 {
		close(c.greeted)
	}
}

// why is how the connection broke, else what otherwise says.
func (c *calleeConn) why(otherwise error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad != nil {
		return c.bad
	}
	return otherwise
}

// keepSlashes makes sure that a target that begins with two slashes is sent as it
// is: net/http takes it for an authority and puts a scheme before it.
func (c *calleeConn) keepSlashes(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begins = ""
	if strings.HasPrefix(r.URL.Opaque, "//") {
		c.begins = r.Method + " " + r.URL.Scheme + ":"
	}
}

func (c *calleeConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	begins := c.begins
	c.begins = ""
	c.mu.Unlock()
	if scheme := len("http:"); begins != "" && bytes.HasPrefix(b, []byte(begins)) {
		// What is left out counts as written.
		n, err := c.Write(append([]byte(begins[:len(begins)-scheme]), b[len(begins):]...))
		if n > 0 {
			n += scheme
		}
		return n, err
	}
	n, err := c.Conn.Write(b)
	c.written.Add(uint64(max(n, 0)))
	return n, err
}

// ReadFrom hides the socket's own, which would not count.
func (c *calleeConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}
