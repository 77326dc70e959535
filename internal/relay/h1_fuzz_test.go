package relay

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// FuzzHead: whatever the fast path takes for a plain head, net/http takes for the
// same message; and what is passed on of it says the same, too.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"GET /a%20b?c=d HTTP/1.1\r\nHost: x:80\r\nConnection: keep-alive\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nKeep-Alive: 5\r\nConnection: Keep-Alive\r\n\r\nhello",
		"PUT /;p HTTP/1.1\r\nHost:\tx \r\nTransfer-Encoding: Chunked\r\nA:\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /a?token=b&%20=c HTTP/1.1\r\nHost: x\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Correlation-ID: d\r\n\r\n",
		"PUT /%2e/ HTTP/1.1\r\nHost: x\r\nIdempotency-Key:\r\nX-Idempotency-Key: e \r\nX-Request-Id:f\r\nX-Request-Id: g\r\n\r\n",
		"POST /? HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Correlation-Id: h\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nRetry-After: 5\r\nretry-after: 6\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\nEtag: \xff\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkRequest(t, b)
		checkResponse(t, b)
	})
}

func checkRequest(t *testing.T, b []byte) {
	var h h1Head
	if h.readRequest(b) != plain {
		return
	}
	for n := range min(h.size, 300) { // no part of it is taken for something else
		var part h1Head
		if v := part.readRequest(b[:n]); v != unfinished && n < h1HeadMost {
			t.Fatalf("the first %d bytes of %q: %v", n, b, v)
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatalf("%q: %v", b[:h.size], err)
	}
	if r.Method != string(h.method.of(b)) || r.RequestURI != string(h.target.of(b)) || r.Host != string(h.host.of(b)) || r.Close || r.Proto != "HTTP/1.1" {
		t.Fatalf("%q is read as %+v", b[:h.size], r)
	}
	sameFraming(t, b, &h, max(r.ContentLength, -1), r.TransferEncoding)
	sameCall(t, b, &h, r)
	for _, name := range []string{"Upgrade", "Expect", "Te", "Trailer", "Proxy-Connection", "Proxy-Authorization"} {
		if r.Header.Values(name) != nil {
			t.Fatalf("%q is plain with %s", b[:h.size], name)
		}
	}
	out, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(trimmed(&h, b))))
	if err != nil {
		t.Fatalf("what is passed on of %q: %v", b[:h.size], err)
	}
	strip(r.Header)
	if !sameFields(r.Header, out.Header) || out.Host != r.Host || out.RequestURI != r.RequestURI || out.Method != r.Method || out.ContentLength != r.ContentLength {
		t.Fatalf("%q is passed on as %v", b[:h.size], out.Header)
	}
}

// sameCall: what the fast path finds out about a call is what the server does.
func sameCall(t *testing.T, b []byte, h *h1Head, r *http.Request) {
	c := &h1Conn{loop: &loop{}, x: h1Exchange{head: b[:h.size], req: *h}}
	c.readCall()
	call := &c.x.call
	key, by := headKey(r)
	if call.key != key || call.by != by {
		t.Fatalf("%q: keyed by %q: %s, and by %q: %s", b[:h.size], call.by, call.key, by, key)
	}
	c.edge = &Edge{ear: listening()}
	x := &exchange{r: r, conn: &callerConn{}, edge: &httpEdge{edge: c.edge}}
	x.begin()
	var rest experiment.Exchange
	x.stamp(&rest)
	for range 2 { // remembered, and not
		one := c.record("", nil)
		if one.TraceID != x.record.TraceID || one.RequestID != rest.RequestID || one.Idempotent != rest.Idempotent || one.Key != key {
			t.Fatalf("%q: ids %+v, %+v and %+v", b[:h.size], one, x.record, rest)
		}
		if one.Method != x.record.Method || one.Path != x.record.Path || one.Query != x.record.Query || one.Host != x.record.Host || one.Proto != x.record.Proto {
			t.Fatalf("%q: %+v and %+v", b[:h.size], one, x.record)
		}
		call.target = nil
	}
}

func checkResponse(t *testing.T, b []byte) {
	var h h1Head
	if h.readResponse(b) != plain {
		return
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		t.Fatalf("%q: %v", b[:h.size], err)
	}
	if r.StatusCode != h.status || r.Proto != "HTTP/1.1" {
		t.Fatalf("%q is read as %+v", b[:h.size], r)
	}
	if h.status < 200 || h.status == 204 || h.status == 304 {
		return // without a body
	}
	ends := h.length < 0 && !h.chunks
	if r.Close != (h.close || ends) {
		t.Fatalf("%q: close is %v", b[:h.size], r.Close)
	}
	sameFraming(t, b, &h, r.ContentLength, r.TransferEncoding)
	if got, want := string(h.retryAfter.of(b)), r.Header.Get("Retry-After"); got != want {
		t.Fatalf("%q: retry after %q, not %q", b[:h.size], got, want)
	}
	out, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(trimmed(&h, b))), nil)
	if err != nil {
		t.Fatalf("what is passed on of %q: %v", b[:h.size], err)
	}
	for _, name := range hopByHop {
		if name != "Transfer-Encoding" && name != "Trailer" && !(name == "Connection" && h.close) && out.Header.Values(name) != nil {
			t.Fatalf("%q is passed on with %s", b[:h.size], name)
		}
	}
	strip(r.Header)
	out.Header.Del("Connection")
	if !sameFields(r.Header, out.Header) || out.Close != r.Close {
		t.Fatalf("%q is passed on as %v", b[:h.size], out.Header)
	}
}

func sameFraming(t *testing.T, b []byte, h *h1Head, length int64, encoding []string) {
	chunks := slices.Equal(encoding, []string{"chunked"})
	if chunks != h.chunks || !chunks && len(encoding) > 0 || !chunks && max(h.length, 0) != max(length, 0) {
		t.Fatalf("%q: length %d, chunks %v; net/http has %d, %v", b[:h.size], h.length, h.chunks, length, encoding)
	}
}

func sameFields(a, b http.Header) bool {
	for name, v := range a {
		if !slices.Equal(v, b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

// trimmed is the head as it is passed on.
func trimmed(h *h1Head, b []byte) []byte {
	b = bytes.Clone(b[:h.size])
	return b[h.trim(b):]
}

// FuzzChunked: a chunked body is read as net/http reads it, however it comes; what
// is passed on of it has the same content, and no extensions.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n00\r\nTrailer: x\r\n\r\nmore", "a \r\n0123456789\r\n0\r\n\r\n",
		"5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "\r\n", "5;\n\r\nhello\r\n0\r\n\r\n",
		"0\r\nA: b\r\nC:d\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(3), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, trailers bool) {
		var content, out []byte
		m := newBody(byChunks, 0, trailers)
		m.saw = func(p []byte) { content = append(content, p...) }
		rest := bytes.Clone(b)
		for len(rest) > 0 && !m.done {
			piece := rest[:min(len(rest), int(step)+1)]
			used, kept, err := m.pass(piece)
			if err != nil {
				return
			}
			out = append(out, piece[:kept]...)
			if used < len(piece) && !m.done || kept > used {
				t.Fatalf("of %q %d were used and %d kept", piece, used, kept)
			}
			rest = rest[used:]
		}
		if m.data != uint64(len(content)) {
			t.Fatalf("%d bytes counted of %d", m.data, len(content))
		}
		if !m.done {
			return
		}
		end := len(b) - len(rest)
		got, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b[:end])))
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%q has the content %q; net/http reads %q, %v", b[:end], content, got, err)
		}
		again, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(out)))
		if err != nil || !bytes.Equal(again, content) {
			t.Fatalf("%q is passed on as %q, which has %q, %v", b[:end], out, again, err)
		}
		whole := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + string(out)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(whole)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || !trailers && len(r.Trailer) > 0 {
			t.Fatalf("%q is passed on as %q: %v %v", b[:end], out, err, r.Trailer)
		}
	})
}
