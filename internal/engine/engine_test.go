package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func testMain(m *testing.M) int {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// shop is two services behind relays, and an engine over them.
type shop struct {
	*Engine
	set  *relay.Set
	auth *httptest.Server
	db   *httptest.Server
	hit  atomic.Int64 // requests that reached auth-service
}

func newShop(t *testing.T, change func(*experiment.TopologySpec)) *shop {
	t.Helper()
	s := &shop{}
	s.auth = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.hit.Add(1)
		_, _ = io.WriteString(w, "ok")
	}))
	s.db = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "row") }))
	top := &experiment.Topology{
		APIVersion: experiment.APIVersion, Kind: "Topology", Metadata: experiment.Meta{Name: "shop"},
		Spec: experiment.TopologySpec{
			Environment: "development",
			Services: map[string]experiment.Service{
				"api-service":  {Address: s.auth.Listener.Addr().String(), Protocol: experiment.HTTP},
				"auth-service": {Address: s.auth.Listener.Addr().String(), Protocol: experiment.HTTP},
				"db-service":   {Address: s.db.Listener.Addr().String(), Protocol: experiment.TCP},
			},
			Edges: []experiment.Edge{
				{From: "api-service", To: "auth-service", Listen: "127.0.0.1:0"},
				{From: "api-service", To: "db-service", Listen: "127.0.0.1:0"},
			},
		},
	}
	if change != nil {
		change(&top.Spec)
	}
	s.set = relay.NewSet(relay.Options{})
	for _, e := range top.Spec.Edges {
		err := s.set.Open(context.Background(), relay.Spec{
			From: e.From, To: e.To, Protocol: top.Spec.EdgeProtocol(e), Listen: e.Listen,
			Upstreams: []string{top.Spec.Services[e.To].Address},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := New(context.Background(), Config{
		Topology: top, Relays: s.set, Drivers: []driver.Driver{driverrelay.New(s.set)}, StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Engine = e
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.set.Shutdown(ctx)
		s.auth.Close()
		s.db.Close()
	})
	return s
}

func (s *shop) addr(t *testing.T, edge string) string {
	t.Helper()
	for _, e := range s.set.Status() {
		if e.Name == edge {
			return e.Listen
		}
	}
	t.Fatalf("no edge %s", edge)
	return ""
}

const (
	toAuth = "api-service -> auth-service"
	toDB   = "api-service -> db-service"
)

func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 300}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// get returns the status of one request, 0 if it failed, and how long it took.
func get(c *http.Client, addr string) (int, time.Duration) {
	began := time.Now()
	resp, err := c.Get("http://" + addr + "/x")
	if err != nil {
		return 0, time.Since(began)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return 0, time.Since(began)
	}
	return resp.StatusCode, time.Since(began)
}

func one(kind *fault.Kind, params fault.Params, service string) experiment.InjectRequest {
	return experiment.InjectRequest{Faults: []fault.Fault{{Kind: kind.Name, Params: params, Target: fault.Target{Service: service}}}}
}

func slowAuth(d time.Duration) experiment.InjectRequest {
	return one(fault.NetLatency, &fault.Latency{Delay: fault.Duration(d), Direction: fault.Response}, "auth-service")
}

func must(t *testing.T, s *shop, r experiment.InjectRequest) experiment.Injection {
	t.Helper()
	in, err := s.Inject(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestLatencyOnOneEdgeOnly(t *testing.T) {
	t.Parallel()
	s, c := newShop(t, nil), newClient(t)
	auth, db := s.addr(t, toAuth), s.addr(t, toDB)
	if code, took := get(c, auth); code != 200 || took > 250*time.Millisecond {
		t.Fatalf("before: %d %s", code, took)
	}
	in := must(t, s, slowAuth(300*time.Millisecond))
	if code, took := get(c, auth); code != 200 || took < 300*time.Millisecond {
		t.Errorf("during, on an open connection: %d %s", code, took)
	}
	if code, took := get(c, db); code != 200 || took > 250*time.Millisecond {
		t.Errorf("the other edge: %d %s", code, took)
	}
	st := s.Status(context.Background())
	if len(st.Injections) != 1 || st.Injections[0].Receipt().Injected != 1 {
		t.Errorf("status: %+v", st.Injections)
	}
	if got := st.Edges[slices.IndexFunc(st.Edges, func(e experiment.EdgeStatus) bool { return e.Name == toAuth })].Faults; !slices.Equal(got, []string{in.ID}) {
		t.Errorf("faults on the edge: %q", got)
	}
	if _, err := s.Halt(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if code, took := get(c, auth); code != 200 || took > 250*time.Millisecond {
		t.Errorf("after halt: %d %s", code, took)
	}
}

func TestLeaseEndsByItself(t *testing.T) {
	t.Parallel()
	s, c := newShop(t, nil), newClient(t)
	r := one(fault.HTTPStatus, &fault.Status{Code: 503}, "auth-service")
	r.For = fault.Duration(400 * time.Millisecond)
	events := s.Subscribe(t.Context(), 0)
	in := must(t, s, r)
	if code, _ := get(c, s.addr(t, toAuth)); code != 503 {
		t.Fatalf("during: %d", code)
	}
	for ev := range events {
		if ev.Type == "expired" && ev.ID == in.ID {
			break
		}
	}
	if code, _ := get(c, s.addr(t, toAuth)); code != 200 {
		t.Errorf("after the lease: %d", code)
	}
	if n := len(s.Status(context.Background()).Injections); n != 0 {
		t.Errorf("%d injections left", n)
	}
	if was, err := s.Lift(context.Background(), in.ID); err != nil || was.State != experiment.Expired {
		t.Errorf("lifting what has expired: %v %v", was.State, err)
	}
}

func TestShareIsRepeatable(t *testing.T) {
	t.Parallel()
	var rounds [2][]int
	for i := range rounds {
		s, c := newShop(t, nil), newClient(t)
		r := one(fault.HTTPStatus, &fault.Status{Code: 503}, "auth-service")
		seed := uint64(42)
		r.Faults[0].Share, r.Seed = 0.2, &seed
		in := must(t, s, r)
		for n := range 1000 {
			if code, _ := get(c, s.addr(t, toAuth)); code == 503 {
				rounds[i] = append(rounds[i], n)
			} else if code != 200 {
				t.Fatalf("request %d: %d", n, code)
			}
		}
		lifted, err := s.Lift(context.Background(), in.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got := lifted.Receipt(); got != (fault.Receipt{Unit: fault.Exchange, Matched: 1000, Injected: uint64(len(rounds[i])), Skipped: uint64(1000 - len(rounds[i]))}) {
			t.Errorf("receipt %+v, the client saw %d", got, len(rounds[i]))
		}
	}
	if n := len(rounds[0]); n < 150 || n > 250 {
		t.Errorf("%d of 1000 were hit", n)
	}
	if !slices.Equal(rounds[0], rounds[1]) {
		t.Error("the same seed hit other requests")
	}
}

func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	s, c := newShop(t, nil), newClient(t)
	r := slowAuth(time.Second)
	r.Faults = append(r.Faults, one(fault.HTTPStatus, &fault.Status{Code: 500}, "db-service").Faults...) // a tcp edge: cannot be
	_, err := s.Inject(context.Background(), r)
	var e *experiment.Error
	if !errors.As(err, &e) || e.Code != experiment.Unsupported {
		t.Fatalf("error %v", err)
	}
	if code, took := get(c, s.addr(t, toAuth)); code != 200 || took > 500*time.Millisecond {
		t.Errorf("half of it stayed in force: %d %s", code, took)
	}
	if n := len(s.Status(context.Background()).Injections); n != 0 {
		t.Errorf("%d injections left", n)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	protect := func(p ...experiment.Protected) func(*experiment.TopologySpec) {
		return func(s *experiment.TopologySpec) { s.Guard.Protect = p }
	}
	latency := slowAuth(time.Second)
	refuse := one(fault.NetRefuse, &fault.Refuse{}, "auth-service")
	allowed := slowAuth(time.Second)
	allowed.AllowProduction = true
	for _, tc := range []struct {
		name   string
		change func(*experiment.TopologySpec)
		req    experiment.InjectRequest
		want   string // part of the refusal; empty: it is allowed
	}{
		{"development", nil, latency, ""},
		{"production", func(s *experiment.TopologySpec) { s.Environment = "production" }, latency, "production"},
		{"production allowed", func(s *experiment.TopologySpec) { s.Environment = "production" }, allowed, ""},
		{"protected service", protect(experiment.Protected{Service: "auth-service"}), latency, "auth-service is protected"},
		{"another is protected", protect(experiment.Protected{Service: "db-service"}), latency, ""},
		{"protected path, whole connections", protect(experiment.Protected{Service: "auth-service", Path: "/login"}), refuse, "/login of it is protected"},
		{"protected path, requests", protect(experiment.Protected{Service: "auth-service", Path: "/login"}), latency, ""},
		{"radius", func(s *experiment.TopologySpec) { s.Guard.MaxEdges = 0.5 }, latency, "1 of 1 edges of auth-service"},
		{"radius kept", func(s *experiment.TopologySpec) {
			s.Guard.MaxEdges = 0.5
			s.Edges = append(s.Edges, experiment.Edge{From: "db-service", To: "auth-service"})
		}, latency, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, c := newShop(t, tc.change), newClient(t)
			_, err := s.Inject(context.Background(), tc.req)
			var e *experiment.Error
			switch {
			case tc.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case tc.want != "" && (!errors.As(err, &e) || e.Code != experiment.Guarded || !strings.Contains(e.Message, tc.want) || e.Hint == ""):
				t.Fatalf("error %v", err)
			}
			if tc.want != "" {
				if code, took := get(c, s.addr(t, toAuth)); code != 200 || took > 500*time.Millisecond {
					t.Errorf("refused and yet in force: %d %s", code, took)
				}
			}
		})
	}
}

// A protected route is never touched, and its neighbours are.
func TestProtectedRoute(t *testing.T) {
	t.Parallel()
	s, c := newShop(t, func(s *experiment.TopologySpec) {
		s.Guard.Protect = []experiment.Protected{{Service: "auth-service", Path: "/login/*"}}
	}), newClient(t)
	must(t, s, one(fault.HTTPStatus, &fault.Status{Code: 503}, "auth-service"))
	for path, want := range map[string]int{"/login/a": 200, "/other": 503} {
		resp, err := c.Get("http://" + s.addr(t, toAuth) + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// A hundred at once, under 200 busy connections, and nothing is left behind.
func TestConcurrentInjectLiftHalt(t *testing.T) {
	s := newShop(t, nil)
	goroutines, files := runtime.NumGoroutine(), openFiles()
	ctx, cancel := context.WithCancel(context.Background())
	var busy sync.WaitGroup
	addrs := []string{s.addr(t, toAuth), s.addr(t, toDB)}
	for i := range 200 {
		busy.Go(func() {
			c := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				get(c, addrs[i%2])
			}
		})
	}
	var took []time.Duration
	var mu sync.Mutex
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			for range 5 {
				began := time.Now()
				in, err := s.Inject(ctx, slowAuth(time.Duration(1+i%5)*time.Millisecond))
				if err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					_, err = s.Halt(ctx, "test")
				} else {
					_, err = s.Lift(ctx, in.ID)
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(began)/2)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	cancel()
	busy.Wait()
	if n := len(s.Status(context.Background()).Injections); n != 0 {
		t.Errorf("%d injections left", n)
	}
	// What is kept alive on purpose is small: idle connections to the backends.
	const idle = 32
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > goroutines+2*idle || openFiles() > files+2*idle {
		if time.Now().After(deadline) {
			t.Fatalf("goroutines %d -> %d, descriptors %d -> %d", goroutines, runtime.NumGoroutine(), files, openFiles())
		}
		runtime.Gosched()
	}
	slices.Sort(took)
	t.Logf("median of a call %s, longest %s, %d goroutines", took[len(took)/2], took[len(took)-1], runtime.NumGoroutine())
}

func TestLiftUnknown(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, err := s.Lift(context.Background(), "f-nothere")
	var e *experiment.Error
	if !errors.As(err, &e) || e.Code != experiment.NotFound || e.ExitCode() != experiment.ExitInput {
		t.Fatalf("error %v", err)
	}
}

func TestPartitionCutsTheEdge(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 300 * time.Millisecond}
	must(t, s, experiment.InjectRequest{Faults: []fault.Fault{{
		Kind: fault.NetPartition.Name, Target: fault.Target{From: []string{"api-service"}, To: []string{"db-service"}},
	}}})
	if code, _ := get(c, s.addr(t, toDB)); code != 0 {
		t.Errorf("through the cut: %d", code)
	}
	if code, _ := get(c, s.addr(t, toAuth)); code != 200 {
		t.Errorf("beside the cut: %d", code)
	}
	if _, err := s.Halt(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(c, s.addr(t, toDB)); code != 200 {
		t.Errorf("after the heal: %d", code)
	}
}

// openFiles counts our descriptors; 0 where the system does not tell.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
