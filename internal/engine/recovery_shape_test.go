package engine

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// pair is a front and a back with a relay between them, and one before the front.
func pair(t *testing.T, back http.HandlerFunc, handler func(call func(*http.Request) int) http.HandlerFunc) *front {
	t.Helper()
	b := httptest.NewServer(back)
	f := &front{set: relay.NewSet(relay.Options{})}
	if err := f.set.Open(context.Background(), relay.Spec{From: "front", To: "back", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{b.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	listen := f.set.Status()[0].Listen
	client := newClient(t)
	srv := httptest.NewServer(handler(func(r *http.Request) int {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+listen+"/x", nil)
		if err != nil {
			return 0
		}
		req.Header.Set("Traceparent", r.Header.Get("Traceparent"))
		resp, err := client.Do(req)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return 0
		}
		return resp.StatusCode
	}))
	top := &experiment.Topology{
		APIVersion: experiment.APIVersion, Kind: "Topology", Metadata: experiment.Meta{Name: "pair"},
		Spec: experiment.TopologySpec{
			Environment: "development",
			Services: map[string]experiment.Service{
				"front": {Address: srv.Listener.Addr().String(), Protocol: experiment.HTTP},
				"back":  {Address: b.Listener.Addr().String(), Protocol: experiment.HTTP},
			},
			Edges: []experiment.Edge{{From: "front", To: "back", Listen: listen}},
		},
	}
	e, err := New(context.Background(), Config{Topology: top, Relays: f.set, Drivers: []driver.Driver{driverrelay.New(f.set)}, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f.Engine = e
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		srv.CloseClientConnections()
		srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = f.set.Shutdown(ctx)
		b.CloseClientConnections()
		b.Close()
	})
	return f
}

// quick is a back that answers at once.
func quick(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":1}`) }

// onceEach calls the back for each request.
func onceEach(call func(*http.Request) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if call(r) != http.StatusOK {
			http.Error(w, "broken", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	}
}

// brokenFor goes on failing for some time after its last failure.
func brokenFor(d time.Duration) func(call func(*http.Request) int) http.HandlerFunc {
	var last atomic.Int64
	return func(call func(*http.Request) int) http.HandlerFunc {
		return onceEach(func(r *http.Request) int {
			code := call(r)
			if code != http.StatusOK {
				last.Store(time.Now().UnixNano())
			}
			if time.Since(time.Unix(0, last.Load())) < d {
				return http.StatusBadGateway
			}
			return code
		})
	}
}

// opensForGood calls no more after five failures in a row, and answers from memory.
func opensForGood(call func(*http.Request) int) http.HandlerFunc {
	var failures atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if failures.Load() < 5 {
			if call(r) == http.StatusOK {
				failures.Store(0)
			} else {
				failures.Add(1)
			}
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	}
}

// worker is a back with one worker and a queue without bounds, which does the work of
// those who have gone, too. When it is over, what is left is dropped.
func worker(each time.Duration, over *atomic.Bool) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if !over.Load() {
			time.Sleep(each)
		}
		mu.Unlock()
		quick(w, r)
	}
}

// threeTries gives an attempt 250 ms, and makes three.
func threeTries(call func(*http.Request) int) http.HandlerFunc {
	return onceEach(func(r *http.Request) int {
		for range 3 {
			ctx, cancel := context.WithTimeout(r.Context(), 250*time.Millisecond)
			code := call(r.WithContext(ctx))
			cancel()
			if code == http.StatusOK {
				return code
			}
		}
		return 0
	})
}

// TestRecoveryShapes tells systems apart by how they come back: at once, late, behind a
// breaker that never closes, and not at all, as a retry storm keeps them down.
func TestRecoveryShapes(t *testing.T) {
	t.Parallel()
	available := `{name: availability, of: visit, success: ">= 95%"}`
	var over atomic.Bool
	refuse := `{kind: http.status, target: {service: back}, params: {code: 503}}`
	for _, tc := range []struct {
		name     string
		back     http.HandlerFunc
		front    func(call func(*http.Request) int) http.HandlerFunc
		fault    string
		recovery string
		want     experiment.RecoveryShape
		part     string // the one that tells
		least    time.Duration
	}{
		{"heals", quick, onceEach, refuse, "{within: 5s, hold: 1s}", experiment.RecoveryHealed, "goodput", 0},
		{"heals late", quick, brokenFor(2500 * time.Millisecond), refuse, "{within: 1500ms, hold: 3s}", experiment.RecoveryLate, "goodput", 1500 * time.Millisecond},
		{"breaker never closes", quick, opensForGood, refuse, "{within: 6s, hold: 1s}", experiment.RecoveryBreakerOpen, "breaker", -1},
		{"retry storm", worker(8*time.Millisecond, &over), threeTries, `{kind: net.latency, target: {edge: front -> back}, params: {delay: 1s}}`, "{within: 3s, hold: 1s}", experiment.RecoveryRetryStorm, "goodput", -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := pair(t, tc.back, tc.front)
			t.Cleanup(func() { over.Store(over.Load() || tc.want == experiment.RecoveryRetryStorm) })
			r := f.play(t, `
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: trial}
spec:
  traffic:
    - {name: visit, service: front, http: {path: /}, rate: 60/s, timeout: 2s}
  gates:
    - `+available+`
  steady: {for: 2s}
  steps:
    - name: trouble
      for: 2s
      faults: [`+tc.fault+`]
  recovery: `+tc.recovery)
			words, _ := json.MarshalIndent(r.Recovery, "", " ")
			if r.Recovery == nil || r.Recovery.Shape != tc.want {
				t.Fatalf("got %s\n%v\n%+v", words, r.Verdict, r.Behaviour)
			}
			if storm := strings.Contains(strings.Join(r.Verdict.Reasons, " "), "metastable"); storm != (tc.want == experiment.RecoveryRetryStorm) {
				t.Errorf("reasons: %q", r.Verdict.Reasons)
			}
			for _, p := range r.Recovery.Parts {
				if p.What != tc.part {
					continue
				}
				if (p.Took == nil) != (tc.least < 0) || p.Took != nil && p.Took.Std() < tc.least {
					t.Errorf("%s: %+v", tc.part, p)
				}
				t.Logf("%s %s: %s", p.What, p.Of, p.Why)
				return
			}
			t.Errorf("no part %s in %s", tc.part, words)
		})
	}
}
