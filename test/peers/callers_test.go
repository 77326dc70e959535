package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// finding is what an inference says of itself.
type finding struct {
	Known   bool
	Samples int
	Why     string
}

// behaviour is what a run's record says of the caller of an edge.
type behaviour struct {
	Edge     string
	Grouping struct {
		Calls uint64
		By    map[string]uint64
		Sure  float64
		Why   string
	}
	Tries struct {
		finding
		Most    int
		Endless bool
	}
	Spacing struct {
		finding
		Kind        string
		Jitter      bool
		Base        span
		Factor      float64
		Step        span
		FirstAtOnce bool
		Waits       []span
	}
	Timeout struct {
		finding
		PerTry, AtLeast, Total span
		None                   bool
	}
	Breaker struct {
		finding
		Seen        bool
		OpensAfter  int
		ShareBefore float64
		OpenFor     span
		HalfOpen    finding
		Probes      int
		Closed      finding
		ClosedAfter span
	}
}

// span is a duration, as text in JSON.
type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = span(d)
	return err
}

func (s span) String() string { return time.Duration(s).String() }

// near tells whether a figure is right within 10 % or 5 ms.
func near(got span, want time.Duration) bool {
	return math.Abs(float64(got)-float64(want)) <= max(0.1*float64(want), float64(5*time.Millisecond))
}

// caller is a service made with somebody's library: it is started, told where its
// backend is, and answers each GET with what became of one call.
type caller struct {
	address string
	tell    func(backend string)
}

// goCaller serves in this process.
func goCaller(t *testing.T, handler func(t *testing.T, backend string) http.HandlerFunc) caller {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return caller{ln.Addr().String(), func(backend string) {
		h := handler(t, backend)
		s := &http.Server{Handler: h}
		var group sync.WaitGroup
		group.Go(func() { _ = s.Serve(ln) })
		t.Cleanup(func() { _ = s.Close(); group.Wait() })
	}}
}

// program runs one in another language; it prints its port and reads the backend.
func program(t *testing.T, argv ...string) caller {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", argv[0], err, errs.String())
		}
	})
	var port int
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatalf("%s says no port: %v\n%s", argv[0], err, errs.String())
	}
	return caller{fmt.Sprintf("127.0.0.1:%d", port), func(backend string) {
		if _, err := fmt.Fprintln(in, backend); err != nil {
			t.Error(err)
		}
	}}
}

// answer makes a service of one call, and hands the trace on.
func answer(call func(r *http.Request) (int, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, err := call(r)
		if err != nil {
			status = http.StatusBadGateway
		}
		w.WriteHeader(status)
	}
}

// observe runs an experiment that hurts front -> back and returns what was seen of the
// front.
func observe(t *testing.T, c caller, backend, path, rate, hurtFor, faults, recovery string) behaviour {
	t.Helper()
	s := serve(t, fmt.Sprintf(`apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: callers}
spec:
  environment: test
  services:
    front: {address: %q, protocol: http}
    back: {address: %q, protocol: http}
  edges:
    - {from: front, to: back, listen: "127.0.0.1:0"}
`, c.address, backend))
	c.tell("http://" + s.listens["front -> back"])
	file := filepath.Join(t.TempDir(), "experiment.yaml")
	document := fmt.Sprintf(`apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: caller}
spec:
  traffic: [{name: look, service: front, http: {path: %s}, rate: %s, timeout: 10s}]
  steady: {for: 1500ms}
  steps:
    - for: %s
      faults: [%s]
  recovery: {within: %s, hold: 1s}
`, path, rate, hurtFor, faults, recovery)
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chaosctl, "run", file, "--quiet", "-o", "json")
	cmd.Env = append(os.Environ(), "CHAOSCTL_SERVER="+s.api, "CHAOSCTL_STATE_DIR="+s.state)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var record struct {
		Behaviour []behaviour
		Verdict   struct{ Reasons []string }
	}
	if jerr := json.Unmarshal(out, &record); jerr != nil {
		t.Fatalf("chaosctl run: %v, %v\n%s\n%s", err, jerr, errs.String(), out)
	}
	for _, b := range record.Behaviour {
		if b.Edge == "front -> back" {
			t.Logf("%+v", b)
			return b
		}
	}
	t.Fatalf("nothing was seen of the front: %v", record.Verdict.Reasons)
	return behaviour{}
}

// The paths of users: for one the trace is handed on, for the other no id is.
const traced, untraced = "/look", "/untraced"

const failing = `{kind: http.status, target: {edge: front -> back}, params: {code: 503}}`
const silent = `{kind: net.blackhole, target: {edge: front -> back}}`

// TestCallers has services made with other people's libraries watched, and compares
// what is said of them with how they are set up.
func TestCallers(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "{}") }))
	t.Cleanup(back.Close)
	address := back.Listener.Addr().String()

	t.Run("urllib3 Retry", func(t *testing.T) {
		t.Parallel()
		b := observe(t, python(t, "urllib3"), address, traced, "8/s", "5s", failing, "2s")
		expectTries(t, b, 4)
		// The first retry comes at once, the others after 0.1 * 2^n seconds.
		if s := b.Spacing; !s.Known || s.Kind != "exponential" || !s.FirstAtOnce || s.Jitter || !near(s.Base, 200*time.Millisecond) || math.Abs(s.Factor-2) > 0.2 {
			t.Errorf("spacing %+v", s)
		}
	})
	t.Run("requests without timeout", func(t *testing.T) {
		t.Parallel()
		b := observe(t, python(t, "plain"), address, traced, "3/s", "7s", silent, "3s")
		if to := b.Timeout; !to.Known || !to.None || time.Duration(to.AtLeast) < 5*time.Second {
			t.Errorf("timeout %+v", to)
		}
	})
	t.Run("requests with timeout", func(t *testing.T) {
		t.Parallel()
		b := observe(t, python(t, "timeout"), address, traced, "8/s", "3s", silent, "2s")
		expectTimeout(t, b, 300*time.Millisecond)
		expectTries(t, b, 1)
	})
	for _, path := range []string{traced, untraced} {
		t.Run("go-retryablehttp "+path, func(t *testing.T) {
			t.Parallel()
			b := observe(t, goCaller(t, retryable), address, path, "8/s", "4s", failing, "2s")
			expectTries(t, b, 4)
			if s := b.Spacing; !s.Known || s.Kind != "exponential" || s.FirstAtOnce || s.Jitter || !near(s.Base, 50*time.Millisecond) || math.Abs(s.Factor-2) > 0.2 {
				t.Errorf("spacing %+v", s)
			}
			by := "trace"
			if path == untraced {
				by = "body"
			}
			if g := b.Grouping; g.By[by] == 0 || g.By[by] != g.Calls || g.Sure < 0.9 || (by == "trace") != (g.Sure == 1) {
				t.Errorf("grouping %+v", g)
			}
		})
	}
	t.Run("gobreaker", func(t *testing.T) {
		t.Parallel()
		b := observe(t, goCaller(t, breaking), address, traced, "50/s", "4s", failing, "3s")
		k := b.Breaker
		if !k.Known || !k.Seen || k.OpensAfter != 5 || !openFor(k.OpenFor, 500*time.Millisecond, 20*time.Millisecond) {
			t.Errorf("breaker %+v", k)
		}
		if !k.HalfOpen.Known || k.Probes != 1 || !k.Closed.Known || k.ClosedAfter <= 0 {
			t.Errorf("breaker %+v", k)
		}
	})
	t.Run("axios-retry", func(t *testing.T) {
		t.Parallel()
		b := observe(t, node(t, "retry"), address, traced, "5/s", "6s", failing, "2s")
		expectTries(t, b, 4)
		// 100 ms * 2^n, and up to a fifth more: 220 ms in the middle.
		if s := b.Spacing; !s.Known || s.Kind != "exponential" || s.FirstAtOnce || !s.Jitter || !near(s.Base, 220*time.Millisecond) || math.Abs(s.Factor-2) > 0.2 {
			t.Errorf("spacing %+v", s)
		}
	})
	t.Run("axios with timeout", func(t *testing.T) {
		t.Parallel()
		expectTimeout(t, observe(t, node(t, "timeout"), address, traced, "8/s", "3s", silent, "2s"), 300*time.Millisecond)
	})
	t.Run("opossum", func(t *testing.T) {
		t.Parallel()
		b := observe(t, node(t, "opossum"), address, traced, "50/s", "4s", failing, "3s")
		k := b.Breaker
		if !k.Known || !k.Seen || math.Abs(k.ShareBefore-0.5) > 0.05 || !openFor(k.OpenFor, 500*time.Millisecond, 20*time.Millisecond) {
			t.Errorf("breaker %+v", k)
		}
		if !k.HalfOpen.Known || k.Probes != 1 || !k.Closed.Known || k.ClosedAfter <= 0 {
			t.Errorf("breaker %+v", k)
		}
	})
	t.Run("gRPC service config", func(t *testing.T) {
		t.Parallel()
		addr, _ := grpcServer(t)
		b := observe(t, goCaller(t, byGRPC), addr, traced, "8/s", "5s", `{kind: grpc.status, target: {edge: front -> back}, params: {code: UNAVAILABLE}}`, "2s")
		expectTries(t, b, 4)
		// 100 ms * 2^n, a fifth more or less (gRFC A6).
		if s := b.Spacing; !s.Known || s.Kind != "exponential" || !s.Jitter || !near(s.Base, 100*time.Millisecond) || math.Abs(s.Factor-2) > 0.2 {
			t.Errorf("spacing %+v", s)
		}
	})
}

// openFor is how long a breaker is seen to be open: until the first request after it
// may be asked again, which comes within one interval of the traffic.
func openFor(got span, want, interval time.Duration) bool {
	return time.Duration(got) >= want-5*time.Millisecond && time.Duration(got) <= want+max(want/10, interval+10*time.Millisecond)
}

func expectTries(t *testing.T, b behaviour, most int) {
	t.Helper()
	if !b.Tries.Known || b.Tries.Most != most || b.Tries.Endless {
		t.Errorf("tries %+v, want %d", b.Tries, most)
	}
}

func expectTimeout(t *testing.T, b behaviour, want time.Duration) {
	t.Helper()
	if !b.Timeout.Known || b.Timeout.None || !near(b.Timeout.PerTry, want) {
		t.Errorf("timeout %+v, want %s", b.Timeout, want)
	}
}

// trace hands the trace of a request on.
func trace(from *http.Request, to http.Header) {
	if id := from.Header.Get("Traceparent"); id != "" && from.URL.Path == traced {
		to.Set("Traceparent", id)
	}
}

func retryable(t *testing.T, backend string) http.HandlerFunc {
	c := retryablehttp.NewClient()
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax, c.Logger = 3, 50*time.Millisecond, time.Second, nil
	t.Cleanup(c.HTTPClient.CloseIdleConnections)
	return answer(func(r *http.Request) (int, error) {
		req, err := retryablehttp.NewRequestWithContext(r.Context(), http.MethodGet, backend+r.URL.Path, nil)
		if err != nil {
			return 0, err
		}
		trace(r, req.Header)
		resp, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	})
}

func breaking(t *testing.T, backend string) http.HandlerFunc {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
	t.Cleanup(client.CloseIdleConnections)
	b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout: 500 * time.Millisecond, MaxRequests: 1,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
	})
	return answer(func(r *http.Request) (int, error) {
		return b.Execute(func() (int, error) {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, backend+r.URL.Path, nil)
			if err != nil {
				return 0, err
			}
			trace(r, req.Header)
			resp, err := client.Do(req)
			if err != nil {
				return 0, err
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode >= 500 {
				return 0, fmt.Errorf("the backend answers %d", resp.StatusCode)
			}
			return resp.StatusCode, nil
		})
	})
}

func byGRPC(t *testing.T, backend string) http.HandlerFunc {
	const config = `{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s",
		"backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}], "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1}}`
	cc, err := grpc.NewClient(strings.TrimPrefix(backend, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return answer(func(r *http.Request) (int, error) {
		ctx := metadata.AppendToOutgoingContext(context.WithoutCancel(r.Context()), "traceparent", r.Header.Get("Traceparent"))
		in, out := []byte("hello"), []byte(nil)
		if err := cc.Invoke(ctx, "/shop.Auth/Echo", &in, &out); err != nil {
			return 0, err
		}
		return http.StatusOK, nil
	})
}

// python is a service made with requests and urllib3.
func python(t *testing.T, how string) caller {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(path, "-c", "import requests").Run()
	}
	if err != nil {
		t.Skip("NOT TESTED: python3 with requests is not installed")
	}
	return program(t, path, filepath.Join("testdata", "callers", "front.py"), how)
}

// node is a service made with axios.
func node(t *testing.T, how string) caller {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NOT TESTED: node is not installed")
	}
	return program(t, path, filepath.Join("testdata", "callers", "front.cjs"), how, packages(t))
}
