package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/chaosctl/chaosctl/experiment"
)

// recorder is a callee that keeps what it is sent, and answers every blank line that
// ends a head.
type recorder struct {
	mu   sync.Mutex
	sent bytes.Buffer
	open int
}

func (r *recorder) count(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open += n
	return r.open
}

func (r *recorder) serve(c *net.TCPConn) {
	r.count(1)
	defer r.count(-1)
	b := make([]byte, 4096)
	answered := 0
	var own bytes.Buffer
	for {
		n, err := c.Read(b)
		r.mu.Lock()
		r.sent.Write(b[:n])
		r.mu.Unlock()
		own.Write(b[:n])
		for heads := bytes.Count(own.Bytes(), []byte("\r\n\r\n")); answered < heads; answered++ {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		if err != nil {
			return
		}
	}
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.sent.Reset()
	return r.sent.String()
}

// TestHTTP1Abuse sends what servers and proxies have read in different ways. The
// callee must be sent one request that can be read in one way only, or nothing.
func TestHTTP1Abuse(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	chunks := "5\r\nhello\r\n0\r\n\r\n"
	for _, c := range []struct {
		name, send string
		status     string // what the caller is told; empty: its connection ends without
		want       string // what the callee may see, at most
		bytes      bool   // by its first line it is not HTTP
	}{
		{"both lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled, "400", "", false},
		{"two lengths in one", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello", "400", "", false},
		{"a signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello", "400", "", false},
		{"a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400", "", false},
		{"a huge length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", "400", "", false},
		{"no length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n" + smuggled, "400", "", false},
		{"another coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + chunks, "501", "", false},
		{"two codings", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunks, "501", "", false},
		{"a coding before", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + chunks, "501", "", false},
		{"a space before the colon", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n" + chunks, "400", "", false},
		{"a tab in front", "POST / HTTP/1.1\r\nHost: x\r\n\tTransfer-Encoding: chunked\r\n\r\n" + chunks, "400", "", false},
		{"a folded field", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n", "", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1 2\r\n\r\n", false},
		{"a bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\rX-B: 2\r\n\r\n", "400", "", false},
		{"a NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\x002\r\n\r\n", "400", "", false},
		{"a field without a name", "GET / HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n", "400", "", false},
		{"a name with a space", "GET / HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n", "400", "", false},
		{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400", "", false},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400", "", false},
		{"a host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "400", "", false},
		{"a target with a host of its own", "GET http://y/z HTTP/1.1\r\nHost: x\r\n\r\n", "200", "GET /z HTTP/1.1\r\nHost: y\r\n\r\n", false},
		{"a bare LF", "GET /smug\nX: HTTP/1.1\r\nHost: x\r\n\r\n", "400", "", true},
		{"bad chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n" + smuggled, "", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"a chunk that is too long", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n" + smuggled, "", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", false},
		{"a large head", "GET / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", "431", "", false},
		{"many fields", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: 1\r\n", 20<<10) + "\r\n", "431", "", false},
		{"a tunnel", "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n" + smuggled, "501", "", false},
		{"an offer of HTTP/2", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false},
		{"a wrong preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + smuggled, "400", "", false},
		{"a version too high", "GET / HTTP/3.7\r\nHost: x\r\n\r\n", "505", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, way := range []string{"idle", "armed", "auto"} {
				rec, w, p := &recorder{}, newWorld(t), experiment.HTTP
				if way == "auto" {
					p = experiment.Auto
				}
				e := w.open("api", way, p, server(t, rec.serve))
				if way == "armed" {
					arm(t, e, "wait", waiter{time.Millisecond})
				}
				conn := dial(t, e.Spec().Listen)
				go io.WriteString(conn, c.send) // may be more than is read
				conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				got, _ := io.ReadAll(conn)
				conn.Close()
				if c.status != "" && !(way == "auto" && c.bytes) && !strings.HasPrefix(string(got), "HTTP/1.1 "+c.status) && !strings.HasPrefix(string(got), "HTTP/1.0 "+c.status) {
					t.Errorf("%s: answered\n%q", e.Name(), clipped(got))
				}
				until(t, "the connections are closed", func() bool { return len(w.set.Connections("")) == 0 && rec.count(0) == 0 })
				seen := rec.take()
				if way == "auto" && seen == c.send {
					continue // it was not taken for HTTP
				}
				if strings.Contains(seen, "smuggled") {
					t.Errorf("%s: smuggled:\n%q", e.Name(), seen)
				}
				if !strings.HasPrefix(tidyHead(c.want), tidyHead(seen)) && seen != c.want {
					t.Errorf("%s: the callee saw\n%q, not\n%q", e.Name(), clipped([]byte(seen)), c.want)
				}
			}
		})
	}
}

// tidyHead takes out what nobody stumbles over: the order of framing fields.
func tidyHead(s string) string { return strings.ReplaceAll(s, "User-Agent: \r\n", "") }

func clipped(b []byte) []byte { return b[:min(len(b), 400)] }

// TestHTTP1SlowHead: who sends a head too slowly loses the connection, and the callee
// hears nothing of it.
func TestHTTP1SlowHead(t *testing.T) {
	for _, armed := range []bool{false, true} {
		rec, w := &recorder{}, newWorld(t)
		w.set.HeadFor(150 * time.Millisecond)
		e := w.open("api", "auth", experiment.HTTP, server(t, rec.serve))
		if armed {
			arm(t, e, "wait", waiter{1})
		}
		c := dial(t, e.Spec().Listen)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		first := make([]byte, 40)
		if _, err := io.ReadFull(c, first); err != nil {
			t.Fatal(err)
		}
		rec.take()
		if !silent(t, c, 300*time.Millisecond) {
			t.Error("an idle connection did not last")
		}
		stop := make(chan struct{})
		var slow sync.WaitGroup
		slow.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			io.WriteString(c, "GET / HTTP/1.1\r\n")
			for range tick.C {
				if _, err := io.WriteString(c, "X-A: 1\r\n"); err != nil {
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		b, err := io.ReadAll(c)
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("armed %v: the connection lasts", armed)
		}
		close(stop)
		slow.Wait()
		if got := rec.take(); got != "" {
			t.Errorf("armed %v: the callee saw %q; the caller %q", armed, got, b)
		}
	}
}

// TestHTTP2Abuse floods a connection with what costs the sender little. Either the
// connection is closed or it goes on; the edge serves others, and nothing is left.
func TestHTTP2Abuse(t *testing.T) {
	w := newStreams(t, 0, hello)
	w.fine("/")
	running, before := runtime.NumGoroutine(), heap()
	for name, flood := range map[string]func(fr *http2.Framer, c net.Conn) error{
		"rapid reset": func(fr *http2.Framer, _ net.Conn) error {
			for i := uint32(1); i < 40000; i += 2 {
				if err := requestFrames(fr, i, true); err != nil {
					return err
				}
				if err := fr.WriteRSTStream(i, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		},
		"streams": func(fr *http2.Framer, _ net.Conn) error {
			for i := uint32(1); i < 20000; i += 2 {
				if err := requestFrames(fr, i, false); err != nil {
					return err
				}
			}
			return nil
		},
		"continuation": func(fr *http2.Framer, _ net.Conn) error {
			block := bytes.Repeat([]byte("\x00\x03x-a\x01b"), 1000)
			if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block}); err != nil {
				return err
			}
			for range 20000 {
				if err := fr.WriteContinuation(1, false, block); err != nil {
					return err
				}
			}
			return nil
		},
		"empty continuation": func(fr *http2.Framer, _ net.Conn) error {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			for range 100000 {
				if err := fr.WriteContinuation(1, false, nil); err != nil {
					return err
				}
			}
			return nil
		},
		"settings": func(fr *http2.Framer, _ net.Conn) error {
			for range 100000 {
				if err := fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}); err != nil {
					return err
				}
			}
			return nil
		},
		"ping": func(fr *http2.Framer, _ net.Conn) error {
			for range 100000 {
				if err := fr.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
			return nil
		},
		"empty data": func(fr *http2.Framer, _ net.Conn) error {
			requestFrames(fr, 1, false)
			for range 100000 {
				if err := fr.WriteData(1, false, nil); err != nil {
					return err
				}
			}
			return nil
		},
		"window overflow": func(fr *http2.Framer, _ net.Conn) error {
			fr.WriteWindowUpdate(0, 1<<31-1)
			return fr.WriteWindowUpdate(0, 1<<31-1)
		},
		"a large frame": func(fr *http2.Framer, c net.Conn) error {
			_, err := c.Write([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01"))
			return err
		},
		"garbage": func(_ *http2.Framer, c net.Conn) error {
			_, err := io.CopyN(c, newStream(4), 1<<20)
			return err
		},
	} {
		c := dial(t, w.edge.Spec().Listen)
		c.SetWriteDeadline(time.Now().Add(3 * time.Second)) // nobody reads the answers
		err := flood(preface(t, c), c)
		t.Logf("%s: %v", name, err)
		w.fine("/" + fmt.Sprint(len(name)))
		c.SetLinger(0)
		c.Close()
	}
	until(t, "the connections are gone", func() bool { return w.set.Status()[0].Open <= 1 })
	until(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= running+10 })
	until(t, "the memory is free again", func() bool { return heap()-before < 64<<20 })
}

// TestHTTP2Smuggling sends fields that would mean something else to a callee by
// HTTP/1, and that HTTP/2 forbids.
func TestHTTP2Smuggling(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Host, r.RequestURI, r.Header))
	})
	for name, fields := range map[string][]string{
		"a coding":             {"transfer-encoding", "chunked"},
		"a connection":         {"connection", "x-a"},
		"an upgrade":           {"upgrade", "h2c"},
		"a line break":         {"x-a", "1\r\nX-Smuggled: 1"},
		"a NUL":                {"x-a", "1\x00"},
		"a name in upper case": {"X-A", "1"},
		"a name with a space":  {"x a", "1"},
		"a name with a colon":  {"x:a", "1"},
		"two paths":            {":path", "/smuggled"},
		"a late pseudo-field":  {"x-a", "1", ":scheme", "http"},
		"an unknown one":       {":smuggled", "1"},
	} {
		c := dial(t, w.edge.Spec().Listen)
		fr := preface(t, c)
		requestFrames(fr, 1, true, fields...)
		refused := false
		untilEnd(fr, func(f http2.Frame) bool {
			switch f := f.(type) {
			case *http2.RSTStreamFrame, *http2.GoAwayFrame:
				refused = true
				return true
			case *http2.HeadersFrame:
				fields, _ := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
				refused = len(fields) > 0 && strings.HasPrefix(fields[0].Value, "4")
				return true
			}
			return false
		})
		c.Close()
		mu.Lock()
		if len(seen) > 0 || !refused {
			t.Errorf("%s: refused %v, the callee saw %q", name, refused, seen)
		}
		seen = nil
		mu.Unlock()
	}
	// Of two hosts the one that counts goes on, and no length that is none.
	c := dial(t, w.edge.Spec().Listen)
	fr := preface(t, c)
	requestFrames(fr, 1, true, "host", "smuggled", "content-length", "5") // of no body
	untilEnd(fr, func(f http2.Frame) bool { _, ok := f.(*http2.HeadersFrame); return ok })
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 || seen[0] != "auth/map[]" {
		t.Errorf("the callee saw %q", seen)
	}
}

// TestHTTP2HeadTooLarge is told so, as on HTTP/1.
func TestHTTP2HeadTooLarge(t *testing.T) {
	w := newStreams(t, 0, hello)
	c := dial(t, w.edge.Spec().Listen)
	fr := preface(t, c)
	fr.ReadMetaHeaders = nil
	large := strings.Repeat("a", 4000)
	var fields []string
	for i := range 20 {
		fields = append(fields, fmt.Sprintf("x-%d", i), large)
	}
	// In one frame, which is more than the peer allows, it would be another mistake.
	requestFrames(fr, 1, true, fields[:6]...)
	requestFrames(fr, 3, true)
	answers := map[uint32]bool{}
	untilEnd(fr, func(f http2.Frame) bool {
		if h, ok := f.(*http2.HeadersFrame); ok {
			answers[h.StreamID] = true
		}
		return len(answers) == 2
	})
	if len(answers) != 2 {
		t.Errorf("answered: %v", answers)
	}
}
