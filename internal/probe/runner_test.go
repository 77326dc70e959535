package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// service answers 200 or, while hurt, 503, and counts by path.
type service struct {
	hurt atomic.Bool
	hits map[string]*atomic.Int64
	url  string
}

func newService(t *testing.T, paths ...string) *service {
	s := &service{hits: map[string]*atomic.Int64{}}
	for _, p := range paths {
		s.hits["/"+p] = &atomic.Int64{}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits[r.URL.Path].Add(1)
		if s.hurt.Load() {
			w.WriteHeader(503)
		}
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *service) probe(mode experiment.ProbeMode) experiment.Probe {
	return experiment.Probe{Name: string(mode), Mode: mode, Every: fault.Duration(10 * time.Millisecond), Timeout: fault.Duration(20 * sec),
		HTTP: &experiment.HTTPProbe{URL: s.url + "/" + string(mode)}}
}

// wait until a path was asked n times.
func (s *service) wait(path string, n int64) {
	for s.hits["/"+path].Load() < n {
		time.Sleep(time.Millisecond)
	}
}

func TestRunner(t *testing.T) {
	s := newService(t, "start", "end", "edge", "continuous", "during-fault")
	var probes []experiment.Probe
	for _, m := range []experiment.ProbeMode{experiment.AtStart, experiment.AtEnd, experiment.AtEdges, experiment.Continuous, experiment.DuringFault} {
		probes = append(probes, s.probe(m))
	}
	r := NewRunner(probes, Env{})
	for _, p := range r.Results() {
		if p.Result != experiment.Unknown || p.Taken != 0 || !strings.Contains(p.Why, "never taken") {
			t.Errorf("before the start: %+v", p)
		}
	}
	r.Start(t.Context())
	r.Stage(experiment.StageSteady)
	if got := r.TakeNow(t.Context(), experiment.AtStart); len(got) != 2 || got[0].Result != experiment.Pass || got[1].Taken != 1 {
		t.Errorf("%+v", got)
	}
	s.wait("continuous", 3)
	if n := s.hits["/during-fault"].Load(); n != 0 {
		t.Errorf("during-fault was taken %d times with no fault in force", n)
	}
	r.Stage(experiment.StageHurt)
	s.wait("continuous", s.hits["/continuous"].Load()+2) // those of the stage before are over
	s.hurt.Store(true)
	r.FaultsInForce(true)
	s.wait("during-fault", 3)
	s.wait("continuous", s.hits["/continuous"].Load()+3)
	r.FaultsInForce(false)
	s.hurt.Store(false)
	r.Stage(experiment.StageRecovery)
	s.wait("continuous", s.hits["/continuous"].Load()+3)
	n := s.hits["/during-fault"].Load() // at most one that had begun
	s.wait("continuous", s.hits["/continuous"].Load()+10)
	if m := s.hits["/during-fault"].Load(); m > n+1 {
		t.Errorf("during-fault went on after the lift: %d, then %d", n, m)
	}
	r.TakeNow(t.Context(), experiment.AtEnd)
	r.Stop()
	r.Stop()
	after := s.hits["/continuous"].Load()
	time.Sleep(50 * time.Millisecond)
	if s.hits["/continuous"].Load() != after {
		t.Error("a stopped runner goes on")
	}
	want := map[string]struct {
		taken  int
		result experiment.Result
	}{"start": {1, experiment.Pass}, "end": {1, experiment.Pass}, "edge": {2, experiment.Pass}, "continuous": {0, experiment.Fail}, "during-fault": {0, experiment.Fail}}
	for _, p := range r.Results() {
		w := want[p.Probe]
		if p.Result != w.result || w.taken != 0 && p.Taken != w.taken || len(p.Points) != p.Taken {
			t.Errorf("%+v", p)
		}
		stages := map[experiment.Stage]int{}
		for _, pt := range p.Points {
			stages[pt.Stage]++
			if !pt.OK && pt.Stage == experiment.StageSteady {
				t.Errorf("%s failed before anything was hurt", p.Probe)
			}
		}
		if p.Probe == "continuous" && (stages[experiment.StageSteady] == 0 || stages[experiment.StageHurt] == 0 || stages[experiment.StageRecovery] == 0 || !strings.Contains(p.Why, "status 503")) {
			t.Errorf("%v %s", stages, p.Why)
		}
		if p.Probe == "edge" && (stages[experiment.StageSteady] != 1 || stages[experiment.StageRecovery] != 1) {
			t.Errorf("edge: %v", stages)
		}
	}
}

// TestSlowProbe: measurements do not pile up, and what Stop cuts off is not
// counted.
func TestSlowProbe(t *testing.T) {
	var inside, most, hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	p := experiment.Probe{Name: "slow", Every: fault.Duration(time.Millisecond), HTTP: &experiment.HTTPProbe{URL: srv.URL}, Timeout: fault.Duration(20 * sec)}
	ctx, cancel := context.WithCancel(t.Context())
	r := NewRunner([]experiment.Probe{p}, Env{})
	r.Start(ctx)
	for hits.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	r.Stop()
	got := r.Results()[0]
	if most.Load() != 1 || got.Failed != 0 || got.Taken < 3 || int64(got.Taken) > hits.Load() || got.Mode != experiment.Continuous {
		t.Errorf("%d at once, %+v", most.Load(), got)
	}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		pass, fail, unmade int
		tolerate           fault.Share
		want               experiment.Result
		why                string
	}{
		{10, 0, 0, 0, experiment.Pass, "all of 10"},
		{9, 1, 0, 0, experiment.Fail, "1 of 10 measurements failed; the last: boom"},
		{9, 1, 0, 0.1, experiment.Pass, "1 of 10 measurements failed, 10% are tolerated"},
		{8, 2, 0, 0.1, experiment.Fail, "2 of 10 measurements failed, more than the 10% tolerated"},
		{9, 0, 1, 0, experiment.Unknown, "1 of 10 measurements could not be made; the last: no measurement"},
		{8, 1, 1, 0.1, experiment.Unknown, "could not be made"},
		{8, 1, 1, 0.2, experiment.Pass, "20% are tolerated"},
		{0, 1, 0, 0, experiment.Fail, "the measurement failed"},
		{0, 0, 0, 0, experiment.Unknown, "never taken"},
	} {
		s := &series{probe: experiment.Probe{Name: "p", Tolerate: c.tolerate}, stride: 1}
		for range c.pass {
			s.add(experiment.ProbeSample{OK: true}, true)
		}
		for range c.fail {
			s.add(experiment.ProbeSample{Detail: "boom"}, true)
		}
		for range c.unmade {
			s.add(experiment.ProbeSample{Detail: "no measurement"}, false)
		}
		if r := s.result(); r.Result != c.want || !strings.Contains(r.Why, c.why) {
			t.Errorf("%+v: %s %s", c, r.Result, r.Why)
		}
	}
}

func TestThinning(t *testing.T) {
	s := &series{stride: 1}
	start := time.Now()
	for i := range 123_456 {
		s.add(experiment.ProbeSample{Time: start.Add(time.Duration(i) * sec), OK: true}, true)
	}
	p := s.result()
	if len(p.Points) > maxPoints || len(p.Points) < maxPoints/3 || p.Taken != 123_456 {
		t.Fatalf("%d points of %d", len(p.Points), p.Taken)
	}
	gap := p.Points[1].Time.Sub(p.Points[0].Time)
	for i := range p.Points[1:] {
		if p.Points[i+1].Time.Sub(p.Points[i].Time) != gap {
			t.Fatalf("not even at point %d", i)
		}
	}
}

// The sentence of a result holds one short line of what a command has said; the
// measurement keeps more of it.
func TestWhyIsOneLine(t *testing.T) {
	r := NewRunner([]experiment.Probe{{Name: "check", Mode: experiment.AtStart}}, Env{})
	for _, tt := range []struct{ detail, want string }{
		{"exit status 3: first\nsecond\nthird", "; the last: exit status 3: first"},
		{"exit status 3: first\rsecond", "; the last: exit status 3: first"},
		{"\n\n  first  \nsecond", "; the last: first"},
		{strings.Repeat("ü", 4000), "; the last: " + strings.Repeat("ü", 199) + "…"},
	} {
		for _, known := range []bool{true, false} {
			s := &series{probe: r.series[0].probe, stride: 1}
			s.add(experiment.ProbeSample{Detail: tt.detail}, known)
			got := s.result()
			if !strings.HasSuffix(got.Why, tt.want) {
				t.Errorf("why: %q, want it to end with %q", got.Why, tt.want)
			}
			if got.Points[0].Detail != tt.detail {
				t.Errorf("detail: %q", got.Points[0].Detail)
			}
		}
	}
}
