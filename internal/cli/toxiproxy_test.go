package cli

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
)

// TestDoubled: flags with one dash become flags with two, values stay.
func TestDoubled(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.String("host", "", "")
	fs.Bool("proxy-metrics", false, "")
	for given, want := range map[string]string{
		"-host=0.0.0.0":              "--host=0.0.0.0",
		"-host x --host y":           "--host x --host y",
		"-proxy-metrics -nonsense":   "--proxy-metrics -nonsense",
		"-h -help":                   "-h --help",
		"-host -1 -- -host":          "--host -1 -- -host",
		"host -proxy-metrics=false ": "host --proxy-metrics=false",
	} {
		if got := strings.Join(doubled(fs, strings.Fields(given)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", given, got, want)
		}
	}
}

func TestAsToxiproxy(t *testing.T) {
	for program, want := range map[string][]string{
		"/usr/bin/toxiproxy-server": {"toxiproxy", "-port", "1"}, "toxiproxy": {"toxiproxy", "-port", "1"},
		"/usr/bin/chaosctl": {"-port", "1"}, "": {"-port", "1"}, "toxiproxy-cli": {"-port", "1"},
	} {
		if got := asToxiproxy(program, []string{"-port", "1"}); !slices.Equal(got, want) {
			t.Errorf("%s: %q", program, got)
		}
	}
}

// locked is a buffer that counts writes.
type locked struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	return l.text.Write(p)
}

// TestBurstWriter: the first line is there at once, all are in the end, in order.
func TestBurstWriter(t *testing.T) {
	out := &locked{}
	w := &burstWriter{to: out}
	var want strings.Builder
	for i := range 10_000 {
		line := strings.Repeat("x", i%50) + "\n"
		want.WriteString(line)
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		if i == 0 && out.text.Len() == 0 {
			t.Error("the first line waits")
		}
	}
	w.close()
	if out.text.String() != want.String() {
		t.Error("lines are lost or out of order")
	}
	if out.writes > 5000 {
		t.Errorf("%d writes", out.writes)
	}
	if _, err := w.Write([]byte("late\n")); err != nil || !strings.HasSuffix(out.text.String(), "late\n") {
		t.Error("what comes after the end is lost")
	}
}
