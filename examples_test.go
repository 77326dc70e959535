package chaosctl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/examples/shop"
	"github.com/chaosctl/chaosctl/experiment"
)

// TestExamplesLoad reads every document below examples and resolves its
// topology; each must be named in examples/README.md.
func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("examples/*/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("found %v, %v", files, err)
	}
	index, err := os.ReadFile("examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "kind: Topology") {
				if _, err := experiment.ParseTopology(file, text); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !strings.Contains(string(index), filepath.Base(file)) {
				t.Errorf("examples/README.md does not name it")
			}
			load(t, file, string(text))
		})
	}
}

// TestREADMETopologyLoads: what the README shows in full can be served.
func TestREADMETopologyLoads(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\napiVersion:")
	doc, _, _ := strings.Cut(rest, "```")
	topology, err := experiment.ParseTopology("README.md", []byte("apiVersion:"+doc))
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := topology.Edge("api-service -> db-service"); !ok || e.WhenDown != experiment.DownRefuse {
		t.Errorf("the edge to the database is %+v", e)
	}
}

// TestDemoDocumentsLoad: the demo's documents still load with other addresses.
func TestDemoDocumentsLoad(t *testing.T) {
	topology, survives, falls := shop.Documents(map[string]string{
		shop.API: "127.0.0.1:40001", shop.Auth: "127.0.0.1:40002", shop.APIToAuth: "127.0.0.1:40003",
	})
	topo, err := experiment.ParseTopology("topology.yaml", topology)
	if err != nil {
		t.Fatal(err)
	}
	if got := topo.Spec.Services[shop.API].Address; got != "127.0.0.1:40001" {
		t.Errorf("api-service is at %s", got)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "topology.yaml"), topology, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string][]byte{"survives": survives, "falls": falls} {
		if !strings.Contains(string(doc), "http://127.0.0.1:40001/healthz") {
			t.Errorf("%s: the probe does not ask the api-service's address", name)
		}
		load(t, filepath.Join(dir, name+".yaml"), string(doc))
	}
}

// load reads an experiment with the topology beside it, and places its faults.
func load(t *testing.T, file, text string) {
	t.Helper()
	l, err := experiment.Load(experiment.Input{File: file, Data: []byte(text), Read: os.ReadFile})
	if err != nil {
		t.Fatal(err)
	}
	spec := l.Experiment.Spec
	if spec.Hypothesis == "" || len(spec.Gates) == 0 {
		t.Errorf("%s: an example states a hypothesis and has a gate", file)
	}
	for _, s := range spec.Steps {
		for _, f := range s.Faults {
			placed, err := experiment.ResolveTargets(&l.Topology.Spec, spec.Traffic, &f, 7)
			if err != nil || len(placed) == 0 {
				t.Errorf("%s: %s is placed nowhere: %v", file, f.Title(), err)
			}
		}
	}
}
