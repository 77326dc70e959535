package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// newCallee makes the callee's side of a caller's connection. It dials for the
// first request and keeps that connection for the later ones, as long as the
// callee does. Nobody else's requests go there, so that a connection that breaks
// hurts only whom it would hurt without us.
func newCallee(c *callerConn) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// The transport lets a dial outlive its request; the caller's
			// connection does not.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(c.http.edge.ctx, cancel)()
			defer context.AfterFunc(c.life, cancel)()
			up, err := c.http.edge.dial(ctx)
			if err != nil {
				return nil, err
			}
			c.joined(remote(up))
			return &calleeConn{TCPConn: up, caller: c}, nil
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1,
	}
}

// calleeConn is a connection to the callee. It counts what was written, so that a
// request of which nothing was sent can be told from one that may have arrived.
type calleeConn struct {
	*net.TCPConn
	caller  *callerConn
	written atomic.Uint64
	closed  sync.Once
	mu      sync.Mutex
	begins  string // how the next request would begin, wrongly; empty if rightly
}

// Close is called by the transport once the connection is of no more use, most
// often because the callee has closed it.
func (c *calleeConn) Close() error {
	err := c.TCPConn.Close()
	c.closed.Do(c.caller.left)
	return err
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
	n, err := c.TCPConn.Write(b)
	c.written.Add(uint64(max(n, 0)))
	return n, err
}

// ReadFrom hides the socket's own, which would not count.
func (c *calleeConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}
