package shop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient are options under which a loaded machine does not time out.
func patient() Options { return Options{Timeout: Wait(10 * time.Second)} }

func start(t *testing.T, o Options) *Shop {
	t.Helper()
	s, err := Start(t.Context(), Config{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func get(t *testing.T, url string, into any) int {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	return resp.StatusCode
}

func checkout(t *testing.T, s *Shop) (int, Checkout) {
	t.Helper()
	var c Checkout
	return get(t, s.URL()+"/checkout", &c), c
}

// nowhere is an address at which connections are refused.
func nowhere(t *testing.T) string {
	t.Helper()
	// The near end of a connection: a port that is taken, so that no other test
	// is given it, and on which nobody listens.
	c, err := net.Dial("tcp", listen(t).Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l := listen(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// counting is an auth-service that notes when it was asked and fails while
// broken says so.
type counting struct {
	addr string

	mu     sync.Mutex
	broken bool
	asked  []time.Time
	header http.Header // of the last request
}

func count(t *testing.T, broken bool) *counting {
	c := &counting{broken: broken}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked, c.header = append(c.asked, time.Now()), r.Header.Clone()
		if c.broken {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		reply(w, http.StatusOK, user{Name: "grace"})
	}))
	t.Cleanup(srv.Close)
	c.addr = srv.Listener.Addr().String()
	return c
}

func (c *counting) times() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Time(nil), c.asked...)
}

func (c *counting) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = false
}

func TestAllIsWell(t *testing.T) {
	s := start(t, patient())
	status, c := checkout(t, s)
	if status != 200 || c.User != "ada" || len(c.Items) != 3 || c.Stock != 42 || c.Source != Live {
		t.Errorf("checkout: %d %+v", status, c)
	}
	var l Listing
	if status := get(t, s.URL()+"/catalog", &l); status != 200 || len(l.Items) != 3 || l.Source != Live {
		t.Errorf("catalog: %d %+v", status, l)
	}
	for _, name := range []string{API, Auth, Catalog} {
		if status := get(t, "http://"+s.Addresses()[name]+"/healthz", nil); status != 200 {
			t.Errorf("%s: healthz: %d", name, status)
		}
	}
}

// TestDependencyDown takes one dependency away and gives it back: what users
// get before, while and after.
func TestDependencyDown(t *testing.T) {
	noFallback, noCache, noStock := patient(), patient(), patient()
	noFallback.NoFallback, noCache.NoCache, noStock.NoStockFallback = true, true, true
	for _, tc := range []struct {
		name   string
		edge   string
		o      Options
		status int
		source Source
	}{
		{"auth, all defences", APIToAuth, patient(), 200, Cache},
		{"auth, no fallback", APIToAuth, noFallback, 503, ""},
		{"auth, no cache", APIToAuth, noCache, 200, Fallback},
		{"catalog, all defences", APIToCatalog, patient(), 200, Cache},
		{"catalog, no fallback", APIToCatalog, noFallback, 503, ""},
		{"db, all defences", APIToDB, patient(), 200, Cache},
		{"db, no stock fallback", APIToDB, noStock, 503, ""},
		{"db of the catalog", CatalogToDB, noStock, 200, Cache},
		{"db of the catalog, no fallback", CatalogToDB, noFallback, 503, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tc.o)
			if status, c := checkout(t, s); status != 200 || c.Source != Live {
				t.Fatalf("before: %d %+v", status, c)
			}
			if err := s.Route(tc.edge, nowhere(t)); err != nil {
				t.Fatal(err)
			}
			if status, c := checkout(t, s); status != tc.status || c.Source != tc.source {
				t.Errorf("while it is down: %d %+v, want %d from %q", status, c, tc.status, tc.source)
			}
			callee := callees()[tc.edge]
			if err := s.Route(tc.edge, s.Addresses()[callee]); err != nil {
				t.Fatal(err)
			}
			if status, c := checkout(t, s); status != 200 || c.Source != Live {
				t.Errorf("after: %d %+v", status, c)
			}
		})
	}
}

// TestTimeout: a dependency that never answers costs three short tries, or,
// without a timeout, all the time the user has.
func TestTimeout(t *testing.T) {
	for _, edge := range []string{APIToAuth, APIToDB} {
		t.Run(edge, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{})
			s.Route(edge, silent(t))
			if status, c := checkout(t, s); status != 200 || c.Source != Fallback {
				t.Errorf("with a timeout: %d %+v", status, c)
			}
			w := start(t, Options{NoTimeout: true})
			w.Route(edge, silent(t))
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
			if resp, err := c.Get(w.URL() + "/checkout"); err == nil {
				resp.Body.Close()
				t.Errorf("without a timeout: answered %d within a second", resp.StatusCode)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	t.Run("three tries, pauses that grow", func(t *testing.T) {
		t.Parallel()
		auth := count(t, true)
		s := start(t, patient())
		s.Route(APIToAuth, auth.addr)
		checkout(t, s)
		at := auth.times()
		if len(at) != 3 {
			t.Fatalf("asked %d times, want 3", len(at))
		}
		if a, b := at[1].Sub(at[0]), at[2].Sub(at[1]); a < firstPause/2 || b < firstPause {
			t.Errorf("pauses %s and %s, want at least %s and %s", a, b, firstPause/2, firstPause)
		}
	})
	t.Run("forever, without delay", func(t *testing.T) {
		t.Parallel()
		auth := count(t, true)
		o := patient()
		o.RetryForever, o.RetryNoDelay = true, true
		s := start(t, o)
		s.Route(APIToAuth, auth.addr)
		done := make(chan int)
		go func() { done <- get(t, s.URL()+"/checkout", nil) }()
		for len(auth.times()) < 20 { // far beyond three: it does not give up
			select {
			case status := <-done:
				t.Fatalf("gave up after %d tries with %d", len(auth.times()), status)
			default:
			}
		}
		auth.mend()
		if status := <-done; status != 200 {
			t.Errorf("after the mend: %d", status)
		}
	})
}

func TestBreaker(t *testing.T) {
	tries := func(o Options) int {
		auth := count(t, true)
		o.Tries = 1
		s := start(t, o)
		s.Route(APIToAuth, auth.addr)
		for range 4 * opensAfter {
			checkout(t, s)
		}
		return len(auth.times())
	}
	// The cool-down may pass on a slow machine and let a trial or two through.
	if n := tries(patient()); n < opensAfter || n > 2*opensAfter {
		t.Errorf("with a breaker: %d tries, want about %d", n, opensAfter)
	}
	o := patient()
	o.NoBreaker = true
	if n := tries(o); n != 4*opensAfter {
		t.Errorf("without one: %d tries, want %d", n, 4*opensAfter)
	}
}

func TestTraceIsPassedOn(t *testing.T) {
	auth := count(t, false)
	s := start(t, patient())
	s.Route(APIToAuth, auth.addr)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/checkout", nil)
	if err != nil {
		t.Fatal(err)
	}
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	req.Header.Set("traceparent", trace)
	req.Header.Set("Authorization", "secret")
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := auth.header.Get("traceparent"); got != trace {
		t.Errorf("traceparent %q, want %q", got, trace)
	}
	if got := auth.header.Get("Authorization"); got != "" {
		t.Errorf("Authorization was passed on: %q", got)
	}
}

func TestDBProtocol(t *testing.T) {
	s := start(t, Options{})
	c, err := net.Dial("tcp", s.Addresses()[DB])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, tc := range [][2]string{
		{"GET stock\n", "VALUE 42\n"}, {"GET stock\r\n", "VALUE 42\n"}, {"GET nothing\n", "NONE\n"},
		{"DROP stock\n", "ERROR say GET and a key\n"},
	} {
		fmt.Fprint(c, tc[0])
		if got, err := r.ReadString('\n'); got != tc[1] {
			t.Errorf("%q: %q, %v, want %q", tc[0], got, err, tc[1])
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after an error: %v, want EOF", err)
	}
}

func TestStartRefuses(t *testing.T) {
	if _, err := Start(t.Context(), Config{Listen: map[string]string{"nobody": ""}}); err == nil {
		t.Error("an unknown service is taken")
	}
	if _, err := Start(t.Context(), Config{Routes: map[string]string{"a -> b": ""}}); err == nil {
		t.Error("an unknown edge is taken")
	}
	busy := listen(t)
	if _, err := Start(t.Context(), Config{Listen: map[string]string{API: busy.Addr().String()}}); err == nil {
		t.Error("a busy port is taken")
	}
	s := start(t, Options{})
	if err := s.Route("a -> b", "127.0.0.1:1"); err == nil {
		t.Error("an unknown edge is routed")
	}
}

// TestCloseInFlight: Close ends also when requests wait for ever.
func TestCloseInFlight(t *testing.T) {
	s := start(t, Options{NoTimeout: true, RetryForever: true})
	deaf := silent(t)
	for _, edge := range Edges() {
		s.Route(edge, deaf)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if resp, err := c.Get(s.URL() + "/checkout"); err == nil {
				resp.Body.Close()
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
