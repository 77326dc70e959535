package chaosctl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/dns"
	"github.com/chaosctl/chaosctl/internal/driver/process"
	"github.com/chaosctl/chaosctl/internal/driver/relay"
	relays "github.com/chaosctl/chaosctl/internal/relay"
)

// drivers are all that the product has; a driver that is missing here leaves
// its kinds unserved.
func drivers() []driver.Driver {
	return []driver.Driver{relay.New(relays.NewSet(relays.Options{})), process.New(), dns.New(nil)}
}

// TestKindsServed: each kind of the catalogue is served by a driver, and each
// kind that a driver serves is in the catalogue.
func TestKindsServed(t *testing.T) {
	for _, w := range unserved(fault.Kinds(), drivers()) {
		t.Error(w)
	}
	if got := unserved(fault.Kinds(), drivers()[1:]); len(got) == 0 {
		t.Error("a driver that is left out is not noticed")
	}
	if got := unserved(fault.Kinds()[1:], drivers()); len(got) == 0 {
		t.Error("a kind that is served and not in the catalogue is not noticed")
	}
}

func unserved(kinds []*fault.Kind, drivers []driver.Driver) (wrong []string) {
	served := map[*fault.Kind]bool{}
	for _, d := range drivers {
		_, ks := d.Serves()
		for _, k := range ks {
			served[k] = true
			if !slices.Contains(kinds, k) {
				wrong = append(wrong, fmt.Sprintf("driver %s serves %s, which is not in the catalogue", d.Name(), k.Name))
			}
		}
	}
	for _, k := range kinds {
		if !served[k] {
			wrong = append(wrong, fmt.Sprintf("kind %s is served by no driver", k.Name))
		}
	}
	return wrong
}

// TestNewKind adds a kind as CONTRIBUTING.md says, by three new files and no
// edit, laid over the repository: the contract holds. Without the third file
// the contract test fails and names the kind; without the second, the catalogue
// test does.
func TestNewKind(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and tests a driver three times")
	}
	const driverDir = "internal/driver/relay/"
	files := map[string]string{
		"fault/net_sample.go":                 "word.go.txt",
		driverDir + "net_sample.go":           "effect.go.txt",
		driverDir + "net_sample_case_test.go": "case_test.go.txt",
	}
	for name := range files {
		if _, err := os.Stat(name); err == nil {
			t.Fatalf("%s exists: the sample must be three new files", name)
		}
	}
	without := func(leftOut string) string {
		overlay := map[string]map[string]string{"Replace": {}}
		for name, from := range files {
			if name != leftOut {
				overlay["Replace"][abs(t, name)] = abs(t, filepath.Join("testdata/newkind", from))
			}
		}
		text, err := json.Marshal(overlay)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "overlay.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Run("three files", func(t *testing.T) {
		out, err := goTest(t, without(""), "./"+driverDir, "^TestContract$/^net.sample$")
		if err != nil || !strings.Contains(out, "--- PASS: TestContract/net.sample") {
			t.Errorf("the contract does not hold: %v\n%s", err, out)
		}
	})
	t.Run("no contract case", func(t *testing.T) {
		out, err := goTest(t, without(driverDir+"net_sample_case_test.go"), "./"+driverDir, "^TestContract$/^none$")
		if err == nil || !strings.Contains(out, "net.sample") {
			t.Errorf("the case that is missing is not named: %v\n%s", err, out)
		}
	})
	t.Run("no effect", func(t *testing.T) {
		out, err := goTest(t, without(driverDir+"net_sample.go"), ".", "^TestKindsServed$")
		if err == nil || !strings.Contains(out, "kind net.sample is served by no driver") {
			t.Errorf("the effect that is missing is not noticed: %v\n%s", err, out)
		}
	})
}

func abs(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func goTest(t *testing.T, overlay, pkg, run string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-vet=off", "-v", "-count=1", "-run", run, pkg)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
