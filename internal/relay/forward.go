package relay

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// hopByHop are the fields that end at each connection (RFC 9110, section 7.6.1).
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// strip takes the hop-by-hop fields out, but for an upgrade and for trailers,
// which the relay passes on.
func strip(h http.Header) {
	var named []string // by the Connection field
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			named = append(named, textproto.TrimString(name))
		}
	}
	upgrade := ""
	if slices.ContainsFunc(named, func(s string) bool { return strings.EqualFold(s, "upgrade") }) {
		upgrade = h.Get("Upgrade")
	}
	if strings.Contains(strings.ToLower(upgrade), "h2c") {
		// Its settings end at this connection, and so does the offer.
		upgrade = ""
		h.Del("Http2-Settings")
	}
	trailers := slices.ContainsFunc(h["Te"], func(s string) bool { return strings.Contains(strings.ToLower(s), "trailers") })
	for _, name := range append(named, hopByHop...) {
		h.Del(name)
	}
	if upgrade != "" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", upgrade)
	}
	if trailers {
		h.Set("Te", "trailers")
	}
}

// request makes the request to the callee, after the wait that the stages of the
// way up put before its head.
func (x *exchange) request() (*http.Request, error) {
	out := x.r.Clone(x.ctx)
	out.URL.Scheme, out.URL.Host = "http", x.edge.edge.spec.Upstreams[0]
	out.URL.Opaque, out.URL.RawQuery, out.URL.ForceQuery = target(x.r.RequestURI), "", false
	out.RequestURI, out.Close, out.TLS = "", false, nil
	out.Host = x.r.Host
	strip(out.Header)
	if x.stream {
		delete(out.Header, "Connection") // with an upgrade that HTTP/2 does not have
		delete(out.Header, "Upgrade")
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // none is sent
	}
	// The transport must not repeat a request whose connection broke: that would
	// hide the break. It takes requests with an idempotency key for repeatable,
	// but looks for the usual spelling only.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = v
		}
	}
	out.GetBody = nil
	out.Trailer = x.r.Trailer
	body, err := x.requestBody()
	out.Body = body
	if err == nil {
		err = x.pass(Up) // something may hold it since
	}
	return out, err
}

// target takes the path and query out of a request's target, byte for byte.
func target(uri string) string {
	if strings.HasPrefix(uri, "/") || uri == "*" {
		return uri
	}
	_, rest, _ := strings.Cut(uri, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return rest
}

func (x *exchange) requestBody() (io.ReadCloser, error) {
	none := x.bodyless()
	if stages := x.stages(Up); len(stages) > 0 {
		x.piped = true
		p := x.newPipe(stages, x.interrupt)
		if none {
			p.q.through(stages, Chunk{Due: time.Now(), End: Close}, nil)
			close(p.filled)
		} else {
			go p.fill(x.r.Body, x.came)
		}
		if err := p.head(); err != nil {
			return nil, err
		}
		if !none {
			return stagedBody{p}, nil
		}
	}
	switch {
	case !none:
		b := &requestBody{x: x}
		x.pool = append(x.pool, closer(b.stop))
		return b, nil
	case !x.stream && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead || x.r.Method == http.MethodOptions || x.r.Method == http.MethodTrace):
		// Not http.NoBody, which would make the request repeatable.
		return emptyBody{}, nil
	}
	return http.NoBody, nil
}

// stagedBody is the caller's body as it leaves the stages.
type stagedBody struct{ *pipe }

// Close is called by the transport, which on HTTP/2 waits until nobody reads.
func (b stagedBody) Close() error {
	if b.x.stream {
		b.q.close()
	}
	return nil
}

func (b stagedBody) Read(p []byte) (int, error) {
	n, err := b.pipe.Read(p)
	if held := b.x.pass(Up); held != nil {
		return 0, held
	}
	return n, err
}

type closer func()

func (c closer) Close() error { c(); return nil }

type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// requestBody is the caller's body as the transport reads it, which may be after
// the answer has come.
type requestBody struct {
	x       *exchange
	mu      sync.Mutex // held while reading
	stopped atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.x.r.Body.Read(p)
	b.x.came(p[:n], err == io.EOF)
	b.x.broke(err)
	if held := b.x.pass(Up); held != nil {
		return 0, held
	}
	return n, err
}

// Close is called by the transport; the body stays readable for another try. On
// HTTP/2 there is none, and the transport waits until nobody reads.
func (b *requestBody) Close() error {
	if b.x.stream {
		b.x.interrupt()
	}
	return nil
}

// stop makes sure that nobody reads the body any more. A read that waits for a
// caller who has its answer already is woken; that connection ends.
func (b *requestBody) stop() {
	b.stopped.Store(true)
	if !b.mu.TryLock() {
		b.x.interrupt()
		b.mu.Lock()
	}
	b.mu.Unlock()
}

// roundTrip has the callee answer. It tries again only when the connection of the
// request before turned out to be dead before a single byte of the request was sent.
func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	defer func() {
		x.mu.Lock()
		x.answered = true
		x.mu.Unlock()
	}()
	if x.stream {
		resp, err := x.roundTripStream(req)
		if !errors.Is(err, errSpeaksHTTP1) {
			return resp, err
		}
	}
	for {
		var conn *calleeConn
		var before uint64
		var reused bool
		trace := x.trace()
		trace.GotConn = func(i httptrace.GotConnInfo) {
			if c, ok := i.Conn.(*calleeConn); ok {
				conn, before, reused = c, c.written.Load(), i.Reused || c.used
				c.keepSlashes(req)
				c.ours.Store(false)
				c.parked.Store(false)
				x.line = c
			}
			x.passDialled()
		}
		trace.PutIdleConn = func(err error) {
			if conn != nil {
				conn.parked.Store(err == nil)
			}
		}
		resp, err := x.conn.callee.h1.RoundTrip(req.WithContext(httptrace.WithClientTrace(x.ctx, trace)))
		if err == nil {
			return resp, nil
		}
		if x.ctx.Err() != nil || !reused || conn.written.Load() != before || x.in.Load() > 0 {
			return nil, err
		}
	}
}

// trace tells the exchange of what comes before the answer.
func (x *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotFirstResponseByte: func() {
			x.mu.Lock()
			x.first = time.Now()
			x.mu.Unlock()
		},
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			return x.inform(code, http.Header(h))
		},
	}
}

// passDialled holds the head of a request back if something does since it was
// dialled for. A caller who leaves ends that.
func (x *exchange) passDialled() {
	if x.piped {
		x.pass(Up)
		return
	}
	x.passUnread(Up)
}

// inform passes an interim answer on.
func (x *exchange) inform(code int, h http.Header) error {
	if code == http.StatusSwitchingProtocols || !x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	if err := x.pass(Down); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.answered {
		return errCut
	}
	own := x.w.Header()
	for k, v := range h {
		own[k] = v
	}
	x.w.WriteHeader(code)
	clear(own)
	return nil
}

// response makes an http.Response of an answer of ours.
func (a Answer) response(r *http.Request) *http.Response {
	h := a.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h.Get("Date") == "" {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if a.Status != http.StatusNoContent && a.Status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	body := a.Body
	if r.Method == http.MethodHead || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		body = nil
	}
	return &http.Response{
		StatusCode: a.Status, Header: h, Body: io.NopCloser(strings.NewReader(string(body))),
		ContentLength: int64(len(body)), Request: r,
	}
}

// upgrade carries the bytes of a connection that has changed its protocol.
// Effects that hold, shape or end it still apply.
func (x *exchange) upgrade(resp *http.Response) error {
	callee, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || x.stream {
		return x.failed(errors.New("the connection cannot be written to after its upgrade"))
	}
	down, err := x.shaped(Down, callee, func() { callee.Close() })
	if err == nil {
		err = x.pass(Down)
	}
	if err != nil {
		return err
	}
	conn, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	x.record.Status, x.record.EndedBy = resp.StatusCode, "callee"
	if strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		x.record.Proto = "websocket"
		x.messages[Up], x.messages[Down] = &webSocketMessages{}, &webSocketMessages{}
	}
	resp.Body = nil
	if err := resp.Write(buffered); err != nil || buffered.Flush() != nil {
		x.record.EndedBy, x.short = "caller", true
		return nil
	}
	conn.SetDeadline(time.Time{})
	stop := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() { // cuts both when the exchange is cancelled
		select {
		case <-x.ctx.Done():
			callee.Close()
		case <-stop:
		}
	})
	var ways sync.WaitGroup
	var first parting
	ways.Go(func() {
		if up, err := x.shaped(Up, buffered.Reader, func() { conn.SetReadDeadline(past) }); err == nil {
			first.note(x.carry(Up, callee, up, func(b []byte) { x.came(b, false) }))
		}
		shut(callee)
	})
	first.note(x.carry(Down, conn, down, x.went))
	if !x.conn.isOver() {
		x.conn.CloseWrite()
	}
	ways.Wait()
	close(stop)
	both.Wait()
	if first.by != "" {
		x.record.EndedBy = first.by
	}
	if x.short = first.broken || x.conn.isOver(); x.short {
		x.record.End = first.at
	}
	return nil
}

// parting is who has ended a connection first that has changed its protocol.
type parting struct {
	mu     sync.Mutex
	by     string
	at     time.Time
	broken bool // it, or the other, ended by other means than a FIN
}

func (p *parting) note(by string, broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == "" {
		p.by, p.at = by, time.Now()
	}
	p.broken = p.broken || broken
}

// shaped takes a way of it through the stages of the exchange.
func (x *exchange) shaped(way Way, src io.Reader, interrupt func()) (io.Reader, error) {
	stages := x.stages(way)
	if len(stages) == 0 {
		return src, nil
	}
	p := x.newPipe(stages, interrupt)
	go p.fill(src, func([]byte, bool) {})
	if way == Up {
		return p, nil // its head has passed with the request
	}
	return p, p.head()
}

// shut ends the sending side, of what can do that; else all of it.
func shut(c io.Closer) {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
		return
	}
	c.Close()
}

// carry copies until either end does. It tells which, and whether in any other way than
// by a FIN of src; nothing if it was closed here.
func (x *exchange) carry(way Way, dst io.Writer, src io.Reader, count func(b []byte)) (by string, broken bool) {
	from, to := "caller", "callee"
	if way == Down {
		from, to = to, from
	}
	b := newBlock()
	defer b.release()
	for {
		n, err := src.Read(b.buf)
		count(b.buf[:n])
		if n > 0 {
			if x.pass(way) != nil {
				return "relay", true
			}
			if _, err := dst.Write(b.buf[:n]); err != nil {
				return to, true
			}
		}
		if errors.Is(err, net.ErrClosed) { // by us, because of the other way
			return "", false
		}
		if err != nil {
			return from, err != io.EOF
		}
	}
}
