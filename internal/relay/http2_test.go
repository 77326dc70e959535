package relay_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// h2c is what speaks HTTP/2 alone, without TLS.
func h2c() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// newStreams is newWeb for HTTP/2 on both sides. The callee allows so many streams
// at a time; 0 is what net/http allows.
func newStreams(t *testing.T, atATime int, h http.HandlerFunc) *web {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = h2c()
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: atATime, MaxReceiveBufferPerConnection: 1 << 30}
	srv.Start()
	t.Cleanup(srv.Close)
	return streamsTo(t, srv.Listener.Addr().String())
}

func streamsTo(t *testing.T, addr string) *web {
	t.Helper()
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, addr)
	tr := &http.Transport{DisableCompression: true, Protocols: h2c(), HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{w, e, "http://" + e.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}}
}

func TestHTTP2PassesEverything(t *testing.T) {
	type seen struct {
		proto, host, uri, te string
		header               http.Header
	}
	got := make(chan seen, 100)
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		got <- seen{r.Proto, r.Host, r.RequestURI, r.Header.Get("Te"), r.Header}
		if r.Method == "GET" {
			rw.Header().Set("Link", "</style.css>")
			rw.WriteHeader(http.StatusEarlyHints)
		}
		rw.Header().Set("Trailer", "X-Announced")
		rw.Header()["Date"] = nil
		fmt.Fprintf(rw, "%d %x %v", n, h.Sum(nil), r.Trailer)
		rw.(http.Flusher).Flush()
		rw.Header().Set("X-Announced", "1")
		rw.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	body := make([]byte, 3<<20)
	newStream(3).Read(body)
	for _, armed := range []bool{false, true} {
		if armed {
			arm(t, w.edge, "slow", slow(20*time.Millisecond, relay.Up, relay.Down))
		}
		for _, uri := range []string{"/", "/a%2Fb//c?x=1;y&z", "//two/slashes?q", "/%zz?"} {
			for _, send := range [][]byte{nil, {}, body} {
				req, _ := http.NewRequest("GET", w.url, nil)
				if send != nil {
					req, _ = http.NewRequest("POST", w.url, io.MultiReader(bytes.NewReader(send)))
					req.Trailer = http.Header{"X-Sent": {"yes"}}
				}
				req.URL.Opaque = uri
				if strings.HasPrefix(uri, "//") { // the transport would take it for an authority
					req.URL.Opaque, req.URL.Path, req.URL.RawQuery = "", "//two/slashes", "q"
				}
				if uri == "/%zz?" {
					req.URL.Opaque = "/%7a?"
					uri = "/%7a?"
				}
				req.Host = "auth.example:81"
				req.Header.Set("X-Forwarded-For", "1.2.3.4")
				req.Header.Set("Via", "1.1 somebody")
				req.Header.Set("Te", "trailers")
				var hints int
				req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
						if code == http.StatusEarlyHints && h.Get("Link") == "</style.css>" {
							hints++
						}
						return nil
					},
				}))
				resp, err := w.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := fmt.Sprintf("%d %x %v", len(send), sha256.Sum256(send), req.Trailer)
				if send == nil {
					want = fmt.Sprintf("0 %x map[]", sha256.Sum256(nil))
				}
				if err != nil || string(b) != want {
					t.Errorf("%s: %q, not %q, %v", uri, b, want, err)
				}
				if resp.Trailer.Get("X-Announced") != "1" || resp.Trailer.Get("X-Late") != "2" {
					t.Errorf("trailers %v", resp.Trailer)
				}
				for _, no := range []string{"Date", "Content-Length", "Via"} {
					if v, ok := resp.Header[no]; ok {
						t.Errorf("%s was added: %v", no, v)
					}
				}
				if send == nil && hints != 1 {
					t.Errorf("%d early hints", hints)
				}
				s := <-got
				if s.proto != "HTTP/2.0" || s.host != "auth.example:81" || s.uri != uri || s.te != "trailers" {
					t.Errorf("the callee saw %v, not %s", s, uri)
				}
				if s.header.Get("X-Forwarded-For") != "1.2.3.4" || s.header.Get("Via") != "1.1 somebody" || s.header.Get("Forwarded") != "" {
					t.Errorf("forwarding fields %v", s.header)
				}
			}
		}
	}
	lift(t, w.edge, "slow")
}

func TestHTTP2And1ShareAPort(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	srv.Config.Protocols = h2c()
	srv.Config.Protocols.SetHTTP1(true)
	srv.Start()
	t.Cleanup(srv.Close)
	two := streamsTo(t, srv.Listener.Addr().String())
	one := &web{two.world, two.edge, two.url, &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	defer one.client.CloseIdleConnections()
	for range 3 {
		for w, want := range map[*web]string{one: "HTTP/1.1", two: "HTTP/2.0"} {
			if _, body, err := w.get("/"); body != want || err != nil {
				t.Errorf("the callee was called by %q, not by %q; %v", body, want, err)
			}
		}
	}
	until(t, "six exchanges", func() bool { return len(two.exchanges()) == 6 })
	conns := map[string]map[uint64]bool{}
	for _, x := range two.exchanges() {
		if conns[x.Proto] == nil {
			conns[x.Proto] = map[uint64]bool{}
		}
		conns[x.Proto][x.Conn] = true
	}
	if len(conns["HTTP/1.1"]) != 1 || len(conns["HTTP/2"]) != 1 {
		t.Errorf("connections by protocol: %v", conns)
	}
}

// TestHTTP2ManyStreams has more streams open at the same time than the callee allows
// on one connection.
func TestHTTP2ManyStreams(t *testing.T) {
	const streams = 2000
	var mu sync.Mutex
	conns := map[string]int{}
	all := make(chan struct{})
	var n int
	w := newStreams(t, 100, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			hello(rw, r)
			return
		}
		mu.Lock()
		conns[r.RemoteAddr]++
		if n++; n == streams {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all: // only once all are here
		case <-r.Context().Done():
		}
		fmt.Fprint(rw, r.URL.Path)
	})
	w.client.Timeout = 3 * patience
	w.fine("/first")
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			path := fmt.Sprintf("/%d", i)
			if code, body, err := w.get(path); code != 200 || body != path || err != nil {
				t.Errorf("%s: %d %q %v", path, code, body, err)
			}
		})
	}
	wg.Wait()
	for addr, n := range conns {
		if n > 100 {
			t.Errorf("%d streams on one connection to the callee, %s", n, addr)
		}
	}
	if s := w.set.Status()[0]; s.Accepted != 1 || s.Exchanges != streams+1 {
		t.Errorf("%d connections, %d exchanges", s.Accepted, s.Exchanges)
	}
}

// TestHTTP2StalledStream has one answer and one request that nobody takes beside
// others that go on.
func TestHTTP2StalledStream(t *testing.T) {
	big := make([]byte, 1<<20)
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for {
				if _, err := rw.Write(big); err != nil {
					return
				}
			}
		case "/deaf":
			<-r.Context().Done()
		default:
			io.Copy(rw, r.Body)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	before := heap()
	for range 20 {
		req, _ := http.NewRequestWithContext(ctx, "GET", w.url+"/endless", nil)
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		all.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/deaf", io.LimitReader(newStream(1), 1<<40))
			if resp, err := w.client.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	for range 20 {
		resp, err := w.client.Post(w.url+"/echo", "", bytes.NewReader(big))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Equal(b, big) || err != nil {
			t.Fatalf("%d bytes came back, %v", len(b), err)
		}
	}
	// The client and the callee of this test are counted, too: 4 MiB for a stream.
	if grown := heap() - before; grown > 200<<20 {
		t.Errorf("%d MiB more are in use", grown>>20)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

func TestHTTP2StreamsBothWays(t *testing.T) {
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		rw.(http.Flusher).Flush()
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			rw.Write(b)
			rw.(http.Flusher).Flush()
		}
	})
	pr, pw := io.Pipe()
	resp, err := w.client.Post(w.url, "", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 1)
	for _, c := range "abc" {
		pw.Write([]byte{byte(c)})
		if _, err := io.ReadFull(resp.Body, b); err != nil || b[0] != byte(c) {
			t.Fatalf("%q, %v; sent %q", b, err, c)
		}
	}
	pw.Close()
	if _, err := resp.Body.Read(b); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestHTTP2Effects arms each sort of effect while another stream of the same
// connection is open: only the exchange that is drawn is hurt, and the connection
// stays.
func TestHTTP2Effects(t *testing.T) {
	bystander := make(chan struct{})
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bystander" {
			rw.(http.Flusher).Flush()
			select {
			case <-bystander:
			case <-r.Context().Done():
			}
		}
		hello(rw, r)
	})
	open, err := w.client.Get(w.url + "/bystander")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Body.Close()
	failsUntilLifted := func(id string) {
		done := make(chan error, 1)
		go func() {
			_, _, err := w.get("/x")
			done <- err
		}()
		until(t, "the request is hurt", func() bool { return receipt(t, w.edge, id).Injected == 1 })
		select {
		case err := <-done:
			t.Errorf("%s: it ended before the lift: %v", id, err)
		default:
		}
		lift(t, w.edge, id)
		if err := <-done; err == nil {
			t.Errorf("%s: it was answered after all", id)
		}
	}
	fails := func(id string) {
		if _, _, err := w.get("/x"); err == nil {
			t.Errorf("%s: it was answered", id)
		} else if e := (http2.StreamError{}); !errors.As(err, &e) {
			t.Errorf("%s: %v is not an error of the stream", id, err)
		}
	}
	for _, c := range []struct {
		id     string
		effect relay.Effect
		see    func(id string)
	}{
		{"reset", ender{how: relay.Reset}, fails},
		{"close", ender{how: relay.Close}, fails},
		{"late-reset", ender{after: 20 * time.Millisecond, how: relay.Reset}, fails},
		{"hole", hole{}, failsUntilLifted},
		{"answer", answerer{503}, func(id string) {
			if code, body, err := w.get("/x"); code != 503 || body != "from the relay" || err != nil {
				t.Errorf("%s: %d %q %v", id, code, body, err)
			}
		}},
		{"wait", waiter{30 * time.Millisecond}, func(string) {
			if took := w.fine("/x"); took < 30*time.Millisecond {
				t.Errorf("answered after %v", took)
			}
		}},
		{"lag", slow(30*time.Millisecond, relay.Down), func(string) {
			if took := w.fine("/x"); took < 30*time.Millisecond {
				t.Errorf("answered after %v", took)
			}
		}},
		{"hold", cut{up: true}, func(id string) {
			done := make(chan error, 1)
			go func() {
				_, _, err := w.get("/x")
				done <- err
			}()
			until(t, "the request is held", func() bool { return receipt(t, w.edge, id).Injected >= 1 })
			lift(t, w.edge, id)
			if err := <-done; err != nil {
				t.Errorf("%s: after the lift: %v", id, err)
			}
		}},
	} {
		w.fine("/before")
		if err := w.edge.Arm(relay.Armed{ID: c.id, Name: c.id, Effect: c.effect, Seed: 7}); err != nil {
			t.Fatal(err)
		}
		c.see(c.id)
		lift(t, w.edge, c.id)
		if r := receipt(t, w.edge, c.id); r.Injected == 0 {
			t.Errorf("%s: %+v", c.id, r)
		}
		w.fine("/after")
	}
	close(bystander)
	if b, err := io.ReadAll(open.Body); string(b) != "hello /bystander" || err != nil {
		t.Errorf("the bystander got %q, %v", b, err)
	}
	if s := w.set.Status()[0]; s.Accepted != 1 {
		t.Errorf("it took %d connections", s.Accepted)
	}
	arm(t, w.edge, "kill", killer{how: relay.Reset})
	lift(t, w.edge, "kill")
	until(t, "another connection", func() bool { _, _, err := w.get("/"); return err == nil })
	if r := receipt(t, w.edge, "kill"); r.Injected != 1 {
		t.Errorf("killing connections: %+v", r)
	}
}

func TestHTTP2ResetsPassBothWays(t *testing.T) {
	gone := make(chan error, 1)
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		rw.(http.Flusher).Flush()
		switch r.URL.Path {
		case "/callee":
			panic(http.ErrAbortHandler)
		case "/caller":
			_, err := r.Body.Read(make([]byte, 1))
			<-r.Context().Done()
			gone <- err
		default:
			hello(rw, r)
		}
	})
	w.fine("/")
	_, _, err := w.get("/callee")
	if e := (http2.StreamError{}); !errors.As(err, &e) || e.Code != http2.ErrCodeInternal {
		t.Errorf("a stream that the callee has reset: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	defer pw.Close()
	req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/caller", pr)
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	if err := <-gone; err == nil {
		t.Error("the callee did not see the caller's reset")
	}
	w.fine("/")
	if s := w.set.Status()[0]; s.Accepted != 1 {
		t.Errorf("it took %d connections", s.Accepted)
	}
	until(t, "four exchanges", func() bool { return len(w.exchanges()) == 4 })
	for _, x := range w.exchanges() {
		want := "callee"
		if x.Path == "/caller" {
			want = "caller"
		}
		if x.EndedBy != want {
			t.Errorf("%s was ended by the %s, not by the %s", x.Path, x.EndedBy, want)
		}
	}
}

// frames is a callee that speaks HTTP/2 by frames.
func frames(t *testing.T, handle func(fr *http2.Framer, c net.Conn, stream uint32)) string {
	return server(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		fr := http2.NewFramer(c, c)
		fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.SettingsFrame:
				if !f.IsAck() {
					fr.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				handle(fr, c, f.StreamID)
			}
		}
	})
}

func answerFrames(fr *http2.Framer, stream uint32, fields ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true})
}

// TestHTTP2GoAway has a callee that closes after every answer, and says of the next
// request that it was too late for it.
func TestHTTP2GoAway(t *testing.T) {
	w := streamsTo(t, frames(t, func(fr *http2.Framer, c net.Conn, stream uint32) {
		if stream > 1 {
			fr.WriteGoAway(1, http2.ErrCodeNo, nil)
			return
		}
		answerFrames(fr, stream, ":status", "204")
	}))
	for i := range 6 {
		if code, _, err := w.get("/"); code != 204 || err != nil {
			t.Fatalf("request %d: %d %v", i, code, err)
		}
	}
	if s := w.set.Status()[0]; s.Accepted != 1 {
		t.Errorf("the caller needed %d connections", s.Accepted)
	}
}

// TestHTTP2ResetsSayTheSame has a callee reset one stream after the other, before and
// after the head of its answer, each with a code of its own.
func TestHTTP2ResetsSayTheSame(t *testing.T) {
	code := func(stream uint32) http2.ErrCode { return http2.ErrCode(stream / 2 % 14) }
	// The transport leaves a connection after a PROTOCOL_ERROR, so the callee's streams
	// have other numbers.
	var number atomic.Uint32
	number.Store(1)
	w := streamsTo(t, frames(t, func(fr *http2.Framer, _ net.Conn, stream uint32) {
		n := number.Add(2) - 2
		if n > 28 {
			var b bytes.Buffer
			hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true})
		}
		fr.WriteRSTStream(stream, code(n))
	}))
	c := dial(t, w.edge.Spec().Listen)
	fr := preface(t, c)
	for stream := uint32(1); stream < 56; stream += 2 {
		requestFrames(fr, stream, true)
		err := untilEnd(fr, func(f http2.Frame) bool {
			r, ok := f.(*http2.RSTStreamFrame)
			if ok && (r.StreamID != stream || r.ErrCode != code(stream)) {
				t.Errorf("stream %d was reset with %v, not with %v", r.StreamID, r.ErrCode, code(stream))
			}
			return ok
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestHTTP2CalleeIsGone: as without us, the caller loses its connection.
func TestHTTP2CalleeIsGone(t *testing.T) {
	for name, addr := range map[string]string{
		"nobody there":      nowhere(t),
		"closes":            server(t, func(c *net.TCPConn) { io.ReadFull(c, make([]byte, 24)) }),
		"speaks HTTP/1":     server(t, func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }),
		"closes in between": frames(t, func(_ *http2.Framer, c net.Conn, _ uint32) { c.Close() }),
	} {
		w := streamsTo(t, addr)
		c := dial(t, w.edge.Spec().Listen)
		fr := preface(t, c)
		requestFrames(fr, 1, true)
		if err := untilEnd(fr, nil); err == nil {
			t.Errorf("%s: the connection lives", name)
		}
		until(t, "an exchange", func() bool { return len(w.exchanges()) == 1 })
		if x := w.exchanges()[0]; x.Status != 0 || x.EndedBy != "callee" {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// preface begins HTTP/2 on a connection of a caller.
func preface(t *testing.T, c net.Conn) *http2.Framer {
	t.Helper()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	fr.WriteSettings()
	fr.WriteSettingsAck()
	return fr
}

func requestFrames(fr *http2.Framer, stream uint32, end bool, fields ...string) error {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	all := append([]string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "auth"}, fields...)
	if !end {
		all[1] = "POST"
	}
	for i := 0; i < len(all); i += 2 {
		e.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: end, EndHeaders: true})
}

// untilEnd reads frames until the connection ends; see may end it earlier.
func untilEnd(fr *http2.Framer, see func(http2.Frame) bool) error {
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		if see != nil && see(f) {
			return nil
		}
	}
}

func TestHTTP2Drains(t *testing.T) {
	on := make(chan struct{})
	w := newStreams(t, 0, func(rw http.ResponseWriter, r *http.Request) {
		rw.(http.Flusher).Flush()
		<-on
		hello(rw, r)
	})
	resp, err := w.client.Get(w.url + "/x")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		closed <- w.set.Shutdown(ctx)
	}()
	until(t, "the port is closed", func() bool {
		c, err := net.Dial("tcp", w.edge.Spec().Listen)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(on)
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "hello /x" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if err := <-closed; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
