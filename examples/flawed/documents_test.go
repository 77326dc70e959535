package flawed

import (
	"os"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// TestDocuments: every weakness that the judge knows has a case, and the experiment
// of a case describes its system.
func TestDocuments(t *testing.T) {
	for _, w := range experiment.Weaknesses() {
		if _, err := Find(string(w.Kind)); err != nil {
			t.Error(err)
		}
	}
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		if experiment.WeaknessKind(c.Name).InfoOf().Remedy == "" {
			t.Errorf("%s is no weakness that the judge knows", c.Name)
		}
		if !strings.Contains(string(index), c.Name+".yaml") {
			t.Errorf("README.md does not name %s.yaml", c.Name)
		}
		text, err := Document(c, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		l, err := experiment.Load(experiment.Input{File: c.Name + ".yaml", Data: text})
		if err != nil {
			t.Error(err)
			continue
		}
		if l.Experiment.Metadata.Name != c.Name {
			t.Errorf("%s.yaml is named %s", c.Name, l.Experiment.Metadata.Name)
		}
		at := c.Ports()
		for name, s := range l.Topology.Spec.Services {
			if s.Address != at[name] {
				t.Errorf("%s.yaml has %s at %s, and it is at %q", c.Name, name, s.Address, at[name])
			}
		}
		for _, e := range l.Topology.Spec.Edges {
			if name := (Edge{e.From, e.To}).String(); e.Listen != at[name] {
				t.Errorf("%s.yaml has the relay of %s at %s, and its caller dials %q", c.Name, name, e.Listen, at[name])
			}
		}
		if n, want := len(l.Topology.Spec.Services)+len(l.Topology.Spec.Edges), len(at); n != want {
			t.Errorf("%s.yaml has %d services and edges, and the system has %d", c.Name, n, want)
		}
	}
}

// TestStartRefuses: what is misspelt is said, and nothing is left running.
func TestStartRefuses(t *testing.T) {
	c, err := Find("no-timeout")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{
		{IDs: "some"},
		{Addresses: map[string]string{"nobody": "127.0.0.1:0"}},
		{Addresses: map[string]string{catalog: "127.0.0.1:-1"}},
	} {
		if s, err := Start(t.Context(), c, o); err == nil {
			t.Errorf("%+v is taken", o)
			_ = s.Close()
		}
	}
	if _, err := Find("bogus"); err == nil || !strings.Contains(err.Error(), "retries-without-cap") {
		t.Errorf("a flaw that does not exist: %v", err)
	}
}
