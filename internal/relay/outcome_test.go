package relay_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// ways of an exchange through an edge that sees requests.
var ways = []string{"fast", "engine", "h2c", "tls", "tls-h2"}

// crossing is an edge, and a callee that ends exchanges as their paths say.
type crossing struct {
	*world
	way      string
	edge     *relay.Edge
	url      string
	asked    chan struct{} // has one for each request that waits at the callee
	answered chan struct{} // has one for each answer that has begun
	sockets  atomic.Pointer[net.TCPConn]
	client   *http.Client
}

func newCrossing(t *testing.T, way string) *crossing {
	c := &crossing{world: newWorld(t), way: way, asked: make(chan struct{}, 10), answered: make(chan struct{}, 10)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(c.answer))
	spec := relay.Spec{To: "b", Protocol: experiment.HTTP}
	tr := &http.Transport{DisableCompression: true}
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			c.sockets.Store(conn.(*net.TCPConn))
		}
		return conn, err
	}
	scheme := "http://"
	switch way {
	case "h2c":
		srv.Config.Protocols, tr.Protocols = h2c(), h2c()
		srv.Start()
	case "tls", "tls-h2":
		a := newAuthority(t)
		srv.TLS = a.server(t)
		srv.EnableHTTP2 = way == "tls-h2"
		srv.StartTLS()
		spec.TLS = &relay.TLS{Certificate: a.show, Upstream: &tls.Config{RootCAs: a.roots}}
		tr.TLSClientConfig, tr.ForceAttemptHTTP2 = &tls.Config{RootCAs: a.roots}, way == "tls-h2"
		scheme = "https://"
	default:
		srv.Start()
	}
	t.Cleanup(srv.Close)
	t.Cleanup(tr.CloseIdleConnections)
	spec.Upstreams = []string{srv.Listener.Addr().String()}
	c.edge = c.openSpec(spec)
	if way == "engine" { // requests are looked at, and none fits
		err := c.edge.Arm(relay.Armed{ID: "idle", Name: "idle", Effect: answerer{418}, Match: &fault.Match{Path: "/nobody"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.url, c.client = scheme+c.edge.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}
	return c
}

// answer is the callee.
func (c *crossing) answer(w http.ResponseWriter, r *http.Request) {
	part := func(length string) {
		if length != "" {
			w.Header().Set("Content-Length", length)
		}
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
	}
	wait := func() {
		c.asked <- struct{}{}
		<-r.Context().Done()
	}
	if r.URL.Path == "/uploads" {
		c.asked <- struct{}{}
	}
	io.Copy(io.Discard, r.Body)
	switch strings.TrimPrefix(r.URL.Path, "/") {
	case "seconds":
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
	case "date":
		w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(429)
	case "nonsense":
		w.Header().Set("Retry-After", "soon")
	case "nothing":
		panic(http.ErrAbortHandler)
	case "lies":
		part("100")
		panic(http.ErrAbortHandler)
	case "breaks":
		part("")
		panic(http.ErrAbortHandler)
	case "silent":
		wait()
	case "stalls":
		part("100")
		wait()
	default:
		part("5")
	}
}

// ask sends a request and reads what comes, until hangUp, which is called once the
// callee has got it, ends that.
func (c *crossing) ask(path string, hangUp func(cancel func())) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	method, body := "GET", io.Reader(nil)
	if strings.HasPrefix(path, "POST ") {
		method, path, body = "POST", path[5:], strings.NewReader("body")
	}
	if path == "/uploads" { // and never ends
		r, w := io.Pipe()
		defer context.AfterFunc(ctx, func() { w.CloseWithError(context.Canceled) })()
		go io.WriteString(w, "half")
		body = r
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		c.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		resp, err := c.client.Do(req)
		if err == nil {
			c.answered <- struct{}{}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	if hangUp != nil {
		hangUp(cancel)
	}
	<-over
}

// drawn waits until an effect that the caller waits for has begun.
func (c *crossing) drawn(id string) {
	until(c, "a unit of "+id, func() bool { r, _ := c.edge.Receipt(id); return r.Injected > 0 })
}

type loser struct{ how relay.Ending }

func (l loser) LoseReply() relay.Ending { return l.how }

type breaker struct{}

func (breaker) Rewrite(r *relay.Reply) {
	if r.Hurt() {
		r.Body = io.MultiReader(io.LimitReader(r.Body, 2), broken{})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, relay.ErrBreak }

type limiter struct{}

func (limiter) Answer() relay.Answer {
	return relay.Answer{Status: 429, Header: http.Header{"Retry-After": {"3"}}}
}

// What is told of an exchange says how it ended, whichever way it went.
func TestOutcomes(t *testing.T) {
	type outcome struct {
		path   string
		effect relay.Effect // armed before
		during relay.Effect // armed while the callee is silent
		hangUp bool         // the caller does, once it is awaited
		reset  bool         // by a reset

		status int
		by     string
		cut    bool
		retry  time.Duration
		first  bool // a byte of the callee's came
	}
	const caller, callee, ours = experiment.EndedByCaller, experiment.EndedByCallee, experiment.EndedByRelay
	for name, o := range map[string]outcome{
		"whole":                         {path: "/whole", status: 200, by: callee, first: true},
		"whole, with a body":            {path: "POST /whole", status: 200, by: callee, first: true},
		"retry after seconds":           {path: "/seconds", status: 503, by: callee, retry: 7 * time.Second, first: true},
		"retry after a date":            {path: "/date", status: 429, by: callee, retry: time.Minute, first: true},
		"retry after nonsense":          {path: "/nonsense", status: 200, by: callee, first: true},
		"no answer":                     {path: "/nothing", by: callee, cut: true},
		"no answer to a body":           {path: "POST /nothing", by: callee, cut: true},
		"a lying length":                {path: "/lies", status: 200, by: callee, cut: true, first: true},
		"a broken answer":               {path: "/breaks", status: 200, by: callee, cut: true, first: true},
		"hung up awaiting":              {path: "/silent", hangUp: true, by: caller, cut: true},
		"hung up awaiting, with a body": {path: "POST /silent", hangUp: true, by: caller, cut: true},
		"reset awaiting":                {path: "/silent", hangUp: true, reset: true, by: caller, cut: true},
		"hung up within":                {path: "/stalls", hangUp: true, status: 200, by: caller, cut: true, first: true},
		"hung up within its request":    {path: "POST /uploads", hangUp: true, by: caller, cut: true},
		"reset within its request":      {path: "POST /uploads", hangUp: true, reset: true, by: caller, cut: true},
		"reset within":                  {path: "/stalls", hangUp: true, reset: true, status: 200, by: caller, cut: true, first: true},
		"answered by a fault":           {path: "/whole", effect: answerer{503}, status: 503, by: ours},
		"limited by a fault":            {path: "/whole", effect: limiter{}, status: 429, by: ours, retry: 3 * time.Second},
		"closed by a fault":             {path: "/whole", effect: ender{how: relay.Close}, by: ours, cut: true},
		"reset by a fault":              {path: "/whole", effect: ender{how: relay.Reset}, by: ours, cut: true},
		"reply lost by a fault":         {path: "/whole", effect: loser{relay.Close}, status: 200, by: ours, cut: true, first: true},
		"truncated by a fault":          {path: "/whole", effect: breaker{}, status: 200, by: ours, cut: true, first: true},
		"slow by a fault":               {path: "/whole", effect: waiter{20 * time.Millisecond}, status: 200, by: callee, first: true},
		"hung up delayed":               {path: "/whole", effect: waiter{time.Hour}, hangUp: true, by: caller, cut: true},
		"hung up delayed, with a body":  {path: "POST /whole", effect: waiter{time.Hour}, hangUp: true, by: caller, cut: true},
		"hung up swallowed":             {path: "/whole", effect: hole{}, hangUp: true, by: caller, cut: true},
		"hung up held":                  {path: "/whole", effect: cut{up: true}, hangUp: true, by: caller, cut: true},
		"hung up, the answer delayed":   {path: "/whole", effect: slow(time.Hour, relay.Down), hangUp: true, by: caller, cut: true, first: true},
		"swept away":                    {path: "/silent", during: killer{how: relay.Reset}, by: ours, cut: true},
		"hung up held since":            {path: "/silent", during: cut{up: true, down: true}, hangUp: true, by: caller, cut: true},
	} {
		for _, way := range ways {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				c := newCrossing(t, way)
				if o.effect != nil {
					arm(t, c.edge, "hurt", o.effect)
				}
				var gone time.Time
				hangUp := func(cancel func()) {
					if o.effect != nil {
						c.drawn("hurt")
					} else {
						<-c.asked
					}
					if o.status > 0 {
						<-c.answered
					}
					if o.during != nil {
						arm(t, c.edge, "during", o.during)
					}
					if gone = time.Now(); o.reset && (way == "fast" || way == "engine") {
						c.sockets.Load().SetLinger(0)
						c.sockets.Load().Close()
					}
					if o.hangUp {
						cancel()
					}
				}
				if !o.hangUp && o.during == nil {
					hangUp = nil
				}
				began := time.Now()
				c.ask(o.path, hangUp)
				until(t, "the record", func() bool { return len(c.exchanges()) > 0 })
				if n := len(c.exchanges()); n != 1 {
					t.Errorf("%d exchanges", n)
				}
				x := c.exchanges()[0]
				if x.Status != o.status || x.EndedBy != o.by || x.Cut != o.cut || x.FirstByte.IsZero() == o.first {
					t.Errorf("status %d, ended by %s, cut %v, first byte %s; %+v", x.Status, x.EndedBy, x.Cut, x.FirstByte, x)
				}
				if r := x.RetryAfter.Std(); r > o.retry || r < o.retry-3*time.Second || (r == 0) != (o.retry == 0) {
					t.Errorf("retry after %s, not %s", r, o.retry)
				}
				if hurt := o.effect != nil || o.during != nil; hurt != (len(x.Faults) > 0) {
					t.Errorf("faults %v", x.Faults)
				}
				if x.Start.Before(began) || x.End.Before(x.Start) || x.FirstByte.After(x.End) || !x.LastIn.IsZero() && x.LastIn.After(x.End) {
					t.Errorf("times: %+v", x)
				}
				if o.hangUp && (x.End.Before(gone) || x.End.Sub(gone) > patience/4) {
					t.Errorf("the caller hung up %s before the end", x.End.Sub(gone))
				}
			})
		}
	}
}
