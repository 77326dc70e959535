package cli

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/report"
)

// frame draws a run as it stands: the stage and what is left of it, a line for
// each flow, a line for what is in force. No line is wider than width, so that
// the next frame finds them where they are.
func frame(run experiment.RunSummary, p *experiment.Progress, width int, style report.Style) []string {
	width = min(width, 100) - 1
	left := ""
	if p.Remaining > 0 {
		left = short(p.Remaining.Std().Round(time.Second)) + " left"
	}
	head := clip(run.Experiment, width/2) + "  " + title(p)
	lines := []string{bold(style, clip(head, width))}
	barWidth := min(40, width-len(left)-3)
	if barWidth >= 10 {
		lines = append(lines, "  "+bar(p, barWidth)+" "+dim(style, left))
	}
	for _, f := range p.Flows {
		lines = append(lines, flowLine(f, width, style))
	}
	if len(p.Faults) > 0 {
		lines = append(lines, warn(style, clip("  in force: "+strings.Join(p.Faults, ", "), width)))
	} else {
		lines = append(lines, dim(style, "  nothing in force"))
	}
	return lines
}

// flowLine is a flow's last second; its failures stand out. Where there is no
// room for all, p50 goes first, then the columns, then the end of the name.
func flowLine(f experiment.FlowNow, width int, style report.Style) string {
	tone := style.Good
	if f.Errors > 0 {
		tone = style.Bad
	}
	name := clip(fmt.Sprintf("  %-16s", f.Name), max(width/2, 18))
	rate, failed := fmt.Sprintf(" %6.0f/s", f.Rate), fmt.Sprintf("  %5s failed", percent(f.Errors))
	p50, p99 := fmt.Sprintf("  p50 %6s", millis(f.P50)), fmt.Sprintf("  p99 %6s", millis(f.P99))
	if lipgloss.Width(name+rate+failed+p50+p99) > width {
		p50 = ""
	}
	if lipgloss.Width(name+rate+failed+p99) > width {
		rate, failed, p99 = fmt.Sprintf(" %.0f/s", f.Rate), " "+percent(f.Errors)+" failed", " p99 "+millis(f.P99)
		name = clip("  "+f.Name, max(width-lipgloss.Width(rate+failed+p99), 3))
	}
	if line := name + rate + failed + p50 + p99; lipgloss.Width(line) > width {
		return clip(line, width)
	}
	return name + rate + paint(tone, failed) + p50 + p99
}

func bar(p *experiment.Progress, width int) string {
	whole := p.Elapsed + p.Remaining
	full := width
	if whole > 0 {
		full = int(float64(width) * float64(p.Elapsed) / float64(whole))
	}
	full = min(max(full, 0), width)
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// clip shortens one line of text to a width.
func clip(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, safe(s))
	if lipgloss.Width(s) <= width {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && lipgloss.Width(string(r)) > width-1 {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

func paint(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

func bold(s report.Style, text string) string { return paint(s.Bold, text) }
func dim(s report.Style, text string) string  { return paint(s.Dim, text) }
func warn(s report.Style, text string) string { return paint(s.Warn, text) }
