package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ServeHTTP answers a proxy request: CONNECT, or one with an absolute target.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		d.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		d.pass(w, r)
	case r.URL.IsAbs():
		http.Error(w, "chaosctl: https goes through this proxy by CONNECT", http.StatusBadRequest)
	default:
		http.Error(w, "chaosctl: this is a forward proxy; point HTTP_PROXY, HTTPS_PROXY or a SOCKS5 setting at it", http.StatusBadRequest)
	}
}

// reach finds the edge to a host, once that may be called.
func (d *Door) reach(ctx context.Context, h host, tunnel bool) (*edge, error) {
	k := edgeKey{h, tunnel && d.intercepts(h)}
	d.mu.Lock()
	_, made := d.edges[k]
	d.mu.Unlock()
	if !made { // else the edge resolves for itself, for each connection
		if _, err := d.resolve(ctx, h.String()); err != nil {
			return nil, err
		}
	}
	return d.edge(ctx, k)
}

// refusal is the status that says why a host is not called.
func refusal(err error) int {
	switch {
	case errors.Is(err, errDenied):
		return http.StatusForbidden
	case errors.Is(err, errFull):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

func (d *Door) refuse(w http.ResponseWriter, what string, err error) {
	d.cfg.Log.Warn("refused", "host", clip(what), "why", err)
	http.Error(w, "chaosctl: "+err.Error(), refusal(err))
}

// connect makes a tunnel of the connection.
func (d *Door) connect(w http.ResponseWriter, r *http.Request) {
	h, err := parseHost(r.RequestURI, 0)
	if err != nil {
		http.Error(w, "chaosctl: "+err.Error(), http.StatusBadRequest)
		return
	}
	e, err := d.reach(r.Context(), h, true)
	if err != nil {
		d.refuse(w, h.String(), err)
		return
	}
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	p, ok := c.(*peeked)
	if !ok {
		c.Close()
		return
	}
	p.SetDeadline(time.Time{})
	if _, err := io.WriteString(p, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		p.Close()
		return
	}
	d.tunnel(p.TCPConn, buffered.Reader, e)
}

// tunnel hands a connection over to an edge. If the caller has sent something
// ahead, which only we have, it is piped there.
func (d *Door) tunnel(c *net.TCPConn, ahead *bufio.Reader, e *edge) {
	if ahead == nil || ahead.Buffered() == 0 {
		if !d.cfg.Edges.Carry(e.name, c) {
			reset(c)
		}
		return
	}
	to, err := net.DialTimeout("tcp", e.listen, headTime)
	if err != nil {
		reset(c)
		return
	}
	pipe(c, ahead, to.(*net.TCPConn))
}

// reset closes a connection by RST.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// pipe copies both ways until both have ended. What ends by RST on one side does
// on the other.
func pipe(a *net.TCPConn, aheadOfA io.Reader, b *net.TCPConn) {
	var ways sync.WaitGroup
	carry := func(dst *net.TCPConn, src io.Reader) {
		_, err := io.Copy(dst, src)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			reset(a)
			reset(b)
			return
		}
		dst.CloseWrite()
	}
	ways.Go(func() { carry(b, aheadOfA) })
	carry(a, b)
	ways.Wait()
	a.Close()
	b.Close()
}

// hostKey is where the context of a request has its edge.
type hostKey struct{}

// pass forwards one request to the edge of its host.
func (d *Door) pass(w http.ResponseWriter, r *http.Request) {
	h, err := parseHost(r.URL.Host, 80)
	if err != nil {
		http.Error(w, "chaosctl: "+err.Error(), http.StatusBadRequest)
		return
	}
	e, err := d.reach(r.Context(), h, false)
	if err != nil {
		d.refuse(w, h.String(), err)
		return
	}
	p := httputil.ReverseProxy{
		Transport: d.http, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", h.String()
			p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came: it is the callee's to read
			p.Out.Host = r.URL.Host                // RFC 9112, section 3.2.2: the target's, whatever the field says
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if v, ok := p.In.Header[name]; ok {
					p.Out.Header[name] = v // as it came: nothing is added or taken
				}
			}
			if _, ok := p.In.Header["User-Agent"]; !ok {
				p.Out.Header["User-Agent"] = nil
			}
			sentOnce(p.Out)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { cut(w, err) },
	}
	p.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), hostKey{}, e)))
}

// sentOnce keeps the transport from sending a request again that an edge has not
// answered: each of them is one request to the edge, and it is the caller's to retry.
func sentOnce(r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		if r.Body == nil || r.Body == http.NoBody { // one that could be told to be empty is repeated
			r.Body = io.NopCloser(strings.NewReader(""))
		}
		if r.Method == http.MethodTrace {
			r.TransferEncoding = []string{"identity"} // else an empty chunked body
		}
	}
	// They say that a request may be repeated. The transport knows them as they are
	// spelled here, callees in any way.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := r.Header[name]; ok {
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = v
		}
	}
}

// cut ends the caller's connection as that to the edge has ended.
func cut(w http.ResponseWriter, err error) {
	c, _, hijack := http.NewResponseController(w).Hijack()
	if hijack != nil {
		panic(http.ErrAbortHandler)
	}
	p, ok := c.(*peeked)
	if ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		reset(p.TCPConn)
		return
	}
	c.Close()
}

// transport calls edges. Its connections are kept for each host, and shared by the
// callers of this proxy.
func (d *Door) transport() *http.Transport {
	return &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			e, ok := ctx.Value(hostKey{}).(*edge)
			if !ok {
				return nil, fmt.Errorf("no edge to call")
			}
			return new(net.Dialer).DialContext(ctx, "tcp", e.listen)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
	}
}
