package engine

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/ledger"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// caller calls through a relay, tries again, and keeps its own log: of each call, the
// hosts that its attempts asked for, which are all different.
type caller struct {
	client *http.Client
	addr   string
	mu     sync.Mutex
	log    [][]string
}

// call makes up to tries attempts.
func (c *caller) call(path, trace string, id, tries int, wait func(n int) time.Duration) {
	var hosts []string
	for n := 1; n <= tries; n++ {
		host := fmt.Sprintf("c%d-%d.test", id, n)
		hosts = append(hosts, host)
		r, _ := http.NewRequest(http.MethodGet, "http://"+c.addr+path, nil)
		r.Host = host
		if trace != "" {
			r.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		}
		resp, err := c.client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if err == nil && resp.StatusCode < 500 {
				break
			}
		}
		if n < tries {
			time.Sleep(wait(n))
		}
	}
	c.mu.Lock()
	c.log = append(c.log, hosts)
	c.mu.Unlock()
}

// watch opens an edge a -> b to a callee and takes its exchanges down.
func watch(t *testing.T, h http.HandlerFunc) (c *caller, taken func() []experiment.Exchange) {
	t.Helper()
	back := httptest.NewServer(h)
	set := relay.NewSet(relay.Options{})
	if err := set.Open(context.Background(), relay.Spec{From: "a", To: "b", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{back.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []experiment.Exchange
	set.Listen(func(x *experiment.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		x.No = uint64(len(all) + 1)
		all = append(all, *x)
	})
	c = &caller{client: newClient(t), addr: set.Status()[0].Listen}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			c.client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = set.Shutdown(ctx)
			back.Close()
		})
	}
	t.Cleanup(stop)
	return c, func() []experiment.Exchange {
		stop()
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// flaky fails a share of the requests, after up to some time.
func flaky(share float64, took time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.Float64() * float64(took)))
		switch x := rand.Float64(); {
		case x < share/2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case x < share:
			w.WriteHeader(http.StatusBadGateway)
		}
	}
}

// grouped are the calls as the ledger has them, by the hosts of their attempts.
func grouped(all []experiment.Exchange) (*ledger.View, [][]string, experiment.Grouping) {
	hosts := map[uint64]string{}
	for i := range all {
		hosts[all[i].No] = all[i].Host
	}
	run := &experiment.Run{}
	v := ledger.Look(ledger.NewBook(all), run)
	var calls [][]string
	for _, call := range v.Calls {
		var at []string
		for _, i := range call.Attempts {
			at = append(at, hosts[v.Entries[i].No])
		}
		calls = append(calls, at)
	}
	return v, calls, v.Behaviours()[0].Grouping
}

// TestGroupingByTrace: 10,000 calls with a traceparent, three to a trace, are grouped as
// their caller's own log has them.
func TestGroupingByTrace(t *testing.T) {
	t.Parallel()
	c, taken := watch(t, flaky(0.3, 2*time.Millisecond))
	const traces, workers = 3334, 24
	ids := make(chan int, traces)
	for i := range traces {
		ids <- i
	}
	close(ids)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range ids {
				trace := fmt.Sprintf("%032x", i+1)
				at := func(int) time.Duration { return time.Duration(rand.IntN(3)) * time.Millisecond }
				// The call after one that was given up cannot be told from its next attempt.
				c.call("/x", trace, 3*i, 50, at)
				c.call("/x", trace, 3*i+1, 50, at)
				c.call("/y", trace, 3*i+2, 3, at)
			}
		})
	}
	group.Wait()
	_, calls, how := grouped(taken())
	if want, got := inOrder(c.log), inOrder(calls); !slices.Equal(want, got) {
		missed := slices.DeleteFunc(slices.Clone(want), func(s string) bool { _, ok := slices.BinarySearch(got, s); return ok })
		t.Errorf("%d calls of %d are not as the caller's log has them, such as %v", len(missed), len(want), missed[:min(5, len(missed))])
	}
	if how.Sure != 1 || how.By[experiment.ByTrace] != uint64(len(c.log)) || !strings.Contains(how.Why, "exact") {
		t.Errorf("it says: %+v", how)
	}
}

func inOrder(calls [][]string) []string {
	var all []string
	for _, at := range calls {
		all = append(all, strings.Join(at, " "))
	}
	slices.Sort(all)
	return all
}

// TestGroupingByStatistics: identical calls at the same time without any id are put
// together as well as the ledger says.
func TestGroupingByStatistics(t *testing.T) {
	t.Parallel()
	c, taken := watch(t, flaky(0.4, 20*time.Millisecond))
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 75 {
				time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
				c.call("/same", "", w*1000+i, 3, func(n int) time.Duration { return time.Duration(n) * 50 * time.Millisecond })
			}
		})
	}
	group.Wait()
	_, calls, how := grouped(taken())
	first := map[string]string{}
	n := 0
	for _, at := range c.log {
		for _, host := range at {
			first[host] = at[0]
			n++
		}
	}
	right := 0
	for _, at := range calls {
		for _, host := range at {
			if first[host] == at[0] {
				right++
			}
		}
	}
	share := float64(right) / float64(n)
	t.Logf("%d attempts: %.3f are in the right call, it says %.3f: %s", n, share, how.Sure, how.Why)
	if math.Abs(share-how.Sure) > 0.15 {
		t.Errorf("%.3f of the attempts are in the right call, it says %.3f", share, how.Sure)
	}
	if how.By[experiment.ByBody] != how.Calls || !strings.Contains(how.Why, "no id is passed on") {
		t.Errorf("it says: %+v", how)
	}
}

// chain is services a to e, each of which calls the next.
type chain struct {
	*Engine
	mu   sync.Mutex
	hits map[string]int // requests that e was sent, by trace
}

// link is how a service calls the next.
type link struct {
	tries   int
	timeout time.Duration
}

var chainNames = []string{"a", "b", "c", "d", "e"}

// newChain makes the services; e fails while sick says so.
func newChain(t *testing.T, links [4]link, last func(*chain, http.ResponseWriter, *http.Request)) *chain {
	t.Helper()
	f := &chain{hits: map[string]int{}}
	set := relay.NewSet(relay.Options{})
	top := experiment.TopologySpec{Environment: "development", Services: map[string]experiment.Service{}}
	next := ""
	for i := len(chainNames) - 1; i >= 0; i-- {
		var h http.HandlerFunc
		if i == len(chainNames)-1 {
			h = func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				f.hits[strings.Split(r.Header.Get("Traceparent")+"---", "-")[1]]++
				f.mu.Unlock()
				last(f, w, r)
			}
		} else {
			h = passOn(newClient(t), next, links[i])
		}
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		name, addr := chainNames[i], srv.Listener.Addr().String()
		top.Services[name] = experiment.Service{Address: addr, Protocol: experiment.HTTP}
		if i == 0 {
			continue
		}
		before := chainNames[i-1]
		if err := set.Open(context.Background(), relay.Spec{From: before, To: name, Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{addr}}); err != nil {
			t.Fatal(err)
		}
		for _, e := range set.Status() {
			if e.Name == before+" -> "+name {
				next = e.Listen
			}
		}
		top.Edges = append(top.Edges, experiment.Edge{From: before, To: name, Listen: next})
	}
	e, err := New(context.Background(), Config{
		Topology: &experiment.Topology{APIVersion: experiment.APIVersion, Kind: "Topology", Metadata: experiment.Meta{Name: "chain"}, Spec: top},
		Relays:   set, Drivers: []driver.Driver{driverrelay.New(set)}, StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Engine = e
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = set.Shutdown(ctx)
	})
	return f
}

// passOn handles a request by calling the next service, as often as need be. It does not
// stop when its own caller hangs up.
func passOn(c *http.Client, next string, l link) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for range l.tries {
			ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+next+"/", nil)
			req.Header.Set("Traceparent", r.Header.Get("Traceparent"))
			resp, err := c.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			cancel()
			if err == nil && resp.StatusCode < 500 {
				return
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (f *chain) play(t *testing.T, rate, timeout, fault string) *experiment.Run {
	t.Helper()
	doc := fmt.Sprintf(`
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: chain}
spec:
  hypothesis: One failure stays one failure.
  traffic: [{name: visit, service: a, http: {path: /}, rate: %s, timeout: %s}]
  gates: [{name: availability, of: visit, success: ">= 90%%", during: [steady]}]
  steady: {for: 1500ms}
  steps: [{name: trouble, for: 1500ms, faults: [%s]}]
  recovery: {within: 2s, hold: 500ms}
`, rate, timeout, fault)
	sum, err := f.StartRun(context.Background(), experiment.RunRequest{File: "chain.yaml", Document: doc, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.WaitRun(context.Background(), sum.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func behaviourOf(t *testing.T, r *experiment.Run, edge string) experiment.EdgeBehaviour {
	t.Helper()
	for _, b := range r.Behaviour {
		if b.Edge == edge {
			return b
		}
	}
	t.Fatalf("nothing is known of %s: %+v", edge, r.Verdict)
	return experiment.EdgeBehaviour{}
}

// TestAmplification: with three attempts at each of three layers, one request of a user
// becomes 27 of the last edge, just as many as the last service counts itself.
func TestAmplification(t *testing.T) {
	t.Parallel()
	patient := func(tries int) link { return link{tries, 20 * time.Second} }
	f := newChain(t, [4]link{patient(3), patient(1), patient(3), patient(3)}, func(*chain, http.ResponseWriter, *http.Request) {})
	r := f.play(t, "6/s", "20s", "{kind: http.reply-lost, target: {edge: d -> e}}")
	amp := behaviourOf(t, r, "d -> e").Amplification

	// What e counted for the requests that began in the step.
	var step experiment.Window
	for _, w := range r.Windows {
		if w.Stage == experiment.StageHurt {
			step = w
		}
	}
	requests, counted := 0, 0
	err := ledger.Scan(ledgerPath(f.cfg.StateDir, r.ID), func(x *experiment.Exchange) error {
		if x.Flow != "" && !x.Start.Before(step.Start) && x.Start.Before(step.End) {
			requests++
			counted += f.hits[x.TraceID.String()]
		}
		return nil
	})
	if err != nil || requests == 0 {
		t.Fatalf("%d requests in the step: %v", requests, err)
	}
	want := float64(counted) / float64(requests)
	if !amp.Known || math.Abs(amp.EndToEnd-want) > 1e-9 {
		t.Errorf("one request became %v calls; e counted %v (%d of %d): %+v", amp.EndToEnd, want, counted, requests, amp)
	}
	if amp.SteadyEndToEnd != 1 || len(amp.Layers) != 3 {
		t.Errorf("before: %v, layers %+v", amp.SteadyEndToEnd, amp.Layers)
	}
	var named []experiment.Weakness
	for _, w := range r.Weaknesses {
		if w.Kind == experiment.RetriesAtLayers {
			named = append(named, w)
		}
	}
	if len(named) != 1 || named[0].Edge != "d -> e" || !strings.Contains(named[0].Sentence, "at a -> b") || !strings.Contains(named[0].Sentence, "at c -> d") {
		t.Errorf("named: %+v", named)
	}
	t.Logf("%v; %+v", want, named)
}

// TestTimeoutInversion: c hangs up after 200 ms, d goes on for 600 ms; both figures are
// told.
func TestTimeoutInversion(t *testing.T) {
	t.Parallel()
	links := [4]link{{1, 20 * time.Second}, {1, 20 * time.Second}, {1, 200 * time.Millisecond}, {1, 600 * time.Millisecond}}
	f := newChain(t, links, func(*chain, http.ResponseWriter, *http.Request) {})
	r := f.play(t, "8/s", "20s", "{kind: http.delay, target: {edge: d -> e}, params: {delay: 5s}}")
	in := behaviourOf(t, r, "d -> e").Inversion
	near := func(got time.Duration, want time.Duration) bool {
		return got > want-20*time.Millisecond && got < want*3/2
	}
	if !in.Seen || in.Above != "c -> d" || in.InnerAtLeast || !near(in.Outer.Std(), 200*time.Millisecond) || !near(in.Inner.Std(), 600*time.Millisecond) {
		t.Errorf("inversion: %+v", in)
	}
	named := slices.IndexFunc(r.Weaknesses, func(w experiment.Weakness) bool { return w.Kind == experiment.TimeoutInversion })
	if named < 0 || r.Weaknesses[named].Edge != "d -> e" || !strings.Contains(r.Weaknesses[named].Sentence, in.Outer.String()) || !strings.Contains(r.Weaknesses[named].Sentence, in.Inner.String()) {
		t.Errorf("named: %+v", r.Weaknesses)
	}
	for _, e := range []string{"a -> b", "b -> c", "c -> d"} {
		if b := behaviourOf(t, r, e); b.Inversion.Seen {
			t.Errorf("%s: %+v", e, b.Inversion)
		}
	}
	t.Logf("%+v", r.Weaknesses[max(0, named)].Sentence)
}
