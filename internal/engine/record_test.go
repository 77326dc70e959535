package engine

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
	"github.com/chaosctl/chaosctl/internal/relay"
)

const refused503 = `{code: 503}`

// A run leaves all its exchanges behind: those that the edges counted and those that
// the users made, each with its number, and their calls.
func TestRunLeavesItsLedger(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	r := f.play(t, document(`{name: there, of: visit, success: ">= 1%"}`, "http.status", refused503, "  recovery: {within: 5s, hold: 500ms}\n"))
	if r.Ledger == nil || r.Ledger.Lost != 0 || r.Ledger.Why != "" {
		t.Fatalf("%+v", r.Ledger)
	}
	counted := map[string]uint64{}
	for _, e := range r.Edges {
		counted[e.Name] = e.Exchanges
	}
	var flows, calls uint64
	no, byEdge, stages := uint64(0), map[string]uint64{}, map[experiment.Stage]int{}
	err := f.LedgerLines(r.ID, experiment.LedgerQuery{}, func(l *experiment.LedgerLine) error {
		if no++; l.No != no {
			t.Fatalf("number %d comes after %d", l.No, no-1)
		}
		stages[l.Stage]++
		if l.Flow != "" {
			flows++
			return nil
		}
		byEdge[l.Edge]++
		if l.Call != nil && l.Call.Attempt == 1 {
			calls++
		}
		return nil
	})
	if err != nil || flows != r.Ledger.Requests || byEdge["front -> back"]+byEdge["users -> front"] != r.Ledger.Exchanges || r.Ledger.Judged != no {
		t.Errorf("%d requests and %v exchanges of %+v; %v", flows, byEdge, r.Ledger, err)
	}
	if byEdge["front -> back"] != counted["front -> back"] || calls == 0 || stages[experiment.StageSteady] == 0 || stages[experiment.StageHurt] == 0 || stages[experiment.StageRecovery] == 0 {
		t.Errorf("%v are written, %v were counted, %d calls, %v", byEdge, counted, calls, stages)
	}
	hurt := 0
	if err := f.LedgerLines(r.ID, experiment.LedgerQuery{Hurt: true, Outcome: "503", Edge: "front -> back"}, func(l *experiment.LedgerLine) error {
		if hurt++; !slices.Equal(l.Faults, []string{"http.status"}) || l.EndedBy != experiment.EndedByRelay {
			t.Errorf("hurt: %+v", l)
		}
		return nil
	}); err != nil || uint64(hurt) != r.Injections[0].Receipt().Injected {
		t.Errorf("%d were hurt, %+v says the receipt; %v", hurt, r.Injections[0].Receipt(), err)
	}
	for _, id := range []string{"r-none", "../x", "r-aaaaaaaa"} {
		if e, ok := experiment.AsError(f.LedgerLines(id, experiment.LedgerQuery{}, nil)); !ok || e.Code != experiment.NotFound {
			t.Errorf("the ledger of %s: %v", id, e)
		}
	}
	if err := os.Remove(ledgerPath(f.cfg.StateDir, r.ID)); err != nil {
		t.Fatal(err)
	}
	if e, ok := experiment.AsError(f.LedgerLines(r.ID, experiment.LedgerQuery{}, nil)); !ok || !strings.Contains(e.Message, "has no ledger") {
		t.Errorf("a ledger that is gone: %v", e)
	}
}

// A state folder that takes no ledger ends no run; what was expected of callers is
// unknown, and the record says why.
func TestRunWithoutLedger(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	if err := os.WriteFile(filepath.Join(f.cfg.StateDir, "runs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := f.play(t, document(`{name: there, of: visit, success: ">= 1%"}`, "net.latency", "{delay: 1ms}", "  recovery: {within: 5s, hold: 500ms}\n  expect: [{edge: front -> back, retries: {atMost: 2}}]\n"))
	if r.Recovery == nil || r.Aborted != "" || len(r.Gates) == 0 {
		t.Errorf("it did not go through: %+v", r.Verdict)
	}
	if r.Ledger == nil || !strings.Contains(r.Ledger.Why, "there is no ledger") || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "there is no ledger") }) {
		t.Errorf("%+v, notes %q", r.Ledger, r.Notes)
	}
	if len(r.Expectations) != 1 || r.Expectations[0].Result != experiment.Untested {
		t.Errorf("expected: %+v", r.Expectations)
	}
	if e, ok := experiment.AsError(f.LedgerLines(r.ID, experiment.LedgerQuery{}, nil)); ok && e.Code != experiment.NotFound {
		t.Errorf("its ledger: %v", e)
	}
}

// A relay with a ledger passes nearly as much as one without: in rounds that take turns,
// each round with is compared to that before it, without; the median counts.
func TestLedgerCostsLittle(t *testing.T) {
	rounds, each, least := 8, 100*time.Millisecond, 0.6
	if os.Getenv("CHAOSCTL_SOAK") != "" {
		rounds, each, least = 60, 250*time.Millisecond, 0.9
	}
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer back.Close()
	set := relay.NewSet(relay.Options{})
	defer func() { _ = set.Shutdown(context.Background()) }()
	if err := set.Open(context.Background(), relay.Spec{From: "a", To: "b", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{back.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "r.ledger")
	w, err := ledger.Create(path, ledger.Header{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var done atomic.Uint64
	var all sync.WaitGroup
	c, url := newClient(t), "http://"+set.Status()[0].Listen+"/x"
	for range 8 {
		all.Go(func() {
			for !stop.Load() {
				resp, err := c.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				done.Add(1)
			}
		})
	}
	var ratios []float64
	tick := time.NewTicker(each)
	defer tick.Stop()
	<-tick.C
	round := func() float64 {
		before, began := done.Load(), time.Now()
		<-tick.C
		return float64(done.Load()-before) / time.Since(began).Seconds()
	}
	for range rounds {
		set.Listen(nil)
		without := round()
		set.Listen(w.Take)
		ratios = append(ratios, round()/without)
	}
	stop.Store(true)
	all.Wait()
	sum := w.Close()
	slices.Sort(ratios)
	ratio := ratios[len(ratios)/2]
	t.Logf("%.3f, from %.3f to %.3f; %+v", ratio, ratios[0], ratios[len(ratios)-1], sum)
	if ratio < least || sum.Lost != 0 || sum.Exchanges == 0 {
		t.Errorf("with a ledger it passes %.2f of what it does without; %+v", ratio, sum)
	}
}
