package figure

import (
	"maps"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/bench/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFiguresFillTheirMetrics takes what needs no toxic of a real proxy and of
// none, very shortly: every metric that is announced has a value, and no other.
func TestFiguresFillTheirMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iocopy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../iocopy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, p := range []*peer.Peer{peer.NewIOCopy(path), peer.NewDirect()} {
		for _, f := range All() {
			if !f.Needs(p) || f.Name == "idle" { // 5,000 connections are more than a test may open
				continue
			}
			t.Run(f.Name+" of "+p.Name, func(t *testing.T) {
				s, err := f.Take(t.Context(), p, 0.15)
				if err != nil {
					t.Fatal(err)
				}
				announced := map[string]bool{}
				for _, m := range f.Metrics {
					if m.Series != "" {
						announced[m.Series] = true
					} else {
						announced[m.Name] = true
					}
					value, ok := s.Values[m.Name]
					if !ok && m.Series == "" && p.Process {
						t.Errorf("%s has no value", m.Name)
					}
					if math.IsNaN(value) || value < 0 {
						t.Errorf("%s is %v", m.Name, value)
					}
					if m.Series != "" && len(s.Series[m.Series]) == 0 {
						t.Errorf("%s has no series", m.Name)
					}
				}
				for _, name := range slices.Concat(slices.Collect(maps.Keys(s.Values)), slices.Collect(maps.Keys(s.Series))) {
					if !announced[name] {
						t.Errorf("%s is no metric of the figure", name)
					}
				}
			})
		}
	}
}

func TestWorst(t *testing.T) {
	if got := worst([]float64{100, 92, 105}, 100); math.Abs(got-0.08) > 1e-9 {
		t.Errorf("worst deviation %v, want 0.08", got)
	}
}
