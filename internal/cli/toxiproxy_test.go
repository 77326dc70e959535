package cli

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// locked is a buffer that counts writes, and takes none while it is stuck.
type locked struct {
	stuck  sync.Mutex
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (l *locked) Write(p []byte) (int, error) {
	l.stuck.Lock()
	defer l.stuck.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	return l.text.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestBurstWriter: the first line is there at once, all are in the end, in order.
func TestBurstWriter(t *testing.T) {
	out := &locked{}
	w := newBurstWriter(out, func() { t.Error("it takes none") })
	var want strings.Builder
	for i := range 10_000 {
		line := strings.Repeat("x", i%50) + "\n"
		want.WriteString(line)
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		if i == 0 {
			for end := time.Now().Add(10 * time.Second); out.String() == ""; runtime.Gosched() {
				if time.Now().After(end) {
					t.Fatal("the first line waits for the end")
				}
			}
		}
	}
	w.close()
	if out.String() != want.String() {
		t.Error("lines are lost or out of order")
	}
	if out.writes > 5000 {
		t.Errorf("%d writes", out.writes)
	}
	if n, err := w.Write([]byte("late\n")); n != 5 || err != nil {
		t.Error(n, err)
	}
}

// TestNobodyReadsTheLog: whoever writes a line never waits, nor does the end.
func TestNobodyReadsTheLog(t *testing.T) {
	out := &locked{}
	out.stuck.Lock()
	w := newBurstWriter(out, func() { t.Error("it takes none") })
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 3 * holdMost / len(line) {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	out.stuck.Unlock()
	w.close()
	if text := out.String(); len(text) > 2*holdMost+1000 || !strings.Contains(text, "lines of the log are missing") {
		t.Errorf("%d bytes, without a word", len(text))
	}
	out.stuck.Lock()
	w = newBurstWriter(out, func() { t.Error("it takes none") })
	if _, err := w.Write(line); err != nil {
		t.Fatal(err)
	}
	w.close()
	out.stuck.Unlock()
	<-w.done
}

// TestLogIsLost: that stdout takes no lines is said, and is no failure.
func TestLogIsLost(t *testing.T) {
	said := 0
	w := newBurstWriter(full{}, sync.OnceFunc(func() { said++ }))
	for range 3 {
		if _, err := w.Write([]byte("x\n")); err != nil {
			t.Error(err)
		}
	}
	w.close()
	if said != 1 {
		t.Errorf("it is said %d times", said)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
