package experiment_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const shop = `
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: shop}
spec:
  services: {web: {address: "127.0.0.1:1", protocol: http}, db: {address: "127.0.0.1:2"}}
  edges: [{from: web, to: db, listen: "127.0.0.1:3"}]
`

const hurtDB = `
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: x}
spec:
  REF
  steps: [{for: 1s, faults: [{kind: net.refuse, target: {service: db}}]}]
`

func doc(ref string) []byte { return []byte(strings.Replace(hurtDB, "REF", ref, 1)) }

func parsed(t *testing.T, text string) *experiment.Topology {
	t.Helper()
	top, err := experiment.ParseTopology("topology.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func TestLoadFillsInDefaults(t *testing.T) {
	l, err := load(t, "testdata/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := l.Experiment.Spec
	if s.Traffic[1].Timeout.Std() != experiment.DefaultTimeout || s.Traffic[1].MaxInFlight != experiment.DefaultInFlight || s.Traffic[1].HTTP.Method != "GET" {
		t.Errorf("flow: %+v", s.Traffic[1])
	}
	if s.Traffic[0].Timeout.Std() != 2*time.Second || s.Traffic[0].MaxInFlight != 10 || s.Traffic[0].HTTP.Method != "POST" {
		t.Errorf("what is given must stay: %+v", s.Traffic[0])
	}
	if !slices.Equal(s.Gates[0].During, []experiment.Stage{experiment.StageSteady, experiment.StageHurt, experiment.StageRecovery}) || len(s.Gates[1].During) != 1 {
		t.Errorf("gates: %+v", s.Gates)
	}
	if p := s.Probes[4]; p.Mode != experiment.Continuous || p.Every.Std() != 5*time.Second || p.Timeout.Std() != experiment.DefaultProbeTime {
		t.Errorf("probe: %+v", p)
	}
	if s.Steady.For.Std() != 3*time.Second || s.Recovery.Hold.Std() != time.Second || s.Abort[0].For.Std() != experiment.DefaultAbortWindow {
		t.Errorf("stages: %+v %+v %+v", s.Steady, s.Recovery, s.Abort)
	}
	if l.Topology.Spec.Environment != experiment.DefaultEnvironment {
		t.Errorf("environment %q", l.Topology.Spec.Environment)
	}
	var steps, faults []string
	for _, st := range s.Steps {
		steps = append(steps, st.Name)
		for _, f := range st.Faults {
			faults = append(faults, f.Name)
		}
	}
	if want := []string{"step 1", "cuts", "paused"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q", steps)
	}
	if want := []string{"net.latency", "net.latency-2", "cut", "net.partition", "net.kill", "proc.pause", "http.status"}; !slices.Equal(faults, want) {
		t.Errorf("faults %q", faults)
	}
	minimal, err := experiment.Load(experiment.Input{Data: doc(""), Server: parsed(t, shop)})
	if err != nil {
		t.Fatal(err)
	}
	s = minimal.Experiment.Spec
	if s.Steady.For.Std() != experiment.DefaultSteady || s.Recovery.Within.Std() != experiment.DefaultWithin || s.Recovery.Hold.Std() != experiment.DefaultHold || s.Seed != nil {
		t.Errorf("stages: %+v %+v", s.Steady, s.Recovery)
	}
}

func TestLoadSet(t *testing.T) {
	l, err := load(t, "testdata/good/experiment.yaml", "spec.seed=9", "steps[0].for=2s", "steps[0].faults[0].params.delay=1s", "gates[0].success=>= 90%", "steady.for=1s", "traffic[0].rate=5/s")
	if err != nil {
		t.Fatal(err)
	}
	s := l.Experiment.Spec
	if *s.Seed != 9 || s.Steps[0].For.Std() != 2*time.Second || s.Steps[0].Faults[0].Params.(*fault.Latency).Delay.Std() != time.Second ||
		s.Gates[0].Success.String() != ">= 90%" || s.Steady.For.Std() != time.Second || s.Traffic[0].Rate.String() != "5/s" {
		t.Errorf("%+v", s)
	}
}

// TestLoadFindsTheTopology: each of the places it can be in.
func TestLoadFindsTheTopology(t *testing.T) {
	served := parsed(t, shop)
	read := func(want string) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			if path != filepath.FromSlash(want) {
				t.Errorf("%s was read, not %s", path, want)
			}
			return []byte(shop), nil
		}
	}
	inline := "topology: {services: {web: {address: \"127.0.0.1:1\", protocol: http}, db: {address: \"127.0.0.1:2\"}}, edges: [{from: web, to: db, listen: \"127.0.0.1:3\"}]}"
	both := append([]byte(shop+"---"), doc("topologyRef: shop")...)
	tests := map[string]struct {
		in     experiment.Input
		server bool // the server's is taken
		text   bool // the text comes along
	}{
		"a file beside it":               {experiment.Input{File: "a/b.yaml", Data: doc("topologyRef: t.yaml"), Read: read("a/t.yaml")}, false, true},
		"a file elsewhere":               {experiment.Input{File: "a/b.yaml", Data: doc("topologyRef: ../t.yaml"), Read: read("t.yaml")}, false, true},
		"inline":                         {experiment.Input{Data: doc(inline)}, false, false},
		"sent along":                     {experiment.Input{Data: doc("topologyRef: t.yaml"), TopologyFile: "t.yaml", TopologyData: []byte(shop)}, false, true},
		"sent along, no reference":       {experiment.Input{Data: doc(""), TopologyFile: "t.yaml", TopologyData: []byte(shop)}, false, true},
		"in the same file":               {experiment.Input{Data: both}, false, false},
		"in the same file, no reference": {experiment.Input{Data: append([]byte(shop+"---"), doc("")...)}, false, false},
		"the server's":                   {experiment.Input{Data: doc(""), Server: served}, true, false},
		"the server's by name":           {experiment.Input{Data: doc("topologyRef: shop"), Server: served}, true, false},
		"inline, like the server's":      {experiment.Input{Data: doc(inline), Server: served}, true, false},
		"sent along, like the server's":  {experiment.Input{Data: doc("topologyRef: t.yaml"), TopologyData: []byte(shop), Server: served}, true, true},
		"same file, like the server's":   {experiment.Input{Data: both, Server: served}, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := experiment.Load(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if (l.Topology == served) != tt.server || (string(l.TopologyText) == shop) != tt.text || len(l.Topology.Spec.Services) != 2 {
				t.Errorf("server %v, text %q", l.Topology == served, l.TopologyText)
			}
		})
	}
}

// TestDesignDocuments: what the design shows is what is understood.
func TestDesignDocuments(t *testing.T) {
	l, err := load(t, "testdata/good/experiment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if l.Topology.Metadata.Name != "shop" || len(l.Topology.Spec.Edges) != 2 || len(l.Experiment.Spec.Gates) != 2 || l.TopologyText == nil {
		t.Errorf("%+v", l)
	}
	data, err := os.ReadFile("testdata/good/experiment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	withExpect := strings.Replace(string(data), "  abort:", "  expect:\n    - {traffic: checkout, outcome: [ok, masked]}\n  abort:", 1)
	l, err = experiment.Load(experiment.Input{File: "testdata/good/experiment.yaml", Data: []byte(withExpect), Read: os.ReadFile})
	if err != nil || len(l.Experiment.Spec.Expect) != 1 || l.Experiment.Spec.Expect[0].Rules()[0].Words != "users get ok or masked" {
		t.Errorf("expect: %v", err)
	}
}

// TestBombs: what is hostile ends soon and clearly here, too.
func TestBombs(t *testing.T) {
	head := "apiVersion: chaosctl.dev/v1alpha1\nkind: Topology\nmetadata: {name: x}\nspec:\n"
	for name, tt := range map[string]struct{ in, want string }{
		"50 MiB":   {strings.Repeat("a: b\n", 10<<20), "topology.yaml: is 50.0 MiB long; the limit is 1 MiB"},
		"cycle":    {head + "  services: &s {a: {names: [x]}, b: *s}\n", "refers to itself by an alias"},
		"cut off":  {head + "  services: {a: {address: \"127", "the text ends here: is it cut off?"},
		"edges":    {head + "  services: {a: {address: \"h:1\"}}\n  edges:\n" + strings.Repeat("    - {from: a, to: b}\n", 1900), "has more mistakes"},
		"dups":     {head + "  services: {a: {address: \"h:1\"}, b: {address: \"h:2\"}}\n  edges:\n" + strings.Repeat("    - {from: a, to: b, listen: \"h:3\"}\n", 1900), "has more mistakes"},
		"too many": {head + "  services: {a: {address: \"h:1\"}}\n  edges:\n" + strings.Repeat("    - {from: a, to: b}\n", 9000), "spec.edges: there are 9000; the limit is 2000"},
	} {
		start := time.Now()
		_, err := experiment.ParseTopology("topology.yaml", []byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %.300v, want %s", name, err, tt.want)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestEdges(t *testing.T) {
	top := parsed(t, strings.Replace(shop, "listen: \"127.0.0.1:3\"}", "listen: \"127.0.0.1:3\"}, {from: users, to: web}, {from: db, to: web, protocol: tcp}", 1))
	for name, want := range map[string]experiment.Protocol{"web -> db": experiment.TCP, "users->web": experiment.HTTP, "  db   ->web ": experiment.TCP} {
		e, ok := top.Edge(name)
		if !ok || top.Spec.EdgeProtocol(e) != want {
			t.Errorf("%q: %v %s", name, ok, top.Spec.EdgeProtocol(e))
		}
	}
	for _, name := range []string{"db -> users", "web", "", "->"} {
		if _, ok := top.Edge(name); ok {
			t.Errorf("there is an edge %q", name)
		}
	}
}

func TestRules(t *testing.T) {
	var share experiment.ShareRule
	var span experiment.TimeRule
	var number experiment.NumberRule
	var rate experiment.PerTime
	read := map[string]func(string) (string, error){
		"share":  func(s string) (string, error) { err := share.UnmarshalText([]byte(s)); return share.String(), err },
		"time":   func(s string) (string, error) { err := span.UnmarshalText([]byte(s)); return span.String(), err },
		"number": func(s string) (string, error) { err := number.UnmarshalText([]byte(s)); return number.String(), err },
		"rate":   func(s string) (string, error) { err := rate.UnmarshalText([]byte(s)); return rate.String(), err },
	}
	for _, tt := range []struct{ kind, in, want string }{
		{"share", ">= 99.5%", ">= 99.5%"}, {"share", "<0.5", "< 50%"}, {"share", ">=99.999%", ">= 99.999%"}, {"share", ">= 99.5 %", ">= 99.5%"},
		{"time", "<=300ms", "<= 300ms"}, {"time", "> 1m", "> 1m0s"}, {"number", "< 0.01", "< 0.01"}, {"number", "==-1e3", "== -1000"}, {"number", "!= 0", "!= 0"},
		{"rate", "50/s", "50/s"}, {"rate", "0.5/s", "0.5/s"}, {"rate", "600/m", "600/m"}, {"rate", "360000000/h", "360000000/h"},
	} {
		if got, err := read[tt.kind](tt.in); err != nil || got != tt.want {
			t.Errorf("%s %q: got %q (%v)", tt.kind, tt.in, got, err)
		}
		if got, err := read[tt.kind](tt.want); err != nil || got != tt.want {
			t.Errorf("%s %q does not survive: %q (%v)", tt.kind, tt.want, got, err)
		}
	}
	for _, tt := range []struct{ kind, in, want string }{
		{"share", "99%", "such as \">= 99.5%\""}, {"share", "== 1", "such as"}, {"share", ">= 101%", "such as"}, {"share", ">= NaN", "such as"}, {"share", ">= -1%", "such as"}, {"share", "", "such as"},
		{"time", "300ms", "such as \"<= 300ms\""}, {"time", "<= 300", "needs a unit"}, {"time", "<= -1s", "negative"}, {"time", "!= 1s", "such as"},
		{"number", "0.01", "such as \"< 0.01\""}, {"number", "< NaN", "such as"}, {"number", "< Inf", "such as"}, {"number", "= 1", "such as"},
		{"rate", "50", "such as 50/s"}, {"rate", "0/s", "such as"}, {"rate", "-1/s", "such as"}, {"rate", "1e6/s", "up to 100000/s"}, {"rate", "5/d", "such as"}, {"rate", "Inf/s", "such as"}, {"rate", "NaN/s", "such as"}, {"rate", "1e-9/h", "such as"},
	} {
		if _, err := read[tt.kind](tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v", tt.kind, tt.in, err)
		}
	}
	_, _ = read["share"](">= 99.5%")
	_, _ = read["time"]("< 300ms")
	_, _ = read["number"]("!= 3")
	_, _ = read["rate"]("600/m")
	if !share.Holds(0.995) || share.Holds(0.9949) || span.Holds(300*time.Millisecond) || !span.Holds(299*time.Millisecond) || number.Holds(3) || !number.Holds(4) || rate.Interval() != 100*time.Millisecond {
		t.Error("a rule holds where it does not, or the other way round")
	}
}

func TestAsError(t *testing.T) {
	_, err := experiment.Load(experiment.Input{File: "f", Data: []byte("a: [")})
	e, ok := experiment.AsError(err)
	if !ok || e.Code != experiment.BadInput || e.ExitCode() != experiment.ExitInput || len(e.Problems) != 1 || e.Error() != err.Error() {
		t.Errorf("%+v", e)
	}
	if _, ok := experiment.AsError(errors.New("x")); ok {
		t.Error("any error is one of ours")
	}
	for code, exit := range map[experiment.Code]int{experiment.NotFound: 2, experiment.Guarded: 2, experiment.Unsupported: 2, experiment.CannotUndo: 5, experiment.Conflict: 1, experiment.Unavailable: 1} {
		if got := (&experiment.Error{Code: code}).ExitCode(); got != exit {
			t.Errorf("%s: exit %d", code, got)
		}
	}
	full := &experiment.Error{Message: "bad", Problems: experiment.Problems{{File: "f", Line: 1, Column: 2, Path: "a.b", Message: "is wrong"}}}
	if diff := cmp.Diff("bad:\nf:1:2: a.b: is wrong", full.Error()); diff != "" {
		t.Error(diff)
	}
}

// FuzzLoad: nothing panics, every error is Problems, and what is loaded can be
// placed.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "spec.seed=7")
	}
	f.Add(doc("topologyRef: shop"), "steps[0].faults[0].target.service=web")
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		top, err := experiment.ParseTopology("f", data)
		var ps experiment.Problems
		if err != nil && !errors.As(err, &ps) || err == nil && top.Spec.Validate() != nil {
			t.Fatalf("ParseTopology: %T %v", err, err)
		}
		l, err := experiment.Load(experiment.Input{File: "f", Data: data, Set: []string{set}, Read: func(string) ([]byte, error) { return []byte(shop), nil }})
		if err != nil {
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("the error is %T %v", err, err)
			}
			return
		}
		for _, flow := range l.Experiment.Spec.Traffic {
			u, err := url.Parse("http://127.0.0.1:1" + flow.HTTP.Path)
			if err != nil || u.Host != "127.0.0.1:1" || u.Fragment != "" {
				t.Fatalf("the path %q cannot be asked for: %v", flow.HTTP.Path, err)
			}
		}
		for _, step := range l.Experiment.Spec.Steps {
			for _, fl := range step.Faults {
				if _, err := experiment.ResolveTargets(&l.Topology.Spec, l.Experiment.Spec.Traffic, &fl, 1); err != nil {
					if _, ok := experiment.AsError(err); !ok {
						t.Fatalf("ResolveTargets: %T %v", err, err)
					}
				}
			}
		}
	})
}

// TestAtTheLimits: as many of each thing as is allowed, all of it wrong.
func TestAtTheLimits(t *testing.T) {
	var top, exp strings.Builder
	top.WriteString("apiVersion: chaosctl.dev/v1alpha1\nkind: Topology\nmetadata: {name: x}\nspec:\n  services:\n")
	for i := range 1000 {
		fmt.Fprintf(&top, "    service-with-a-long-name-%d: {address: \"h:%d\", protocol: http}\n", i, i+1)
	}
	top.WriteString("  edges:\n")
	for i := range 1999 {
		fmt.Fprintf(&top, "    - {from: service-with-a-long-name-%d, to: service-with-a-long-name-%d, listen: \"h:%d\"}\n", i/2, (i/2+1+i%2)%1000, 2000+i)
	}
	exp.WriteString("apiVersion: chaosctl.dev/v1alpha1\nkind: Experiment\nmetadata: {name: x}\nspec:\n  topologyRef: t\n  traffic:\n")
	for i := range 200 {
		fmt.Fprintf(&exp, "    - {name: f%d, service: service-with-a-long-name-%d, http: {path: /}, rate: 1/s}\n", i, i)
	}
	exp.WriteString("  steps:\n    - for: 1s\n      faults:\n")
	good := exp.String()
	for i := range 1000 {
		fmt.Fprintf(&exp, "        - {kind: net.reset, target: {service: service-with-a-longer-name-%d}}\n", i)
		good += fmt.Sprintf("        - {kind: net.reset, target: {service: service-with-a-long-name-%d}}\n", i)
	}
	load := func(text string) (*experiment.Loaded, error) {
		start := time.Now()
		l, err := experiment.Load(experiment.Input{File: "f", Data: []byte(text), Read: func(string) ([]byte, error) { return []byte(top.String()), nil }})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %s", took)
		}
		return l, err
	}
	if _, err := load(exp.String()); err == nil || !strings.Contains(err.Error(), "has more mistakes") || len(err.Error()) > 100_000 {
		t.Errorf("%.500v", err)
	}
	if _, err := load(good); err != nil {
		t.Errorf("%.500v", err)
	}
}
