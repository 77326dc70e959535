package judge

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// callVia is one call of a caller with a policy, by its own client.
func callVia(client *http.Client, url, id string, attempts int, wait func(i int) time.Duration) {
	for i := range attempts {
		req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
		if err != nil {
			return
		}
		req.Header.Set("X-Request-Id", id)
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 500 {
				return
			}
		}
		if i+1 < attempts {
			time.Sleep(wait(i))
		}
	}
}

// watched runs 24 calls of a caller through a relay whose callee fails.
func watched(t *testing.T, callee http.HandlerFunc, limit time.Duration, attempts int, wait func(i int) time.Duration) (experiment.EdgeBehaviour, []experiment.Weakness) {
	t.Helper()
	upstream := httptest.NewServer(callee)
	defer upstream.Close()
	var mu sync.Mutex
	var all []experiment.Exchange
	edges := relay.NewSet(relay.Options{Exchange: func(x experiment.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		x.No = uint64(len(all) + 1)
		all = append(all, x)
	}})
	begun := time.Now()
	if err := edges.Open(t.Context(), relay.Spec{From: "api-service", To: "payment-service", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{upstream.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	url := "http://" + edges.Status()[0].Listen + "/pay"
	client := &http.Client{Timeout: limit, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	var calls sync.WaitGroup
	for i := range 24 {
		calls.Go(func() {
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
			callVia(client, url, fmt.Sprint("call-", i), attempts, wait)
		})
	}
	calls.Wait()
	client.CloseIdleConnections()
	if err := edges.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	// The observation goes on for long: nothing else happens.
	run := &experiment.Run{Windows: []experiment.Window{
		{Stage: experiment.StageHurt, Step: "fail", Start: begun, End: time.Now()},
		{Stage: experiment.StageRecovery, Start: time.Now(), End: time.Now().Add(time.Minute)},
	}}
	v := ledger.Look(ledger.NewBook(all), run)
	run.Behaviour = v.Behaviours()
	for _, b := range run.Behaviour {
		if b.Edge == "api-service -> payment-service" {
			return b, append(weakRetries(v), weakTimeouts(v)...)
		}
	}
	t.Fatal("nothing was seen")
	return experiment.EdgeBehaviour{}, nil
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(rand.N(20 * time.Millisecond))
	w.WriteHeader(http.StatusServiceUnavailable)
}

// atBest runs a check until it has nothing to say, five times at most: how late waits are
// on a machine that has too much to do is not the caller's doing.
func atBest(t *testing.T, check func() string) {
	t.Helper()
	wrong := ""
	for range 5 {
		if wrong = check(); wrong == "" {
			return
		}
	}
	t.Error(wrong)
}

// Callers with real clients over real sockets are read as they are written.
func TestRealCallersAreReadRight(t *testing.T) {
	double := func(i int) time.Duration { return 50 * time.Millisecond << i }
	near := func(got, want time.Duration) bool {
		return math.Abs(float64(got-want)) <= max(0.1*float64(want), float64(5*time.Millisecond))
	}
	for _, tc := range []struct {
		name     string
		attempts int
		wait     func(i int) time.Duration
		read     func(s *experiment.Spacing) bool
		weak     string
	}{
		{"doubled", 4, double, func(s *experiment.Spacing) bool {
			return s.Kind == experiment.SpacingExponential && !s.Jitter && near(s.Base.Std(), 50*time.Millisecond) && math.Abs(s.Factor-2) < 0.2
		}, "retries-without-jitter"},
		{"at once", 3, func(int) time.Duration { return 0 }, func(s *experiment.Spacing) bool { return s.Kind == experiment.SpacingNone }, "retries-without-delay"},
		{"fixed", 3, func(int) time.Duration { return 80 * time.Millisecond }, func(s *experiment.Spacing) bool {
			return s.Kind == experiment.SpacingFixed && !s.Jitter && near(s.Base.Std(), 80*time.Millisecond)
		}, "retries-at-fixed-delay"},
		{"jittered", 4, func(i int) time.Duration { return double(i)/2 + rand.N(double(i)/2) }, func(s *experiment.Spacing) bool {
			return s.Kind == experiment.SpacingExponential && s.Jitter && s.Factor > 1.5 && s.Factor < 2.6
		}, ""},
		{"at once, and then doubled", 4, func(i int) time.Duration { return []time.Duration{0, 100, 200}[i] * time.Millisecond }, func(s *experiment.Spacing) bool {
			return s.Kind == experiment.SpacingExponential && s.FirstAtOnce && near(s.Base.Std(), 100*time.Millisecond)
		}, "retries-without-jitter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			atBest(t, func() string {
				b, weak := watched(t, unavailable, 0, tc.attempts, tc.wait)
				if !b.Tries.Known || b.Tries.Most != tc.attempts || !b.Spacing.Known || !tc.read(&b.Spacing) {
					return fmt.Sprintf("tries %+v\nspacing %+v", b.Tries, b.Spacing)
				}
				var kinds []string
				for _, w := range weak {
					kinds = append(kinds, string(w.Kind))
				}
				if got := strings.Join(kinds, " "); got != tc.weak {
					return fmt.Sprintf("named %q, not %q: %+v", got, tc.weak, weak)
				}
				return ""
			})
		})
	}
	t.Run("timeout", func(t *testing.T) {
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		atBest(t, func() string {
			b, weak := watched(t, hang, 250*time.Millisecond, 2, func(int) time.Duration { return 30 * time.Millisecond })
			if !b.Timeout.Known || !near(b.Timeout.PerTry.Std(), 250*time.Millisecond) || b.Tries.Most != 2 || len(weak) > 0 {
				return fmt.Sprintf("timeout %+v\ntries %+v\n%+v", b.Timeout, b.Tries, weak)
			}
			return ""
		})
	})
}
