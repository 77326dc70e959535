package traffic

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// idle is how long an unused connection is kept: less than the five seconds
// after which common servers close theirs, to stay out of that race.
const idle = 4 * time.Second

// smallBuffer is for heads; most bodies do not pass through it.
const smallBuffer = 2 << 10

// client sends requests of one flow, over connections it keeps.
type client struct{ transport *http.Transport }

func newClient(most int, secure *tls.Config) *client {
	dialer := &net.Dialer{KeepAlive: -1}
	return &client{&http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &counted{Conn: c}, nil
		},
		Proxy:               nil, // never that of the environment
		MaxIdleConns:        most,
		MaxIdleConnsPerHost: most,
		IdleConnTimeout:     idle,
		DisableCompression:  true,
		TLSClientConfig:     secure,
		ReadBufferSize:      smallBuffer, // there may be thousands
		WriteBufferSize:     smallBuffer,
	}}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// counted is a connection that knows how much was written to it.
type counted struct {
	net.Conn
	written atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// do sends request i once. If the connection was a kept one that had been closed
// before a byte of the request was written, it tries the next: no such request
// was ever made.
func (c *client) do(ctx context.Context, t *template, i uint64) (*http.Response, error) {
	for {
		var conn *counted
		var before int64
		req := t.build(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) {
				conn = nil
				if k, ok := info.Conn.(*counted); ok && info.Reused {
					conn, before = k, k.written.Load()
				}
			},
		}), i)
		resp, err := c.transport.RoundTrip(req)
		if err == nil || conn == nil || conn.written.Load() != before || ctx.Err() != nil {
			return resp, err
		}
	}
}
