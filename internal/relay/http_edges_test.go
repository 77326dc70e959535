package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// bytesWeb is an HTTP edge to a callee of bytes.
func bytesWeb(t *testing.T, handle func(*net.TCPConn)) *web {
	t.Helper()
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, server(t, handle))
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{w, e, "http://" + e.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// A callee that closes connections hurts only the caller whose connection it was,
// and that one sees it as without a relay.
func TestHTTPCalleeClosesIdleConnections(t *testing.T) {
	w := bytesWeb(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		io.WriteString(c, ok) // and closes, unannounced
	})
	for i := range 200 {
		c := w.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		br := bufio.NewReader(c)
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("request %d on a fresh connection: %v", i, err)
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Fatalf("the callee closed its idle connection, the caller sees %v", err)
		}
		c.Close()
	}
}

// A caller's connection has its own to the callee, and keeps it.
func TestHTTPConnectionsAreNotShared(t *testing.T) {
	var dialled atomic.Int32
	var gone atomic.Int32
	w := bytesWeb(t, func(c *net.TCPConn) {
		defer gone.Add(1)
		n := dialled.Add(1)
		br := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Conn: %d\r\nContent-Length: 0\r\n\r\n", n)
		}
	})
	for i := range 5 {
		c := dial(t, w.edge.Spec().Listen)
		br := bufio.NewReader(c)
		for range 3 {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.Header.Get("X-Conn") != fmt.Sprint(i+1) {
				t.Fatalf("connection %d: %v %v", i+1, resp, err)
			}
		}
		defer c.Close()
		if i%2 == 0 {
			ended := gone.Load()
			c.Close()
			until(t, "the callee's connection to close", func() bool { return gone.Load() == ended+1 })
		}
	}
}

func TestHTTPCalleeSaysClose(t *testing.T) {
	w := bytesWeb(t, func(c *net.TCPConn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	})
	b, err := io.ReadAll(w.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if err != nil || !strings.Contains(string(b), "Connection: close\r\n") {
		t.Errorf("%q, %v", b, err)
	}
}

// Whatever is armed while a request or an answer waits for something else holds
// it, too.
func TestHTTPPartitionHoldsWhatWaits(t *testing.T) {
	for name, c := range map[string]struct {
		first  relay.Effect
		second cut
		lift   bool
		body   string
	}{
		"request delayed":       {slow(300*time.Millisecond, relay.Up), cut{up: true}, false, ""},
		"body delayed":          {slow(300*time.Millisecond, relay.Up), cut{up: true}, false, "body"},
		"answer delayed":        {slow(300*time.Millisecond, relay.Down), cut{true, true}, false, ""},
		"request waits":         {waiter{300 * time.Millisecond}, cut{up: true}, false, "body"},
		"request held already":  {cut{up: true}, cut{up: true}, true, ""},
		"request held, as body": {cut{up: true}, cut{up: true}, true, "body"},
		"answer held already":   {cut{down: true}, cut{down: true}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int32
			w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				served.Add(1)
				hello(rw, r)
			})
			arm(t, w.edge, "first", c.first)
			conn := w.raw(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(c.body), c.body))
			until(t, "the request", func() bool { return receipt(t, w.edge, "first").Matched == 1 })
			arm(t, w.edge, "second", c.second)
			if c.lift {
				lift(t, w.edge, "first")
			}
			if !silent(t, conn, 600*time.Millisecond) {
				t.Error("answered through a cut")
			}
			if c.second.up && !c.second.down && served.Load() != 0 {
				t.Error("the request passed the cut")
			}
			lift(t, w.edge, "second")
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("after the heal: %v %v", resp, err)
			}
		})
	}
}

// A request whose caller has given up is never delivered, whatever its body.
func TestHTTPCallerGoneWithABody(t *testing.T) {
	for _, size := range []int{3, 10 << 10, 300 << 10} {
		for name, wait := range map[string]relay.Effect{"delay": waiter{time.Hour}, "hold": cut{up: true}, "reset": ender{time.Hour, relay.Reset}} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				var served atomic.Int32
				w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { served.Add(1) })
				arm(t, w.edge, "wait", wait)
				c := w.raw(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("b", size)))
				until(t, "the request", func() bool { return receipt(t, w.edge, "wait").Matched == 1 })
				c.Close()
				until(t, "the exchange to end", func() bool { return len(w.exchanges()) == 1 })
				if x := w.exchanges()[0]; x.EndedBy != "caller" {
					t.Errorf("%+v", x)
				}
				lift(t, w.edge, "wait")
				if served.Load() != 0 {
					t.Error("the callee saw the request")
				}
				if r := receipt(t, w.edge, "wait"); name == "reset" && r.Injected != 0 {
					t.Errorf("receipt %+v", r)
				}
			})
		}
	}
}

// What was read ahead of a caller who stays arrives whole.
func TestHTTPBodyReadAheadArrives(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, r.Body) })
	body := make([]byte, 3<<20)
	newStream(5).Read(body)
	arm(t, w.edge, "late", waiter{100 * time.Millisecond})
	for range 3 {
		resp, err := w.client.Post(w.url, "", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(got) != string(body) {
			t.Fatalf("%d of %d bytes came back, %v", len(got), len(body), err)
		}
	}
}

func TestHTTPStatusCountsWhatItAnswers(t *testing.T) {
	w := newWeb(t, hello)
	arm(t, w.edge, "status", answerer{503})
	arm(t, w.edge, "abort", ender{how: relay.Close})
	if _, err := w.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n").Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	until(t, "the exchange", func() bool { return len(w.exchanges()) == 1 })
	if r := receipt(t, w.edge, "status"); r != (fault.Receipt{Unit: fault.Exchange, Matched: 1, Skipped: 1}) {
		t.Errorf("nothing was answered, the receipt says %+v", r)
	}
	if x := w.exchanges()[0]; fmt.Sprint(x.Faults) != "[abort]" {
		t.Errorf("%+v", x)
	}
}

// The same traffic meets the same decisions each time that an effect is armed.
func TestHTTPDrawsRepeatAtEachArming(t *testing.T) {
	w := newWeb(t, hello)
	hits := func(id string) (all string) {
		if err := w.edge.Arm(relay.Armed{ID: id, Name: "busy", Effect: answerer{503}, Share: 0.5, Seed: 7}); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			req, _ := http.NewRequest("GET", w.url, nil)
			req.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%016x-01", i/2+1, 1))
			resp, err := w.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			all += fmt.Sprint(resp.StatusCode / 100)
		}
		lift(t, w.edge, id)
		return all
	}
	if a, b := hits("a"), hits("b"); a != b {
		t.Errorf("decisions\n%s, then\n%s", a, b)
	}
}

func TestHTTPTargetIsNotTouched(t *testing.T) {
	seen := make(chan string, 1)
	w := bytesWeb(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			var head string
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			seen <- head
			io.WriteString(c, ok)
		}
	})
	c := dial(t, w.edge.Spec().Listen)
	br := bufio.NewReader(c)
	for sent, want := range map[string]string{
		"/a%2Fb{c}":                         "/a%2Fb{c}",
		"/a|b^c%7e/../x?q={1}?":             "/a|b^c%7e/../x?q={1}?",
		"/?":                                "/?",
		"//b/c{d}?e":                        "//b/c{d}?e",
		"//":                                "//",
		"http://auth/x%2f{y}?z":             "/x%2f{y}?z",
		"http://auth?z":                     "/?z",
		"http://auth":                       "/",
		"*":                                 "*",
		"//" + strings.Repeat("long", 3000): "//" + strings.Repeat("long", 3000),
	} {
		io.WriteString(c, "OPTIONS "+sent+" HTTP/1.1\r\nHost: auth\r\n\r\n")
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%.80s: %v %v", sent, resp, err)
		}
		if got := <-seen; !strings.HasPrefix(got, "OPTIONS "+want+" HTTP/1.1\r\nHost: auth\r\n") {
			t.Errorf("%.80s arrived as %.100q", sent, got)
		}
	}
}

// Only the callee says 100 Continue, and a callee that does not costs nothing.
func TestHTTPContinueIsTheCallees(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	mute := bytesWeb(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(c, ok)
		br.ReadByte()
	})
	c := mute.raw(head)
	if !silent(t, c, 100*time.Millisecond) {
		t.Error("told to go on by nobody")
	}
	start := time.Now()
	io.WriteString(c, "body")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the answer took %s", took)
	}
	for name, e := range map[string]relay.Effect{"hole": hole{}, "abort": ender{how: relay.Close}, "reset": ender{how: relay.Reset}} {
		w := newWeb(t, hello)
		arm(t, w.edge, name, e)
		c := w.raw(head)
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, _ := c.Read(make([]byte, 100)); n > 0 {
			t.Errorf("%s: the relay answered %d bytes", name, n)
		}
	}
}

func TestHTTPDropsOffersOfH2C(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("%s: %s arrived", name, v)
			}
		}
		hello(rw, r)
	})
	c := w.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Error(resp, err)
	}
}

func TestHTTPUpgradeIsShaped(t *testing.T) {
	const delay = 200 * time.Millisecond
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		c, brw, _ := http.NewResponseController(rw).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, brw)
	})
	for _, ways := range [][]relay.Way{{relay.Down}, {relay.Up}, {relay.Up, relay.Down}} {
		id := fmt.Sprint(ways)
		arm(t, w.edge, id, slow(delay, ways...))
		c := w.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		br := bufio.NewReader(c)
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		for _, slowed := range []bool{true, false} {
			start := time.Now()
			io.WriteString(c, "ping\n")
			if s, err := br.ReadString('\n'); s != "ping\n" {
				t.Fatalf("%q, %v", s, err)
			}
			if took := time.Since(start); slowed && took < delay*time.Duration(len(ways)) {
				t.Errorf("%s: took %s", id, took)
			}
			if slowed {
				lift(t, w.edge, id)
			}
		}
		c.CloseWrite()
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
}
