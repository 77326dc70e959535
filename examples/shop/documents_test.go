package shop

import (
	"encoding/json"
	"flag"
	"slices"
	"strings"
	"testing"
)

func TestDocuments(t *testing.T) {
	for name, at := range fixed() {
		topology, _, _ := Documents(nil)
		if strings.Count(string(topology), at) != 1 {
			t.Errorf("the port of %s, %s, must stand in the topology once", name, at)
		}
	}
	addresses := map[string]string{}
	for name := range fixed() {
		addresses[name] = "there:" + strings.ReplaceAll(name, " ", "")
	}
	topology, survives, falls := Documents(addresses)
	for name, at := range fixed() {
		for _, doc := range [][]byte{topology, survives, falls} {
			if strings.Contains(string(doc), at) {
				t.Errorf("%s: the fixed port %s is left in %s", name, at, strings.SplitN(string(doc), "\n", 2)[0])
			}
		}
		if !strings.Contains(string(topology), addresses[name]) {
			t.Errorf("%s: the new address is not in the topology", name)
		}
	}
}

// TestFixed: services of the fixed configuration listen where the topology says
// and call the relays.
func TestFixed(t *testing.T) {
	c := Fixed()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if len(c.Listen) != len(Services()) || len(c.Routes) != len(Edges()) {
		t.Errorf("fixed: %+v", c)
	}
	for _, addr := range c.Routes {
		for _, at := range c.Listen {
			if addr == at {
				t.Errorf("a caller dials %s itself, not its relay", at)
			}
		}
	}
}

// TestOptions: every option can be given as a flag and as JSON.
func TestOptions(t *testing.T) {
	var byFlag, byJSON Options
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	byFlag.Flags(fs)
	args := []string{"-no-fallback", "-no-cache", "-no-stock-fallback", "-no-timeout", "-retry-forever", "-retry-no-delay",
		"-no-breaker", "-slow-heal", "3s", "-timeout", "100ms", "-tries", "2"}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	fs.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(args, "-"+f.Name) {
			t.Errorf("flag -%s is not tried here", f.Name)
		}
	})
	b, err := json.Marshal(byFlag)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &byJSON); err != nil || byJSON != byFlag {
		t.Errorf("%s reads as %+v, %v", b, byJSON, err)
	}
	if !strings.Contains(string(b), `"slowHeal":"3s"`) {
		t.Errorf("durations must be text with a unit: %s", b)
	}
	if err := json.Unmarshal([]byte(`{"slowHeal":"-1s"}`), &byJSON); err == nil {
		t.Error("a negative duration is taken")
	}
}
