package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// front is a service that calls a backend through the edge front -> backend and
// answers 200 only if that worked; heal is how long it goes on failing after
// the backend is well again.
type front struct {
	*Engine
	set      *relay.Set
	lastFail atomic.Int64
	sick     atomic.Bool // its health path says so
}

func newFront(t *testing.T, heal time.Duration) *front {
	t.Helper()
	f := &front{}
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	f.set = relay.NewSet(relay.Options{})
	if err := f.set.Open(context.Background(), relay.Spec{From: "front", To: "back", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{back.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t)
	listen := f.set.Status()[0].Listen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			if f.sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		code, _ := get(c, listen)
		if code != 200 {
			f.lastFail.Store(time.Now().UnixNano())
		}
		if code != 200 || time.Since(time.Unix(0, f.lastFail.Load())) < heal {
			http.Error(w, "broken", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	top := &experiment.Topology{
		APIVersion: experiment.APIVersion, Kind: "Topology", Metadata: experiment.Meta{Name: "pair"},
		Spec: experiment.TopologySpec{
			Environment: "development",
			Services: map[string]experiment.Service{
				"front": {Address: srv.Listener.Addr().String(), Protocol: experiment.HTTP, Health: "/healthz"},
				"back":  {Address: back.Listener.Addr().String(), Protocol: experiment.HTTP},
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
		srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = f.set.Shutdown(ctx)
		back.Close()
	})
	return f
}

// document is an experiment with the parts that tests vary.
func document(gate, kind, params, extra string) string {
	return fmt.Sprintf(`
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: trial}
spec:
  hypothesis: It holds.
  seed: 7
  traffic:
    - {name: visit, service: front, http: {path: /}, rate: 100/s, timeout: 5s}
  gates:
    - %s
  steady: {for: 1s}
  steps:
    - name: trouble
      for: 1500ms
      faults:
        - {kind: %s, target: {service: back}, params: %s}
%s
`, gate, kind, params, extra)
}

func (f *front) play(t *testing.T, doc string) *experiment.Run {
	t.Helper()
	sum, err := f.StartRun(context.Background(), experiment.RunRequest{File: "trial.yaml", Document: doc, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.WaitRun(context.Background(), sum.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Status(context.Background()).Injections); n != 0 {
		t.Errorf("%d injections left after the run", n)
	}
	return r
}

func TestRunOutcomes(t *testing.T) {
	t.Parallel()
	available := `{name: availability, of: visit, success: ">= 99%"}`
	recovery := "  recovery: {within: 5s, hold: 1s}"
	for _, tc := range []struct {
		name, doc string
		heal      time.Duration
		exit      int
		reason    string // part of the first one
	}{
		{"holds", document(available, "net.latency", "{delay: 20ms}", recovery), 0, experiment.ExitOK, "The gate held in every stage while"},
		{"broken gate", document(available, "http.status", "{code: 503}", recovery), 0, experiment.ExitBroken, "availability"},
		{"abort", document(available, "http.status", "{code: 503}", recovery+"\n  abort: [{of: visit, success: \"< 50%\", for: 500ms}]"), 0, experiment.ExitAborted, "success"},
		{"steady not reached", document(`{name: speed, of: visit, p50: "<= 1us"}`, "net.latency", "{delay: 20ms}", recovery), 0, experiment.ExitInconclusive, "Steady state not reached"},
		{"no receipt", document(available, "http.status", "{code: 503}", recovery+"\n  probes: []") /* replaced below */, 0, experiment.ExitInconclusive, "hurt nothing"},
		{"recovers late", document(available, "http.status", "{code: 503}", "  recovery: {within: 1s, hold: 1s}"), 30 * time.Second, experiment.ExitBroken, "availability"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			doc := tc.doc
			if tc.name == "no receipt" {
				doc = strings.Replace(doc, "params: {code: 503}}", "params: {code: 503}, match: {path: /never}}", 1)
			}
			r := newFront(t, tc.heal).play(t, doc)
			v := r.Verdict
			if v == nil || v.Exit != tc.exit || !strings.Contains(v.Reasons[0], tc.reason) {
				t.Fatalf("verdict %+v, want exit %d with %q", v, tc.exit, tc.reason)
			}
		})
	}
}

func TestTimeToRecover(t *testing.T) {
	t.Parallel()
	const heal = 3 * time.Second
	f := newFront(t, heal)
	doc := document(`{name: availability, of: visit, success: ">= 99%", during: [steady, recovery]}`, "http.status", "{code: 503}", "  recovery: {within: 10s, hold: 2s}")
	r := f.play(t, doc)
	if r.Recovery == nil || r.Recovery.Took == nil {
		t.Fatalf("recovery %+v", r.Recovery)
	}
	i := slices.IndexFunc(r.Windows, func(w experiment.Window) bool { return w.Stage == experiment.StageRecovery })
	want := time.Unix(0, f.lastFail.Load()).Add(heal).Sub(r.Windows[i].Start) // when the front was well, on a busy machine less than heal after the lift
	if off := r.Recovery.Took.Std() - want; off < -500*time.Millisecond || off > 500*time.Millisecond {
		t.Errorf("recovered after %s, want %s", r.Recovery.Took, want)
	}
	if r.Verdict.Exit != experiment.ExitOK {
		t.Errorf("verdict %+v", r.Verdict)
	}
	late := f.play(t, strings.Replace(doc, "within: 10s", "within: 1s", 1))
	if late.Verdict.Exit != experiment.ExitBroken || late.Recovery.Result != experiment.Fail {
		t.Errorf("within 1s: %+v %+v", late.Verdict, late.Recovery)
	}
}

// Health is asked before anything is hurt, and again after the recovery.
func TestHealth(t *testing.T) {
	t.Parallel()
	doc := document(`{name: availability, of: visit, success: ">= 50%"}`, "net.latency", "{delay: 5ms}", "  recovery: {within: 2s, hold: 1s}")
	before := newFront(t, 0)
	before.sick.Store(true)
	if r := before.play(t, doc); r.Verdict.Exit != experiment.ExitInconclusive || !strings.Contains(r.Verdict.Reasons[0], "Nothing was hurt: front is not healthy") || len(r.Injections) != 0 {
		t.Errorf("sick before: %+v", r.Verdict)
	}
	after := newFront(t, 0)
	events := after.Subscribe(t.Context(), 0)
	go func() {
		for ev := range events {
			if ev.Type == "run-stage" && ev.Progress.Stage == experiment.StageHurt {
				after.sick.Store(true)
			}
		}
	}()
	if r := after.play(t, doc); r.Verdict.Exit != experiment.ExitBroken || !strings.Contains(r.Verdict.Reasons[0], "At the end of the recovery front is not healthy") {
		t.Errorf("sick after: %+v", r.Verdict)
	}
}

func TestOneRunAtATimeAndAbort(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	doc := strings.Replace(document(`{name: availability, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 5ms}", ""), "for: 1500ms", "for: 60s", 1)
	sum, err := f.StartRun(context.Background(), experiment.RunRequest{Document: doc})
	if err != nil {
		t.Fatal(err)
	}
	var e *experiment.Error
	if _, err := f.StartRun(context.Background(), experiment.RunRequest{Document: doc}); !errors.As(err, &e) || e.Code != experiment.Conflict {
		t.Errorf("a second run: %v", err)
	}
	for ev := range f.Subscribe(t.Context(), 0) {
		if ev.Type == "run-stage" && ev.Progress.Stage == experiment.StageHurt {
			break
		}
	}
	if res, err := f.Halt(context.Background(), "enough"); err != nil || len(res.Aborted) != 1 {
		t.Errorf("halt: %+v %v", res, err)
	}
	r, err := f.Run(sum.ID)
	if err != nil || r.Verdict == nil || r.Verdict.Exit != experiment.ExitAborted || !strings.Contains(r.Verdict.Reasons[0], "enough") {
		t.Fatalf("run %+v %v", r, err)
	}
	if stored, err := LoadRun(f.cfg.StateDir, sum.ID); err != nil || stored.Verdict.Exit != experiment.ExitAborted {
		t.Errorf("stored: %v", err)
	}
}

func TestRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	for name, doc := range map[string]string{
		"syntax":  "apiVersion: [",
		"command": document(`{name: a, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 5ms}", "  probes: [{name: p, command: {argv: [/bin/true]}}]"),
		"probe":   document(`{name: a, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 5ms}", "  probes: [{name: p, http: {url: \"http://127.0.0.1:1/\", headers: {X: \"${env:TOKEN}\"}}}]"),
		"env":     strings.Replace(document(`{name: a, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 5ms}", ""), "path: /", `path: /, headers: {Authorization: "${env:TOKEN}"}`, 1),
	} {
		if _, err := f.StartRun(context.Background(), experiment.RunRequest{File: "x.yaml", Document: doc}); err == nil {
			t.Errorf("%s: not refused", name)
		} else if e, ok := experiment.AsError(err); !ok || e.ExitCode() != experiment.ExitInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(f.Runs()); n != 0 {
		t.Errorf("%d runs", n)
	}
}

// A variable that is not set is found before anything starts, and its name is
// all that is said.
func TestMissingVariable(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	f.cfg.Env = func(name string) (string, bool) { return "s3cret", name == "SET" }
	doc := strings.Replace(document(`{name: a, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 5ms}", ""), "path: /", `path: /, headers: {Authorization: "${env:SET} ${env:UNSET}"}`, 1)
	_, err := f.StartRun(context.Background(), experiment.RunRequest{File: "x.yaml", Document: doc})
	var e *experiment.Error
	if !errors.As(err, &e) || e.ExitCode() != experiment.ExitInput || !strings.Contains(e.Message, "UNSET") || strings.Contains(e.Message, "s3cret") {
		t.Fatalf("error %v", err)
	}
	if n := len(f.Runs()); n != 0 {
		t.Errorf("%d runs", n)
	}
}

// A defect in a run is an error of that run, and what it holds is lifted.
func TestDefectDoesNotSpread(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	r := &run{id: "r-test", engine: f.Engine}
	if err := r.guarded(func() error { panic("oops") }); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("error %v", err)
	}
	if err := r.guarded(func() error { return nil }); err != nil {
		t.Errorf("no defect: %v", err)
	}
}
