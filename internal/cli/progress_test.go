package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/report"
)

func someProgress() *experiment.Progress {
	return &experiment.Progress{
		Run: "r-1", Stage: experiment.StageHurt, Step: "auth is slow\x1b[2J and 宽宽宽宽宽宽宽宽宽宽",
		Elapsed: fault.Duration(2 * time.Second), Remaining: fault.Duration(3 * time.Second),
		Flows:  []experiment.FlowNow{{Name: "checkout", Rate: 49.6, Errors: 0.024, P50: 12, P99: 412.4}},
		Faults: []string{"net.latency on api-service -> auth-service"},
	}
}

func TestFrameFits(t *testing.T) {
	run := experiment.RunSummary{ID: "r-1", Experiment: strings.Repeat("long-", 20)}
	for _, width := range []int{20, 40, 80, 300} {
		for _, line := range frame(run, someProgress(), width, report.Style{}) {
			if w := lipgloss.Width(line); w >= width || strings.ContainsAny(line, "\n\x1b") {
				t.Errorf("width %d: %d columns: %q", width, w, line)
			}
		}
	}
	text := strings.Join(frame(run, someProgress(), 120, report.Style{}), "\n")
	for _, want := range []string{"hurt", "3s left", "50/s", "2.4% failed", "p99  412ms", "in force: net.latency"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The figures stay whole on a narrow terminal; p50 and the name give way.
func TestFlowLineNarrow(t *testing.T) {
	f := experiment.FlowNow{Name: "checkout-of-the-shop", Rate: 12345, Errors: 0.024, P50: 12, P99: 412.4}
	for _, width := range []int{35, 40, 50, 59, 60, 64, 80} {
		line := flowLine(f, width, report.Style{})
		if w := lipgloss.Width(line); w > width {
			t.Errorf("width %d: %d columns", width, w)
		}
		for _, want := range []string{"12345/s", "2.4% failed", "412ms"} {
			if !strings.Contains(line, want) {
				t.Errorf("width %d: no %q in %q", width, want, line)
			}
		}
	}
	marked := flowLine(f, 60, report.Style{Bad: func(s string) string { return "!" + s + "!" }})
	if !strings.Contains(marked, "2.4% failed!") {
		t.Errorf("failures do not stand out: %q", marked)
	}
}

func TestProgressPlain(t *testing.T) {
	var b bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &progress{w: &b, run: experiment.RunSummary{ID: "r-1"}, now: func() time.Time { return now }}
	seq := uint64(0)
	show := func(typ string) {
		seq++
		p.show(experiment.Event{Seq: seq, Type: typ, ID: "r-1", Message: "m", Progress: someProgress()})
	}
	show("run-stage")
	for range 12 { // once a second: two of them are told
		now = now.Add(time.Second)
		show("run-progress")
	}
	show("run-ended")
	p.show(experiment.Event{Seq: 1, Type: "run-stage", ID: "r-1"}) // told before
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	if !strings.HasPrefix(lines[0], "03:04:05 hurt (auth is slow") || !strings.Contains(lines[1], "checkout 50/s, 2.4% failed, p99 412ms; in force: net.latency") {
		t.Errorf("lines:\n%s", b.String())
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("control characters")
	}
}

// A name in an event forges no line.
func TestProgressIsOneLine(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, now: time.Now}
	p.show(experiment.Event{Seq: 1, Type: "run-started", ID: "r-1", Message: "toxiproxy -> a\n16:00:00 ended: pass"})
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `a\n16:00:00 ended: pass`) {
		t.Errorf("got %q", got)
	}
}

// On a terminal each frame takes the place of the one before, also a shorter
// one, and close takes the last away.
func TestProgressRedraws(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, width: func() int { return 80 }, now: time.Now, run: experiment.RunSummary{Experiment: "x"}}
	p.show(experiment.Event{Seq: 1, Type: "run-progress", Progress: someProgress()})
	first := p.drawn
	b.Reset()
	p.show(experiment.Event{Seq: 2, Type: "run-progress", Progress: &experiment.Progress{Stage: experiment.StageJudge}})
	if !strings.HasPrefix(b.String(), "\x1b["+string(rune('0'+first))+"A") || p.drawn >= first {
		t.Errorf("the second frame is %q after %d lines", b.String(), first)
	}
	b.Reset()
	p.close()
	if !strings.HasSuffix(b.String(), "\x1b[J") || p.drawn != 0 {
		t.Errorf("close wrote %q", b.String())
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 1500 * time.Microsecond: "2ms", 2340 * time.Millisecond: "2.3s",
		59 * time.Second: "59s", 10 * time.Minute: "10m", time.Hour: "1h", 90 * time.Minute: "1h30m", 61 * time.Second: "1m1s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %s, want %s", d, got, want)
		}
	}
}
