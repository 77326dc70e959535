package judge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// fuse is a small breaker.
type fuse struct {
	after   int
	open    time.Duration
	never   bool // stays open
	at1ce   bool // lets all through after a pause
	mu      sync.Mutex
	failed  int
	blown   bool
	until   time.Time
	probing bool
}

// pass tells whether a call may be made, and takes how it ended.
func (f *fuse) pass(now time.Time) (done func(good bool), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	probe := false
	switch {
	case !f.blown:
	case f.never, f.probing, now.Before(f.until):
		return nil, false
	case f.at1ce:
		f.blown, f.failed = false, 0
	default:
		f.probing, probe = true, true
	}
	return func(good bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case probe:
			f.probing, f.blown, f.failed = false, !good, 0
			f.until = time.Now().Add(f.open)
		case f.blown:
		case good:
			f.failed = 0
		default:
			if f.failed++; f.failed == f.after {
				f.blown, f.until = true, time.Now().Add(f.open)
			}
		}
	}, true
}

// shop is a real front that calls a real catalog, each over a relay.
type shop struct {
	fuse   *fuse
	backup string // asked when the catalog fails: a path of it
	failed atomic.Bool
	mu     sync.Mutex
	all    []experiment.Exchange
}

func (s *shop) catalog(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(rand.N(20 * time.Millisecond))
	if s.failed.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *shop) front(client *http.Client, catalog string) http.HandlerFunc {
	ask := func(r *http.Request, path string) bool {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, catalog+path, http.NoBody)
		if err != nil {
			return false
		}
		req.Header.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	return func(w http.ResponseWriter, r *http.Request) {
		good := false
		if s.fuse == nil {
			good = ask(r, "/item")
		} else if done, ok := s.fuse.pass(time.Now()); ok {
			good = ask(r, "/item")
			done(good)
		}
		if !good && s.backup != "" {
			good = ask(r, s.backup)
		}
		if !good {
			w.WriteHeader(http.StatusBadGateway)
		}
	}
}

// run sends users to it, 80 per second, and judges: steady, hurt, recovery last so long.
func (s *shop) run(t *testing.T, steady, hurt, recovery time.Duration) (*experiment.Run, []string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	catalog := httptest.NewServer(http.HandlerFunc(s.catalog))
	defer catalog.Close()
	edges := relay.NewSet(relay.Options{Exchange: func(x experiment.Exchange) {
		s.mu.Lock()
		defer s.mu.Unlock()
		x.No = uint64(len(s.all) + 1)
		s.all = append(s.all, x)
	}})
	open := func(from, to, upstream string) string {
		if err := edges.Open(t.Context(), relay.Spec{From: from, To: to, Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{upstream}}); err != nil {
			t.Fatal(err)
		}
		for _, e := range edges.Status() {
			if e.From == from && e.To == to {
				return "http://" + e.Listen
			}
		}
		t.Fatal("no edge")
		return ""
	}
	front := httptest.NewServer(s.front(client, open("front", "catalog", catalog.Listener.Addr().String())))
	defer front.Close()
	url := open("users", "front", front.Listener.Addr().String())

	r := &experiment.Run{Plan: experiment.Plan{Steps: []experiment.PlanStep{{Name: "catalog fails"}}}}
	var users sync.WaitGroup
	stage := func(st experiment.Stage, step string, d time.Duration) {
		begun := time.Now()
		s.failed.Store(st == experiment.StageHurt)
		tick := time.NewTicker(time.Second / 80)
		defer tick.Stop()
		for time.Since(begun) < d {
			<-tick.C
			users.Go(func() {
				req, err := http.NewRequest(http.MethodGet, url+"/shop", http.NoBody)
				if err != nil {
					return
				}
				req.Header.Set("X-Request-Id", fmt.Sprint(rand.Uint64()))
				if resp, err := client.Do(req); err == nil {
					resp.Body.Close()
				}
			})
		}
		r.Windows = append(r.Windows, experiment.Window{Stage: st, Step: step, Start: begun, End: time.Now()})
	}
	stage(experiment.StageSteady, "", steady)
	stage(experiment.StageHurt, "catalog fails", hurt)
	stage(experiment.StageRecovery, "", recovery)
	users.Wait()
	client.CloseIdleConnections()
	if err := edges.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	v := ledger.Look(ledger.NewBook(s.all), r)
	r.Behaviour = v.Behaviours()
	var kinds []string
	for _, w := range append(weakBreakers(v), weakFallbacks(v)...) {
		if len(w.Evidence) == 0 || len(w.Evidence) > experiment.MaxEvidence || w.Confidence <= 0 || w.Edge == "" {
			t.Errorf("%+v", w)
		}
		t.Log(w.Sentence)
		kinds = append(kinds, string(w.Kind))
	}
	return r, kinds
}

// Breakers of real services are read as they are set, and named if they are weak.
func TestRealBreakersAreReadRight(t *testing.T) {
	const second = time.Second
	for _, tc := range []struct {
		name     string
		shop     *shop
		recovery time.Duration
		weak     string
	}{
		{"sound", &shop{fuse: &fuse{after: 5, open: 300 * time.Millisecond}}, second, ""},
		{"at once", &shop{fuse: &fuse{after: 5, open: 300 * time.Millisecond, at1ce: true}}, second, "breaker-without-half-open"},
		{"never closes", &shop{fuse: &fuse{after: 5, open: 300 * time.Millisecond, never: true}}, 4500 * time.Millisecond, "breaker-never-closes"},
		{"none", &shop{}, second, ""},
		{"falls back to the same", &shop{backup: "/summary"}, second, "fallback-to-same-callee"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, kinds := tc.shop.run(t, second, 2*second, tc.recovery)
			if got := strings.Join(kinds, " "); got != tc.weak {
				t.Errorf("named %q, not %q", got, tc.weak)
			}
			for _, e := range r.Behaviour {
				if e.Edge != "front -> catalog" {
					continue
				}
				b := &e.Breaker
				if b.Seen != (tc.shop.fuse != nil) || !b.Known {
					t.Fatalf("%+v", b)
				}
				// A busy machine may blur after how many failures it opened, and no more.
				if n := b.OpensBetween; b.Seen && b.OpensAfter != 5 && (len(n) != 2 || n[0] > 5 || n[1] < 5) {
					t.Errorf("opens after %d, between %v", b.OpensAfter, n)
				}
				if tc.name == "sound" && (b.Probes != 1 || b.OpenFor.Std() < 250*time.Millisecond || b.OpenFor.Std() > 400*time.Millisecond || b.ClosedAfter == 0) {
					t.Errorf("%+v", b)
				}
			}
		})
	}
}

// What is known, but not weak, is not named; neither is what is not known.
func TestWeakBreakers(t *testing.T) {
	edge := func(change func(*experiment.EdgeBehaviour)) string {
		e := experiment.EdgeBehaviour{Edge: "front -> catalog"}
		e.Breaker = experiment.Breaker{Finding: known(3), Seen: true, OpensAfter: 5, HalfOpen: known(3), Probes: 1, Closed: known(20), ClosedAfter: 5}
		change(&e)
		v := &ledger.View{Run: &experiment.Run{Behaviour: []experiment.EdgeBehaviour{e}}}
		var kinds []string
		for _, w := range append(weakBreakers(v), weakFallbacks(v)...) {
			kinds = append(kinds, string(w.Kind))
		}
		return strings.Join(kinds, " ")
	}
	for want, changes := range map[string][]func(*experiment.EdgeBehaviour){
		"": {
			func(*experiment.EdgeBehaviour) {},
			func(e *experiment.EdgeBehaviour) { e.Breaker = experiment.Breaker{} },
			func(e *experiment.EdgeBehaviour) { e.Breaker = experiment.Breaker{Finding: known(30)} },
			func(e *experiment.EdgeBehaviour) { e.Breaker.HalfOpen, e.Breaker.Probes = experiment.Finding{}, 0 },
			func(e *experiment.EdgeBehaviour) { e.Breaker.HalfOpen, e.Breaker.Probes = known(1), 0 },
			func(e *experiment.EdgeBehaviour) { e.Breaker.Closed, e.Breaker.ClosedAfter = experiment.Finding{}, 0 },
			func(e *experiment.EdgeBehaviour) {
				e.Fallback = experiment.Fallback{Finding: known(9), Seen: true, To: "front -> archive GET /"}
			},
			func(e *experiment.EdgeBehaviour) {
				e.HealthCheck = experiment.HealthCheck{Finding: known(9), Seen: true, Path: "/healthz"}
			},
		},
		"breaker-never-closes":      {func(e *experiment.EdgeBehaviour) { e.Breaker.ClosedAfter = 0 }},
		"breaker-without-half-open": {func(e *experiment.EdgeBehaviour) { e.Breaker.Probes = 0 }},
		"fallback-to-same-callee": {func(e *experiment.EdgeBehaviour) {
			e.Fallback = experiment.Fallback{Finding: known(9), To: "front -> catalog GET /summary", SameCallee: true}
		}},
		"health-check-ignored": {func(e *experiment.EdgeBehaviour) {
			e.HealthCheck = experiment.HealthCheck{Finding: known(9), Seen: true, Path: "/healthz", Ignored: true}
		}},
	} {
		for i, change := range changes {
			if got := edge(change); got != want {
				t.Errorf("%d: named %q, not %q", i, got, want)
			}
		}
	}
}
