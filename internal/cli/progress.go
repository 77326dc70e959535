package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/report"
)

// plainEvery is how often progress is printed where nothing can be redrawn.
const plainEvery = 5 * time.Second

// progress shows a run as it goes, on stderr: a few lines that are redrawn on a
// terminal, lines with a time elsewhere.
type progress struct {
	w     io.Writer
	style report.Style
	run   experiment.RunSummary
	width func() int // of the terminal; nil if there is none
	quiet bool

	mu    sync.Mutex
	seen  uint64    // the last event that was shown
	drawn int       // lines on the screen that the next frame replaces
	told  time.Time // when the last plain line was printed
	now   func() time.Time
}

func (a *app) newProgress(run experiment.RunSummary, quiet bool) *progress {
	p := &progress{w: a.env.Stderr, style: a.style(a.env.Stderr), run: run, quiet: quiet, now: time.Now}
	if _, ok := a.terminal(a.env.Stderr); ok {
		p.width = func() int { w, _ := a.terminal(a.env.Stderr); return max(w, 20) }
	}
	return p
}

// show shows an event of the run, once.
func (p *progress) show(ev experiment.Event) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ev.Seq <= p.seen { // told before, when waiting began again
		return
	}
	p.seen = ev.Seq
	if p.width != nil {
		if ev.Progress != nil && ev.Type != "run-ended" {
			p.draw(frame(p.run, ev.Progress, p.width(), p.style))
		}
		return
	}
	now := p.now()
	switch {
	case ev.Type == "run-stage" && ev.Progress != nil && ev.Progress.Stage == experiment.StageInject && ev.Progress.Step == "":
		return // the steps that follow say more
	case ev.Type == "run-started" || ev.Type == "run-ended" || ev.Type == "run-stage":
	case ev.Progress != nil && now.Sub(p.told) >= plainEvery:
	default:
		return
	}
	p.told = now
	fmt.Fprintln(p.w, line(now.Format(time.TimeOnly)+" "+plainLine(ev)))
}

// say puts a line above whatever is redrawn.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintln(p.w, text)
}

// close takes the live lines away; the report that follows says it all.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\x1b[%dA\r\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) draw(lines []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, l := range lines {
		b.WriteString("\r\x1b[2K" + l + "\n")
	}
	b.WriteString("\x1b[J")
	p.drawn = len(lines)
	_, _ = io.WriteString(p.w, b.String())
}

// stageWords say what each stage is for.
func stageWords(s experiment.Stage) string {
	switch s {
	case experiment.StageCheck:
		return "checking that all is well"
	case experiment.StageSteady:
		return "steady: gates must hold before anything is hurt"
	case experiment.StageInject:
		return "injecting"
	case experiment.StageHurt:
		return "hurt"
	case experiment.StageLift:
		return "lifting everything"
	case experiment.StageRecovery:
		return "recovery: gates must hold again"
	case experiment.StageJudge:
		return "judging"
	case experiment.StageDone:
		return "done"
	}
	return string(s)
}

func title(p *experiment.Progress) string {
	if p.Step != "" {
		return stageWords(p.Stage) + " (" + p.Step + ")"
	}
	return stageWords(p.Stage)
}

// plainLine is an event as one line of a log.
func plainLine(ev experiment.Event) string {
	p := ev.Progress
	switch {
	case ev.Type == "run-started":
		return "run " + ev.ID + ": " + ev.Message
	case ev.Type == "run-ended":
		return "ended: " + ev.Message
	case p == nil:
		return ev.Message
	}
	line := title(p)
	if p.Remaining > 0 {
		line += ", " + short(p.Remaining.Std()) + " left"
	}
	for _, f := range p.Flows {
		line += "; " + flowWords(f)
	}
	if len(p.Faults) > 0 {
		line += "; in force: " + strings.Join(p.Faults, ", ")
	}
	return line
}

func flowWords(f experiment.FlowNow) string {
	return fmt.Sprintf("%s %.0f/s, %s failed, p99 %s", f.Name, f.Rate, percent(f.Errors), millis(f.P99))
}

func percent(share float64) string {
	switch {
	case share <= 0:
		return "0%"
	case share < 0.1:
		return fmt.Sprintf("%.1f%%", share*100)
	}
	return fmt.Sprintf("%.0f%%", share*100)
}

func millis(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	return short(time.Duration(ms * float64(time.Millisecond)))
}
