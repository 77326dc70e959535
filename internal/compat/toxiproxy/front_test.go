package toxiproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/internal/engine"
)

// serveAt serves on a socket of its own until stop is called, which returns what
// serving did.
func serveAt(t testing.TB, serve func(context.Context, net.Listener) error) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln) }()
	stopped := false
	stop = func() error {
		cancel()
		stopped = true
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
	})
	return ln.Addr().String(), stop
}

// bare is the door behind net/http alone.
func bare(d *Door) func(context.Context, net.Listener) error {
	return func(ctx context.Context, ln net.Listener) error {
		srv := d.server(context.WithoutCancel(ctx))
		go func() {
			<-ctx.Done()
			srv.Close()
		}()
		return srv.Serve(ln)
	}
}

// talk sends the parts, then the end, and returns all that is answered.
func talk(t testing.TB, addr string, parts ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		for _, p := range parts {
			_, _ = io.WriteString(c, p) // whoever answers early may have closed
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	b, _ := io.ReadAll(c) // a reset after the answer is as good as an end
	return varying.ReplaceAllString(string(b), "$1: *")
}

// varying are headers that two answers never share, and ports.
var varying = regexp.MustCompile(`(?m)^(Date|X-Toxiproxy-Request-Id): [^\r]*`)

const someProxy = `{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":false}`

func request(method, path, body string, headers ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", method, path, strings.Join(headers, ""), len(body), body)
}

func bulk(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name":"bulk%d","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":false}`, i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// conversations are what clients send, well formed or not.
func conversations() map[string]string {
	create, version := request("POST", "/proxies", someProxy), request("GET", "/version", "")
	get := func(line string, headers ...string) string {
		return line + "\r\n" + strings.Join(headers, "") + "\r\n"
	}
	const host = "Host: x\r\n"
	return map[string]string{
		"one":                     create,
		"no body":                 get("GET /version HTTP/1.1", host),
		"usual headers":           request("POST", "/proxies", someProxy, "User-Agent: toxiproxy-cli/v2.12.0 linux/amd64\r\n", "Accept-Encoding: gzip\r\n", "Content-Type: application/json\r\n", "Connection: Keep-Alive\r\n"),
		"pipelined":               create + version + request("DELETE", "/proxies/p", "") + version + create,
		"a toxic":                 create + request("POST", "/proxies/p/toxics", `{"type":"latency"}`) + request("GET", "/proxies/p/toxics/latency_downstream", ""),
		"refused":                 create + create + request("GET", "/proxies/none", "") + request("POST", "/proxies", "{") + request("PATCH", "/proxies/p", `{"enabled":3}`),
		"nothing there":           version + request("GET", "/nothing", "") + version,
		"another method":          request("PUT", "/proxies", someProxy) + request("DELETE", "/proxies", "") + version,
		"large both ways":         request("POST", "/populate", bulk(300)) + request("GET", "/proxies", "") + version,
		"larger than plain":       request("POST", "/populate", bulk(2)+strings.Repeat(" ", maxPlain)) + version,
		"too large":               request("POST", "/populate", bulk(2)+strings.Repeat(" ", maxBody)),
		"too large, only said":    get("POST /populate HTTP/1.1", host, "Content-Length: 99999999999999999999\r\n"),
		"HTTP/1.0":                get("GET /version HTTP/1.0") + version,
		"HTTP/1.0 kept":           get("GET /version HTTP/1.0", "Connection: keep-alive\r\n") + version,
		"HTTP/1.2":                get("GET /version HTTP/1.2", host),
		"HTTP/2":                  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"close":                   version + get("GET /version HTTP/1.1", host, "Connection: close\r\n") + version,
		"expect":                  version + request("POST", "/proxies", someProxy, "Expect: 100-continue\r\n") + version,
		"expect something":        request("POST", "/proxies", someProxy, "Expect: miracles\r\n"),
		"chunked":                 version + get("POST /proxies HTTP/1.1", host, "Transfer-Encoding: chunked\r\n") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(someProxy), someProxy) + version,
		"chunked badly":           get("POST /proxies HTTP/1.1", host, "Transfer-Encoding: chunked\r\n") + "zz\r\n" + version,
		"length and chunked":      get("POST /proxies HTTP/1.1", host, "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + version,
		"chunked and length":      get("POST /proxies HTTP/1.1", host, "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n") + "0\r\n\r\n" + version,
		"chunked, hidden":         get("POST /proxies HTTP/1.1", host, "Content-Length: 5\r\n", "Transfer-Encoding : chunked\r\n") + "0\r\n\r\n" + version,
		"another encoding":        get("POST /proxies HTTP/1.1", host, "Transfer-Encoding: gzip\r\n") + version,
		"two lengths":             get("POST /proxies HTTP/1.1", host, "Content-Length: 5\r\n", "Content-Length: 6\r\n") + "{}{}{}" + version,
		"the same length twice":   get("GET /version HTTP/1.1", host, "Content-Length: 2\r\n", "content-length: 2\r\n") + "{}" + version,
		"lengths in a list":       get("GET /version HTTP/1.1", host, "Content-Length: 2, 2\r\n") + "{}" + version,
		"a length with a sign":    get("GET /version HTTP/1.1", host, "Content-Length: +2\r\n") + "{}" + version,
		"a length below 0":        get("GET /version HTTP/1.1", host, "Content-Length: -2\r\n") + "{}" + version,
		"an empty length":         get("GET /version HTTP/1.1", host, "Content-Length: \r\n") + version,
		"a length in hexadecimal": get("GET /version HTTP/1.1", host, "Content-Length: 0x2\r\n") + "{}" + version,
		"a length with zeros":     get("GET /version HTTP/1.1", host, "Content-Length: 0002\r\n") + "{}" + version,
		"doubled slash":           version + get("GET //proxies HTTP/1.1", host) + version,
		"dots":                    get("GET /proxies/../version HTTP/1.1", host) + version,
		"a dot":                   get("GET /proxies/.hidden HTTP/1.1", host) + version,
		"escaped":                 get("GET /proxies/%70 HTTP/1.1", host) + get("GET /proxies/%zz HTTP/1.1", host),
		"a query":                 get("GET /version?a=b HTTP/1.1", host) + version,
		"a whole address":         get("GET http://y/version HTTP/1.1", host) + version,
		"HEAD":                    version + get("HEAD /version HTTP/1.1", host) + version,
		"OPTIONS *":               get("OPTIONS * HTTP/1.1", host) + version,
		"CONNECT":                 get("CONNECT x:1 HTTP/1.1", host),
		"no host":                 get("GET /version HTTP/1.1"),
		"an empty host":           get("GET /version HTTP/1.1", "Host:\r\n"),
		"two hosts":               get("GET /version HTTP/1.1", host, host),
		"a bad host":              get("GET /version HTTP/1.1", "Host: x y\r\n"),
		"a browser":               get("GET /version HTTP/1.1", host, "User-Agent: Mozilla/5.0\r\n"),
		"a browser, second":       get("GET /version HTTP/1.1", host, "User-Agent: a\r\n", "User-Agent: Mozilla/5.0\r\n"),
		"a page":                  version + get("GET /version HTTP/1.1", host, "Origin: http://evil\r\n") + version,
		"a long s in a name":      get("GET /version HTTP/1.1", host, "U\u017fer-Agent: Mozilla/5.0\r\n"),
		"no line":                 "\r\n\r\n" + version,
		"nonsense":                "nonsense\r\n\r\n",
		"nonsense, unfinished":    "nonsense\r\n",
		"lower case":              get("get /version http/1.1", host),
		"two spaces":              get("GET  /version HTTP/1.1", host),
		"a tab":                   get("GET\t/version HTTP/1.1", host),
		"bare line feeds":         "GET /version HTTP/1.1\nHost: x\n\n" + version,
		"a bare line feed":        "GET /version HTTP/1.1\nHost: x\r\n\r\n" + version,
		"a bare return":           "GET /version HTTP/1.1\r\nHost: x\rContent-Length: 5\r\n\r\n" + version,
		"folded":                  get("GET /version HTTP/1.1", host, "Accept: a,\r\n b\r\n") + version,
		"a name with a space":     get("GET /version HTTP/1.1", "Host : x\r\n"),
		"no colon":                get("GET /version HTTP/1.1", host, "Accept\r\n"),
		"no name":                 get("GET /version HTTP/1.1", host, ": x\r\n"),
		"a value with a control":  get("GET /version HTTP/1.1", host, "Accept: a\x00b\r\n"),
		"a value beyond ASCII":    get("GET /version HTTP/1.1", host, "Accept: \u00e4\r\n") + version,
		"another header":          get("GET /version HTTP/1.1", host, "X-Else: y\r\n") + version,
		"a stray line end":        create + "\r\n" + version + "\r\n" + version,
		"a head of 1 MB":          get("GET /version HTTP/1.1", host, "Accept: "+strings.Repeat("a", 1<<20-200)+"\r\n") + version,
		"a head of 2 MB":          get("GET /version HTTP/1.1", host, "Accept: "+strings.Repeat("a", 2<<20)+"\r\n"),
		"nothing":                 "",
		"half a head":             version + "POST /proxies HTTP/1.1\r\nHo",
		"half a body":             version + create[:len(create)-3],
		"no end of a head":        "GET /version HTTP/1.1\r\nHost: x\r\n",
	}
}

// What is said in docs of the door is said of net/http: that the front stands
// before it must not be seen.
func TestFrontAnswersAsNetHTTP(t *testing.T) {
	for name, said := range conversations() {
		t.Run(name, func(t *testing.T) {
			front, alone := newStage(t, nil), newStage(t, nil)
			at, _ := serveAt(t, front.Serve)
			reference, _ := serveAt(t, bare(alone.Door))
			want, got := talk(t, reference, said), talk(t, at, said)
			if got != want {
				t.Errorf("answered\n%.2000s\nwant\n%.2000s", got, want)
			}
		})
	}
}

func TestFrontTakesRequestsInAnyPieces(t *testing.T) {
	said := request("POST", "/proxies", someProxy) + request("DELETE", "/proxies/p", "")
	s := newStage(t, nil)
	at, _ := serveAt(t, s.Serve)
	want := talk(t, at, said)
	if strings.Count(want, "HTTP/1.1 20") != 2 {
		t.Fatal(want)
	}
	for cut := 1; cut < len(said); cut++ {
		if got := talk(t, at, said[:cut], said[cut:]); got != want {
			t.Fatalf("cut at %d:\n%s\nwant\n%s", cut, got, want)
		}
	}
	if got := talk(t, at, strings.Split(said, "")...); got != want {
		t.Fatalf("byte by byte:\n%s\nwant\n%s", got, want)
	}
}

// A client that sends slowly is given up, wherever it has stopped.
func TestFrontGivesUpOnSlowClients(t *testing.T) {
	s := newStage(t, nil)
	s.limits = limits{read: 50 * time.Millisecond, write: time.Minute, idle: 50 * time.Millisecond, grace: time.Minute}
	at, _ := serveAt(t, s.Serve)
	create := request("POST", "/proxies", someProxy)
	for _, after := range []string{"", request("GET", "/version", "")} {
		for _, part := range []string{"", "P", create[:40], create[:len(create)-1]} {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, after+part)
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("after %q and %q: %v", after, part, err)
			}
			c.Close()
		}
	}
	if _, err := s.get(t.Context(), "p"); err == nil {
		t.Error("half a request was taken for one")
	}
}

// A client that drips is not given more time by each drop.
func TestFrontGivesUpOnDrippingClients(t *testing.T) {
	s := newStage(t, nil)
	s.limits.read = 50 * time.Millisecond
	at, _ := serveAt(t, s.Serve)
	head := "POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
	for _, begin := range []string{"POST /", head} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, begin)
		drip := time.NewTicker(5 * time.Millisecond)
		for n := 0; err == nil; n++ {
			<-drip.C
			if _, err = io.WriteString(c, "a"); n > 6000 {
				t.Fatal("it may drip for ever")
			}
		}
		drip.Stop()
		c.Close()
	}
}

type edges = Edges

// held is an engine that opens no edge before it is told to.
type held struct {
	edges
	begun, leave chan struct{}
}

func (h *held) OpenEdge(ctx context.Context, s engine.EdgeSpec) (string, error) {
	if s.To == "bad" {
		panic("as a mistake of ours would")
	}
	h.begun <- struct{}{}
	<-h.leave
	return h.edges.OpenEdge(ctx, s)
}

func TestFrontEndsAfterRequestsUnderWay(t *testing.T) {
	h := &held{begun: make(chan struct{}, 1), leave: make(chan struct{})}
	s := newStage(t, func(c *Config) { h.edges, c.Edges = c.Edges, h })
	at, stop := serveAt(t, s.Serve)
	idle, busy := dialTo(t, at), dialTo(t, at)
	in := bufio.NewReader(idle)
	_, _ = io.WriteString(idle, request("GET", "/version", ""))
	if r, err := http.ReadResponse(in, nil); err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	} else {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	_, _ = io.WriteString(busy, request("POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`))
	<-h.begun
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection ends with %v", err)
	}
	select {
	case err := <-ended:
		t.Fatal("it did not wait for the request", err)
	default:
	}
	close(h.leave)
	r, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusCreated || !r.Close {
		t.Error("the request under way got", r.Status, r.Header)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFrontCutsWhatDoesNotEnd(t *testing.T) {
	h := &held{begun: make(chan struct{}, 1), leave: make(chan struct{})}
	s := newStage(t, func(c *Config) { h.edges, c.Edges = c.Edges, h })
	s.limits.grace = 10 * time.Millisecond
	at, stop := serveAt(t, s.Serve)
	c := dialTo(t, at)
	_, _ = io.WriteString(c, request("POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`))
	<-h.begun
	if err := stop(); err != nil {
		t.Error("what had to be cut makes the end a failure: ", err)
	}
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
	close(h.leave)
	a := s.acquire("p") // until the request has ended
	s.release("p", a)
}

// TestHalfARequestIsNoFailure: nor does what nobody ends make the end one.
func TestHalfARequestIsNoFailure(t *testing.T) {
	for _, half := range []string{"GET /pro", "POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "POST /proxies HTTP/1.1\r\nHost: x\r\nX: y\r\nContent-Length: 9\r\n\r\n{"} {
		s := newStage(t, nil)
		s.limits.grace = 10 * time.Millisecond
		at, stop := serveAt(t, s.Serve)
		if got := talk(t, at, request("GET", "/version", "")); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%q", got)
		}
		c := dialTo(t, at)
		_, _ = io.WriteString(c, half)
		if err := stop(); err != nil {
			t.Errorf("%q: %v", half, err)
		}
	}
}

// TestForeignHost: a web page may have given a name of its own to our address.
func TestForeignHost(t *testing.T) {
	s := newStage(t, func(c *Config) { c.OnlyHost = "Chaos.example" })
	at, stop := serveAt(t, s.Serve)
	for host, code := range map[string]string{
		"evil.example": "403", "evil.example:8474": "403", "evil.example.": "403", "127.0.0.1.evil.example": "403", "localhost.evil.example:80": "403",
		"localhost": "200", "LOCALHOST:8474": "200", "x.localhost": "200", "toxiproxy:8474": "200", "host.docker.internal:8474": "200", "127.0.0.1": "200",
		"127.0.0.1:8474": "200", "[::1]:8474": "200", "[::1]": "200", "chaos.example:8474": "200", "": "200",
	} {
		for _, more := range []string{"", "X: y\r\n"} { // plain, and not
			got := talk(t, at, "GET /proxies HTTP/1.1\r\nHost: "+host+"\r\n"+more+"\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 "+code+" ") {
				t.Errorf("host %q %q: %q", host, more, got)
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	s = newStage(t, nil)
	if s.foreign("evil.example") {
		t.Error("it refuses names though any will do")
	}
}

func TestFrontOutlivesPanics(t *testing.T) {
	h := &held{begun: make(chan struct{}, 1), leave: make(chan struct{})}
	var said bytes.Buffer
	s := newStage(t, func(c *Config) {
		h.edges, c.Edges = c.Edges, h
		c.Log = slog.New(slog.NewTextHandler(&said, nil))
	})
	at, stop := serveAt(t, s.Serve)
	if got := talk(t, at, request("POST", "/proxies", `{"name":"bad","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`)); got != "" {
		t.Errorf("answered %q", got)
	}
	if got := talk(t, at, request("GET", "/proxies/bad", "")); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("then it answers %q", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), "as a mistake of ours would") {
		t.Errorf("logged %q", said.String())
	}
}

func dialTo(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// What is plain, net/http reads in the same way.
func FuzzReadPlain(f *testing.F) {
	for _, said := range conversations() {
		if len(said) < 4096 {
			f.Add([]byte(said))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := readPlain(b)
		if !ok {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		_, refused := fromPage(r)
		switch {
		case r.Method != string(p.method), r.RequestURI != string(p.path), r.URL.Path != string(p.path), cleaned(r.URL.Path) != r.URL.Path,
			r.URL.RawQuery != "", r.Proto != "HTTP/1.1", r.Close, r.Host == "", refused, len(r.TransferEncoding) > 0:
			t.Fatalf("net/http reads %+v", r)
		case r.ContentLength != int64(p.size-p.head):
			t.Fatalf("a body of %d, to net/http %d", p.size-p.head, r.ContentLength)
		case p.size <= len(b):
			body, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(body, b[p.head:p.size]) {
				t.Fatalf("body %q, to net/http %q, %v", b[p.head:p.size], body, err)
			}
		}
	})
}

func TestTextsAreQuotedAsByEncodingJSON(t *testing.T) {
	for _, s := range []string{"", "a b~", "\"", "\\", "<", ">", "&", "\x00", "\x1f", "\x7f", "\u00e4", "\u2028", "\xff", "a\nb"} {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendQuoted([]byte("x"), s); string(got) != "x"+string(want) {
			t.Errorf("%q is written %s, want %s", s, got[1:], want)
		}
	}
}
