package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// ear keeps what it is told.
type ear struct {
	mu  sync.Mutex
	all []experiment.Exchange
}

func (e *ear) hear(x *experiment.Exchange) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, *x)
}

func (e *ear) told() []experiment.Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]experiment.Exchange(nil), e.all...)
}

// onEngine has requests looked at by the server, and none hurt.
func onEngine(t testing.TB, e *relay.Edge) {
	t.Helper()
	err := e.Arm(relay.Armed{ID: "idle", Name: "idle", Effect: answerer{418}, Match: &fault.Match{Path: "/nobody"}})
	if err != nil {
		t.Fatal(err)
	}
}

// Of one request the fast path tells what the server does.
func TestFastPathTellsTheSame(t *testing.T) {
	const trace = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	w := newWeb(t, mirror)
	requests := []string{
		"GET /a%20b//c?x=1&token=2 HTTP/1.1\r\nHost: x.test:81\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n" + trace + "X-Request-Id: 7\r\n\r\n",
		"GET /? HTTP/1.1\r\nHost: x\r\n" + trace + "\r\n",
		"GET /c HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: 7\r\n\r\n",
		"POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"PUT /d HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 9\r\nContent-Length: 5\r\n\r\nhello",
		"POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		fmt.Sprintf("POST /f HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 64<<10, strings.Repeat("f", 64<<10)),
		fmt.Sprintf("POST /g HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 64<<10+1, strings.Repeat("f", 64<<10+1)),
	}
	tell := func() []experiment.Exchange {
		var e ear
		w.set.Listen(e.hear)
		c := w.raw("")
		defer c.Close()
		br := bufio.NewReader(c)
		for i, r := range requests {
			go io.WriteString(c, r)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			until(t, "the record", func() bool { return len(e.told()) > i })
		}
		return e.told()
	}
	fast := tell()
	onEngine(t, w.edge)
	for i, x := range tell() {
		a, b := fast[i], x
		if a.LastIn.IsZero() || b.LastIn.IsZero() || a.Attempt == 0 && !a.Key.IsZero() || !a.Key.IsZero() && b.Attempt != 2*a.Attempt && b.Attempt != a.Attempt+1 {
			t.Errorf("%s: attempts %d and %d", a.Path, a.Attempt, b.Attempt)
		}
		if alike(a) != alike(b) {
			t.Errorf("the fast path tells\n%+v, the server\n%+v", a, b)
		}
	}
}

// alike is an exchange without what differs between two of one request.
func alike(x experiment.Exchange) string {
	var none time.Time
	x.Start, x.FirstByte, x.LastIn, x.End, x.Conn, x.Attempt = none, none, none, none, 0, 0
	return fmt.Sprintf("%+v", x)
}

// An exchange that begins unheard is told as far as it is known, and one that ends
// unheard is not; what comes after either is told whole.
func TestListeningBeginsAndEndsWithin(t *testing.T) {
	for _, way := range []string{"fast", "engine"} {
		t.Run(way, func(t *testing.T) {
			w := newWeb(t, mirror)
			w.set.Listen(nil)
			if way == "engine" {
				onEngine(t, w.edge)
			}
			c := w.raw("")
			br := bufio.NewReader(c)
			half := func(within func()) {
				before := w.set.Status()[0].Exchanges
				io.WriteString(c, "POST /x HTTP/1.1\r\nHost: x\r\nX-Request-Id: 1\r\nContent-Length: 10\r\n\r\nhello")
				until(t, "half of the request", func() bool { return w.set.Status()[0].Exchanges > before })
				within()
				io.WriteString(c, "world")
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(resp.Body); string(b) != "helloworld" || err != nil {
					t.Fatalf("%q, %v", b, err)
				}
			}
			var e ear
			half(func() { w.set.Listen(e.hear) })
			until(t, "the first", func() bool { return len(e.told()) == 1 })
			half(func() {})
			until(t, "the second", func() bool { return len(e.told()) == 2 })
			half(func() { w.set.Listen(nil) })
			half(func() {})
			half(func() { w.set.Listen(e.hear) })
			until(t, "the last", func() bool { return len(e.told()) == 3 })
			for i, x := range e.told() {
				if x.Method != "POST" || x.Path != "/x" || x.Host != "x" || x.BytesIn != 10 || x.BytesOut != 10 || x.Status != 200 || x.Cut || x.EndedBy != "callee" || x.RequestID.IsZero() || x.Keyed != experiment.ByRequestID {
					t.Errorf("%+v", x)
				}
				if i != 1 && !x.BodyHash.IsZero() || i == 1 && x.BodyHash.IsZero() {
					t.Errorf("%d: body %s", i, x.BodyHash)
				}
			}
		})
	}
}

// Whoever listens and stops at any time disturbs nobody, and is told nothing that is not
// so.
func TestListeningComesAndGoes(t *testing.T) {
	w := newWeb(t, mirror)
	if w.edge.Spec().Protocol != experiment.HTTP {
		t.Fatal(w.edge.Spec().Protocol)
	}
	tcp := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) { io.Copy(c, c) }))
	var told atomic.Int64
	hear := func(x *experiment.Exchange) {
		told.Add(1)
		http := x.Edge == "api -> auth"
		if x.End.Before(x.Start) || x.Cut || http && (x.Status != 200 || !strings.HasPrefix(x.Path, "/c") || x.BytesIn != x.BytesOut || x.EndedBy != "callee") {
			t.Errorf("%+v", x)
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			w.set.Listen(hear)
			id := fmt.Sprint(i)
			if i%3 == 0 {
				arm(t, w.edge, id, waiter{1})
			}
			w.set.Connections("")
			w.set.Listen(nil)
			w.edge.Lift(id)
		}
	}()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 60 {
				body := strings.Repeat("x", n*n*i)
				resp, err := w.client.Post(fmt.Sprintf("%s/c%d", w.url, n%5), "", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := io.ReadAll(resp.Body); string(b) != body || err != nil {
					t.Errorf("%d bytes of %d, %v", len(b), len(body), err)
				}
				resp.Body.Close()
				if n%10 == 0 {
					c := dial(t, tcp.Spec().Listen)
					ping(t, c)
					c.Close()
				}
			}
		})
	}
	all.Wait()
	close(stop)
	<-done
	w.set.Listen(hear)
	before := told.Load()
	w.ask("POST", "/c0", "x")
	until(t, "another", func() bool { return told.Load() > before })
}
