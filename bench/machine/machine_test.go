package machine

import (
	"os"
	"testing"
	"time"
)

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  1 2 3 1000 2000 4 5 6 7 8")
	if err != nil || got != 21*tick {
		t.Errorf("busy %v, %v", got, err)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8 9", "cpu 1 2 3", "cpu a 2 3 4 5 6 7 8"} {
		if got, err := parseBusy(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

// TestSelf: this process uses some of everything.
func TestSelf(t *testing.T) {
	pid := os.Getpid()
	cpu, err := CPU(pid)
	if err != nil || cpu <= 0 {
		t.Error(cpu, err)
	}
	for name, f := range map[string]func(int) (float64, error){"RSS": RSS, "peak": PeakRSS, "descriptors": Descriptors} {
		if got, err := f(pid); err != nil || got < 3 {
			t.Error(name, got, err)
		}
	}
	if _, err := CPU(-1); err == nil {
		t.Error("a process that is not there has used time")
	}
}

// TestForeign: whatever others do, it is a share of the machine.
func TestForeign(t *testing.T) {
	m, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		_ = time.Now()
	}
	if share, err := m.Foreign(); err != nil || share < 0 || share > 1.2 {
		t.Error(share, err)
	}
}
