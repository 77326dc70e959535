package relay_test

import (
	"bufio"
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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// web is a callee and an HTTP edge to it.
type web struct {
	*world
	edge   *relay.Edge
	url    string
	client *http.Client
}

func newWeb(t *testing.T, h http.HandlerFunc) *web {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, srv.Listener.Addr().String())
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{w, e, "http://" + e.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}}
}

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.URL.Path) }

func (w *web) get(path string) (int, string, error) {
	resp, err := w.client.Get(w.url + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (w *web) fine(path string) time.Duration {
	w.Helper()
	start := time.Now()
	if code, body, err := w.get(path); code != 200 || body != "hello "+path || err != nil {
		w.Fatalf("GET %s: %d %q %v", path, code, body, err)
	}
	return time.Since(start)
}

// raw sends bytes on a fresh connection and returns it.
func (w *web) raw(request string) *net.TCPConn {
	w.Helper()
	c := dial(w, w.edge.Spec().Listen)
	if _, err := io.WriteString(c, request); err != nil {
		w.Fatal(err)
	}
	return c
}

func TestHTTPPassesRequestsUnchanged(t *testing.T) {
	// A callee of bytes, to see what really arrives and to answer what net/http
	// would not.
	var got string
	addr := server(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			got += line
			if line == "\r\n" {
				break
			}
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\n<html")
	})
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, addr)
	c := dial(t, e.Spec().Listen)
	io.WriteString(c, "GET /a%2Fb//c?x=1;y&z HTTP/1.1\r\nHost: auth.example:81\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "GET /a%2Fb//c?x=1;y&z HTTP/1.1\r\nHost: auth.example:81\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"; got != want {
		t.Errorf("the callee saw\n%q, not\n%q", got, want)
	}
	for _, no := range []string{"Date:", "Content-Type:", "Server:"} {
		if strings.Contains(string(answer), no) {
			t.Errorf("%s was added to\n%s", no, answer)
		}
	}
	if !strings.HasSuffix(string(answer), "\r\n\r\n<html") || !strings.Contains(string(answer), "X-Own: 1\r\n") {
		t.Errorf("answer:\n%s", answer)
	}
}

func TestHTTPBodiesBothWays(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		rw.Header().Set("Trailer", "X-Announced")
		fmt.Fprintf(rw, "%d %x %v", n, h.Sum(nil), r.Trailer)
		rw.(http.Flusher).Flush()
		rw.Header().Set("X-Announced", "1")
		rw.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	body := make([]byte, 3<<20)
	newStream(3).Read(body)
	for name, prepare := range map[string]func(){
		"plain":  func() {},
		"staged": func() { arm(t, w.edge, "slow", slow(20*time.Millisecond, relay.Up, relay.Down)) },
	} {
		prepare()
		for _, r := range []io.Reader{bytes.NewReader(body), io.MultiReader(bytes.NewReader(body))} {
			req, _ := http.NewRequest("POST", w.url, r)
			req.Trailer = http.Header{"X-Sent": nil}
			if req.ContentLength > 0 {
				req.Trailer = nil
			} else {
				req.Trailer.Set("X-Sent", "yes")
			}
			resp, err := w.client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			want := fmt.Sprintf("%d %x %v", len(body), sha256.Sum256(body), req.Trailer)
			if req.Trailer == nil {
				want = fmt.Sprintf("%d %x map[]", len(body), sha256.Sum256(body))
			}
			if err != nil || string(b) != want {
				t.Errorf("%s: %q, not %q, %v", name, b, want, err)
			}
			if resp.Trailer.Get("X-Announced") != "1" || resp.Trailer.Get("X-Late") != "2" {
				t.Errorf("%s: trailers %v", name, resp.Trailer)
			}
		}
	}
	lift(t, w.edge, "slow")
}

func TestHTTPStreamsBothWays(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		rw.WriteHeader(200)
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
	// A server that reads on while it answers: head first, then byte for byte.
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", w.url, pr)
	go pw.Write([]byte("a"))
	resp, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 1)
	for _, c := range "abc" {
		if c != 'a' {
			pw.Write([]byte{byte(c)})
		}
		if _, err := io.ReadFull(resp.Body, b); err != nil || b[0] != byte(c) {
			t.Fatalf("%q, %v; sent %q", b, err, c)
		}
	}
	pw.Close()
	if _, err := resp.Body.Read(b); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestHTTPInterimAnswersAndContinue(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</style.css>")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		if r.Header.Get("Expect") == "" {
			t.Error("the expectation did not arrive")
		}
		if r.URL.Path == "/no" {
			rw.WriteHeader(http.StatusExpectationFailed)
			return
		}
		io.Copy(rw, r.Body)
	})
	var hints atomic.Int32
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 103 && h.Get("Link") != "" {
				hints.Add(1)
			}
			return nil
		},
	})
	w.client.Transport.(*http.Transport).ExpectContinueTimeout = patience
	for path, want := range map[string]string{"/yes": "200 body", "/no": "417 "} {
		req, _ := http.NewRequestWithContext(ctx, "POST", w.url+path, strings.NewReader("body"))
		req.Header.Set("Expect", "100-continue")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", string(b)); got != want {
			t.Errorf("%s: %q, not %q", path, got, want)
		}
		if resp.Header.Get("Link") != "" {
			t.Error("the fields of the interim answer are in the last one, too")
		}
	}
	if hints.Load() != 2 {
		t.Errorf("%d early hints, not 2", hints.Load())
	}
}

func TestHTTPUpgrade(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			t.Errorf("upgrade: %v", r.Header)
		}
		c, brw, _ := http.NewResponseController(rw).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, brw)
	})
	c := w.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	for range 3 {
		io.WriteString(c, "ping\n")
		if s, err := br.ReadString('\n'); s != "ping\n" {
			t.Fatalf("%q, %v", s, err)
		}
	}
	arm(t, w.edge, "cut", cut{true, true})
	io.WriteString(c, "held\n")
	if !silent(t, c, 50*time.Millisecond) {
		t.Error("bytes pass a cut edge")
	}
	lift(t, w.edge, "cut")
	if s, err := br.ReadString('\n'); s != "held\n" {
		t.Errorf("after the heal: %q, %v", s, err)
	}
	arm(t, w.edge, "kill", killer{how: relay.Reset})
	if _, err := br.ReadByte(); !isReset(err) {
		t.Errorf("killed: %v", err)
	}
}

func TestHTTPLatency(t *testing.T) {
	var arrived atomic.Int64
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		arrived.Store(time.Now().UnixNano())
		hello(rw, r)
	})
	const delay = 300 * time.Millisecond
	w.fine("/before")
	for _, way := range []relay.Way{relay.Up, relay.Down} {
		id := way.String()
		arm(t, w.edge, id, slow(delay, way))
		start := time.Now()
		if got := w.fine("/x"); got < delay {
			t.Errorf("%s: took %s", way, got)
		}
		if late := time.Unix(0, arrived.Load()).Sub(start) >= delay; late != (way == relay.Up) {
			t.Errorf("%s: the request was late at the callee: %v", way, late)
		}
		lift(t, w.edge, id)
		if got := w.fine("/after"); got >= delay {
			t.Errorf("%s: after the lift it took %s", way, got)
		}
		if r := receipt(t, w.edge, id); r != (fault.Receipt{Unit: fault.Exchange, Matched: 1, Injected: 1}) {
			t.Errorf("%s: receipt %+v", way, r)
		}
	}
	// An answer of the relay is as late as one of the callee.
	arm(t, w.edge, "slow", slow(delay, relay.Down))
	arm(t, w.edge, "status", answerer{503})
	start := time.Now()
	if code, body, err := w.get("/"); code != 503 || body != "from the relay" || time.Since(start) < delay {
		t.Errorf("%d %q %v after %s", code, body, err, time.Since(start))
	}
	until(t, "the exchange", func() bool { return len(w.exchanges()) == 6 }) // is reported after the answer
	x := w.exchanges()[5]
	if !slices.Equal(x.Faults, []string{"status", "slow"}) && !slices.Equal(x.Faults, []string{"slow", "status"}) || x.EndedBy != "relay" || x.Status != 503 {
		t.Errorf("exchange: %+v", x)
	}
}

func TestHTTPShare(t *testing.T) {
	w := newWeb(t, hello)
	hits := func(id string) (all []int) {
		if err := w.edge.Arm(relay.Armed{ID: id, Name: "busy", Effect: answerer{503}, Share: 0.2, Seed: 7}); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if code, _, err := w.get("/"); err != nil {
				t.Fatal(err)
			} else if code == 503 {
				all = append(all, i)
			}
		}
		lift(t, w.edge, id)
		r := receipt(t, w.edge, id)
		if r.Matched != 1000 || r.Injected != uint64(len(all)) || r.Skipped != 1000-r.Injected || len(all) < 150 || len(all) > 250 {
			t.Errorf("the client saw %d of 1000 hurt, the receipt says %+v", len(all), r)
		}
		return all
	}
	if a, b := hits("one"), hits("two"); !slices.Equal(a, b) {
		t.Errorf("the same seed hit other requests:\n%v\n%v", a, b)
	}
	w.fine("/after")
}

func TestHTTPDrawsByTrace(t *testing.T) {
	w := newWeb(t, hello)
	const share, seed = 0.5, 7
	if err := w.edge.Arm(relay.Armed{ID: "x", Name: "busy", Effect: answerer{503}, Share: share, Seed: seed}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		trace := fmt.Sprintf("%032x", i/2+1)
		req, _ := http.NewRequest("GET", w.url, nil)
		req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := fault.Draw(seed, "busy", "api -> auth", fmt.Sprint(trace, " ", i%2+1)) < share
		if got := resp.StatusCode == 503; got != want {
			t.Errorf("trace %s, attempt %d: hurt %v, drawn %v", trace, i%2+1, got, want)
		}
	}
	until(t, "the exchanges", func() bool { return len(w.exchanges()) == 20 })
	if x := w.exchanges()[0]; x.TraceID.String() != fmt.Sprintf("%032x", 1) {
		t.Errorf("exchange: %+v", x)
	}
}

func TestHTTPMatchAndProtect(t *testing.T) {
	w := newWeb(t, hello)
	err := w.edge.Arm(relay.Armed{ID: "x", Effect: answerer{503},
		Match:   &fault.Match{Method: []string{"GET"}, Path: "/users/**", Header: map[string]string{"x-tenant": "a*"}, Query: map[string]string{"q": "?"}},
		Protect: []fault.Match{{Path: "/users/root/**"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, tenant string
		want                 int
	}{
		{"GET", "/users/1?q=1", "a/b", 503},
		{"GET", "/users/1/2?q=1&q=22", "a", 503},
		{"POST", "/users/1?q=1", "a", 200},
		{"GET", "/users/1?q=11", "a", 200},
		{"GET", "/users/1", "a", 200},
		{"GET", "/other?q=1", "a", 200},
		{"GET", "/users/1?q=1", "b", 200},
		{"GET", "/users/1?q=1", "", 200},
		{"GET", "/users/root/1?q=1", "a", 200}, // protected
	} {
		req, _ := http.NewRequest(c.method, w.url+c.path, nil)
		if c.tenant != "" {
			req.Header.Set("X-Tenant", c.tenant)
		}
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%+v: %d", c, resp.StatusCode)
		}
	}
	if r := receipt(t, w.edge, "x"); r != (fault.Receipt{Unit: fault.Exchange, Matched: 3, Injected: 2, Skipped: 1}) {
		t.Errorf("receipt: %+v", r)
	}
}

// TestHTTPProtectHoweverSpelled sends paths as no tidy client does: what an
// upstream may take for a protected path is spared, and nothing else.
func TestHTTPProtectHoweverSpelled(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(200) })
	status := func(method, target string) int {
		t.Helper()
		c := w.raw(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		defer c.Close()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for i, c := range []struct {
		protect       fault.Match
		spared, wants []string
	}{
		{fault.Match{Path: "/pay"},
			[]string{"/pay", "/pay/", "//pay", "/./pay", "/a/../pay", "/x/%2e%2e/pay", "/%70ay", "/pay?x=1", "/pay;v=1", "/;a/pay", "/a/..;x=1/pay", "/../pay", "/%2Fpay", "/a/%2e%2e%3Bx/pay/", "//x/..///pay//", "/pay/.", "/pay/x/..", "http://x//pay"},
			[]string{"/", "/pa", "/payx", "/pay/x", "/x/pay", "/pay/../x", "/?/pay", "/%2570ay", "/PAY"}},
		{fault.Match{Path: "/pay/"}, []string{"/pay/", "/pay", "/pay//"}, []string{"/pay/x", "/pay.x"}},
		{fault.Match{Path: "/a/pay"}, []string{"/a//../pay", "/a//b/../..//pay", "/a/./pay"}, []string{"/a/../pay"}},
		{fault.Match{Path: "/pay*"}, []string{"/pay", "/payment", "/pay/"}, []string{"/pay/x"}},
		{fault.Match{Path: "/pay**"}, []string{"/pay", "/payment", "/pay/x", "/pay/x/y", "/a/../pay/x"}, []string{"/a/pay"}},
		{fault.Match{Path: "~^/pay$"}, []string{"//pay", "/pay/"}, []string{"/pays"}},
		{fault.Match{Path: "/pay", Method: []string{"GET"}}, []string{"//pay"}, nil},
	} {
		id := fmt.Sprint("x", i)
		if err := w.edge.Arm(relay.Armed{ID: id, Effect: answerer{503}, Protect: []fault.Match{c.protect}}); err != nil {
			t.Fatal(err)
		}
		for _, p := range c.spared {
			if got := status("GET", p); got != 200 {
				t.Errorf("protect %+v: %s was hurt", c.protect, p)
			}
		}
		for _, p := range c.wants {
			if got := status("GET", p); got != 503 {
				t.Errorf("protect %+v: %s was spared", c.protect, p)
			}
		}
		if len(c.protect.Method) > 0 && status("POST", c.protect.Path) != 503 {
			t.Errorf("protect %+v: another method was spared", c.protect)
		}
		if r := receipt(t, w.edge, id); r.Skipped != uint64(len(c.spared)) {
			t.Errorf("protect %+v: the receipt is %+v", c.protect, r)
		}
		lift(t, w.edge, id)
		if got := status("GET", "/payx"); got != 200 {
			t.Errorf("after the lift: %d", got)
		}
	}
	// A match, other than protection, takes the path by its word.
	if err := w.edge.Arm(relay.Armed{ID: "m", Effect: answerer{503}, Match: &fault.Match{Path: "/pay"}}); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]int{"/pay": 503, "/%70ay": 503, "//pay": 200, "/a/../pay": 200, "/pay/": 200} {
		if got := status("GET", p); got != want {
			t.Errorf("match /pay: %s gives %d", p, got)
		}
	}
	lift(t, w.edge, "m")
}

func TestHTTPDelayAndCallerGone(t *testing.T) {
	var served atomic.Int32
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { served.Add(1); hello(rw, r) })
	arm(t, w.edge, "late", waiter{300 * time.Millisecond})
	if got := w.fine("/x"); got < 300*time.Millisecond {
		t.Errorf("took %s", got)
	}
	lift(t, w.edge, "late")
	arm(t, w.edge, "hour", waiter{time.Hour})
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", w.url, nil)
	gone := make(chan error, 1)
	go func() { _, err := w.client.Do(req); gone <- err }()
	until(t, "the request", func() bool { return receipt(t, w.edge, "hour").Injected == 1 })
	leave()
	<-gone
	until(t, "the exchange", func() bool { return len(w.exchanges()) == 2 })
	if x := w.exchanges()[1]; x.EndedBy != "caller" || served.Load() != 1 {
		t.Errorf("%+v; served %d", x, served.Load())
	}
	done := make(chan time.Duration, 1)
	go func() { done <- w.fine("/y") }()
	until(t, "the request", func() bool { return receipt(t, w.edge, "hour").Injected == 2 })
	lift(t, w.edge, "hour")
	<-done
}

func TestHTTPCallerGoneCancelsTheCallee(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	w := newWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	ctx, leave := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", w.url, nil)
	go func() { <-began; leave() }()
	w.client.Do(req)
	<-gone
}

func TestHTTPEndings(t *testing.T) {
	var served atomic.Int32
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { served.Add(1); hello(rw, r) })
	for _, how := range []relay.Ending{relay.Close, relay.Reset} {
		id := fmt.Sprint("end", how)
		arm(t, w.edge, id, ender{how: how})
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789",
		} {
			c := w.raw(request)
			n, err := c.Read(make([]byte, 1))
			if n != 0 || how == relay.Close && err != io.EOF || how == relay.Reset && !isReset(err) {
				t.Errorf("ending %d: %d, %v", how, n, err)
			}
		}
		lift(t, w.edge, id)
		if r := receipt(t, w.edge, id); r.Injected != 2 {
			t.Errorf("receipt: %+v", r)
		}
	}
	if served.Load() != 0 {
		t.Error("the callee saw a request")
	}
	w.fine("/after")
}

func TestHTTPBlackhole(t *testing.T) {
	w := newWeb(t, hello)
	w.fine("/before")
	arm(t, w.edge, "hole", hole{})
	leaver := w.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	stayer := w.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !silent(t, leaver, 50*time.Millisecond) || !silent(t, stayer, 10*time.Millisecond) {
		t.Error("an answer came")
	}
	leaver.Close()
	until(t, "the exchange of the caller that left", func() bool { return len(w.exchanges()) == 2 })
	if x := w.exchanges()[1]; x.EndedBy != "caller" || x.Faults[0] != "hole" || x.BytesIn != 4 {
		t.Errorf("%+v", x)
	}
	lift(t, w.edge, "hole")
	if _, err := stayer.Read(make([]byte, 1)); err == nil || isReset(err) {
		t.Errorf("at the lift the connection is closed: %v", err)
	}
	if r := receipt(t, w.edge, "hole"); r.Injected != 2 {
		t.Errorf("receipt: %+v", r)
	}
	w.fine("/after")
}

func TestHTTPPartition(t *testing.T) {
	for _, c := range []cut{{true, true}, {up: true}, {down: true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			var served atomic.Int32
			w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { served.Add(1); hello(rw, r) })
			arm(t, w.edge, "cut", c)
			done := make(chan time.Duration, 1)
			go func() { done <- w.fine("/x") }()
			until(t, "the request", func() bool { return receipt(t, w.edge, "cut").Injected == 1 })
			if !c.up {
				until(t, "the callee to serve", func() bool { return served.Load() == 1 })
			}
			select {
			case <-done:
				t.Fatal("answered through a cut")
			case <-time.After(50 * time.Millisecond):
			}
			if c.up && served.Load() != 0 {
				t.Error("the request passed")
			}
			lift(t, w.edge, "cut")
			<-done
		})
	}
	t.Run("under way", func(t *testing.T) {
		step := make(chan struct{})
		w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
			for range 2 {
				io.WriteString(rw, "x")
				rw.(http.Flusher).Flush()
				<-step
			}
		})
		resp, err := w.client.Get(w.url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		resp.Body.Read(make([]byte, 1))
		arm(t, w.edge, "cut", cut{down: true})
		step <- struct{}{}
		got := make(chan error, 1)
		go func() { _, err := io.ReadFull(resp.Body, make([]byte, 1)); got <- err }()
		select {
		case err := <-got:
			t.Errorf("the answer went on through a cut: %v", err)
		case <-time.After(50 * time.Millisecond):
			lift(t, w.edge, "cut")
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
		close(step)
	})
}

func TestHTTPKillIdleConnections(t *testing.T) {
	w := newWeb(t, hello)
	c := w.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	arm(t, w.edge, "kill", killer{how: relay.Reset})
	if _, err := br.ReadByte(); !isReset(err) {
		t.Errorf("%v", err)
	}
	if r := receipt(t, w.edge, "kill"); r != (fault.Receipt{Unit: fault.Connection, Matched: 1, Injected: 1}) {
		t.Errorf("receipt: %+v", r)
	}
	w.fine("/after")
}

// A callee that breaks a used connection is a fault that the caller must see: no
// request is sent twice.
func TestHTTPNeverSendsTwice(t *testing.T) {
	var requests atomic.Int32
	addr := server(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		for i := 0; ; i++ {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			requests.Add(1)
			if i > 0 {
				return // closes without an answer
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, addr)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n\r\n",
	} {
		requests.Store(0)
		c := dial(t, e.Spec().Listen)
		io.WriteString(c, request)
		br := bufio.NewReader(c)
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		io.WriteString(c, request)
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("the callee closed, the caller sees %v", err)
		}
		if n := requests.Load(); n != 2 {
			t.Errorf("%q: the callee saw %d requests, the caller sent 2", request, n)
		}
	}
}

func TestHTTPBrokenAnswerIsBroken(t *testing.T) {
	for _, staged := range []bool{false, true} {
		w := newWorld(t)
		e := w.open("api", "auth", experiment.HTTP, server(t, func(c *net.TCPConn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}))
		if staged {
			arm(t, e, "slow", slow(20*time.Millisecond, relay.Down))
		}
		tr := &http.Transport{}
		resp, err := (&http.Client{Transport: tr}).Get("http://" + e.Spec().Listen)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("staged %v: %q, %v", staged, b, err)
		}
		tr.CloseIdleConnections()
	}
}

func TestHTTPRefusesAbuse(t *testing.T) {
	w := newWeb(t, hello)
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 80<<10) + "\r\n\r\n":                             431,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody":                        400,
		"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n":                                                   501,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n":                                            501,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n": 501,
	} {
		c := dial(t, w.edge.Spec().Listen)
		go io.WriteString(c, request)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%.60q: %v %v, not %d", request, resp, err, want)
		}
	}
}

func TestHTTPConcurrentShare(t *testing.T) {
	w := newWeb(t, hello)
	if err := w.edge.Arm(relay.Armed{ID: "x", Effect: answerer{503}, Share: 0.5, MaxActive: 3}); err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if code, _, err := w.get("/"); err != nil {
					t.Error(err)
				} else if code == 503 {
					seen.Add(1)
				}
			}
		})
	}
	all.Wait()
	if r := receipt(t, w.edge, "x"); r.Injected != uint64(seen.Load()) || r.Matched != 400 || r.Injected+r.Skipped != 400 {
		t.Errorf("the clients saw %d, the receipt says %+v", seen.Load(), r)
	}
}
