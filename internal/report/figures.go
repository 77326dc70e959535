package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// figureRow is one thing that was inferred of a caller.
type figureRow struct {
	What, Value   string
	Known         bool
	Sure, Samples string
	Why           string
	Refs          refs
}

// figuresOf lists all that was inferred of an edge. What is not known says what was
// missing.
func figuresOf(b *experiment.EdgeBehaviour, drawn map[uint64]bool) []figureRow {
	var rows []figureRow
	unknown := map[string]int{} // rows by their reasons: one row for what lacks the same
	add := func(what string, f *experiment.Finding, value string) {
		row := figureRow{What: what, Value: value, Known: f.Known, Samples: count(whole(f.Samples)), Why: sentence(f.Why), Refs: refsOf(f.Evidence, drawn, 5)}
		if !f.Known {
			row.Value = "unknown"
			if row.Why == "" {
				row.Why = "Nothing was seen that would show it."
			}
			if i, ok := unknown[row.Why]; ok {
				rows[i].What += ", " + strings.ToLower(what[:1]) + what[1:]
				return
			}
			unknown[row.Why] = len(rows)
		} else {
			row.Sure = sure(f.Confidence)
			if c := 100 * f.Confidence; c >= 1 && c <= 100 && !math.IsNaN(c) {
				row.Sure += fmt.Sprintf(" (%.0f%%)", math.Floor(c))
			}
		}
		rows = append(rows, row)
	}
	add("Attempts per call", &b.Tries.Finding, triesValue(&b.Tries))
	add("Waits between attempts", &b.Spacing.Finding, spacingValue(&b.Spacing))
	add("Time limit", &b.Timeout.Finding, timeoutValue(&b.Timeout))
	if len(b.Retried) > 0 {
		rows = append(rows, retriedRow(b.Retried, drawn))
	}
	add("Retry-After", &b.RetryAfter.Finding, fmt.Sprintf("obeyed %s of %s: asked for %s, waited %s", count(b.RetryAfter.Obeyed), plural(b.RetryAfter.Asked, "time"), dur(b.RetryAfter.Wanted.Std()), dur(b.RetryAfter.Waited.Std())))
	add("Circuit breaker", &b.Breaker.Finding, breakerValue(&b.Breaker))
	if b.Breaker.Known && b.Breaker.Seen {
		add("Breaker, half-open", &b.Breaker.HalfOpen, halfOpenValue(&b.Breaker))
		add("Breaker, closes again", &b.Breaker.Closed, map[ending]string{closedAgain: afterLift(b.Breaker.ClosedAfter.Std()), staysOpen: "it does not"}[breakerEnd(&b.Breaker)])
	}
	add("Load on the callee", &b.Amplification.Finding, loadValue(&b.Amplification))
	add("Order of time limits", &b.Inversion.Finding, inversionValue(&b.Inversion))
	add("Fallback", &b.Fallback.Finding, fallbackValue(&b.Fallback))
	add("Health check", &b.HealthCheck.Finding, healthValue(&b.HealthCheck))
	return rows
}

func triesValue(t *experiment.Tries) string {
	switch {
	case t.Endless:
		return count(whole(t.Most)) + " and more, no end seen"
	case t.Most == 1:
		return "1: no retries"
	}
	return fmt.Sprintf("at most %s: %s", count(whole(t.Most)), plural(whole(t.Most-1), "retry"))
}

func spacingValue(s *experiment.Spacing) string {
	names := map[experiment.SpacingKind]string{experiment.SpacingNone: "none", experiment.SpacingFixed: "fixed", experiment.SpacingLinear: "growing evenly (linear)", experiment.SpacingExponential: "growing by a factor (exponential)"}
	text, ok := names[s.Kind]
	if !ok {
		return clip(clean(string(s.Kind)), 40)
	}
	if words := waitWords(s); s.Kind != experiment.SpacingNone && words != "" {
		text += ": " + words
	}
	if s.Kind == experiment.SpacingExponential && s.Factor > 0 {
		text += "; base " + dur(s.Base.Std()) + ", factor " + perCall(s.Factor)
	}
	if s.Cap > 0 {
		text += "; the longest " + dur(s.Cap.Std())
	}
	return text
}

func timeoutValue(t *experiment.Timeout) string {
	var parts []string
	switch {
	case t.None:
		text := "none seen"
		if t.AtLeast > 0 {
			text += ": it waited " + dur(t.AtLeast.Std())
		}
		parts = append(parts, text)
	case t.PerTry > 0:
		parts = append(parts, dur(t.PerTry.Std())+" for an attempt")
	}
	if t.Total > 0 {
		parts = append(parts, dur(t.Total.Std())+" for a call, all attempts")
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}

// retriedRow is what attempts are followed by another, by how they ended.
func retriedRow(all []experiment.Retried, drawn map[uint64]bool) figureRow {
	row := figureRow{What: "What it tries again", Known: true, Why: "Of the attempts that ended so, how many were followed by another."}
	var parts []string
	var n uint64
	var numbers []uint64
	for i, x := range all {
		if i == 10 {
			parts = append(parts, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		name := x.Outcome
		if x.Method != "" {
			name = x.Method + " " + x.Outcome
		}
		if x.Keyed {
			name += " with a key"
		}
		parts = append(parts, fmt.Sprintf("%s: %s of %s", clip(clean(name), 60), count(x.Retried), count(x.Ended)))
		n = addUp(n, x.Ended)
		numbers = append(numbers, x.Evidence...)
	}
	row.Value, row.Samples, row.Refs = strings.Join(parts, "; "), count(n), refsOf(numbers, drawn, 5)
	return row
}

func breakerValue(b *experiment.Breaker) string {
	if !b.Seen {
		return "none: it went on calling"
	}
	text := "opens"
	if b.OpensAfter > 0 {
		text += failures(b)
	}
	if s := 100 * b.ShareBefore; s >= 50 && s <= 100 {
		text += fmt.Sprintf(" (%.0f%% of calls before it failed)", s)
	}
	if b.OpenFor > 0 {
		text += ", stays open " + dur(b.OpenFor.Std())
	}
	return text
}

func halfOpenValue(b *experiment.Breaker) string {
	if b.Probes > 0 {
		return "yes: " + plural(whole(b.Probes), "probe") + " at a time"
	}
	return "no: the full load comes back at once"
}

func loadValue(a *experiment.Amplification) string {
	text := perCall(a.Hurt) + " attempts per call while hurt, " + perCall(a.Steady) + " before"
	if a.EndToEnd > 0 {
		text += "; per request of a user " + perCall(a.EndToEnd) + ", " + perCall(a.SteadyEndToEnd) + " before"
	}
	for i, l := range a.Layers {
		if i == 0 {
			text += "; multiplied at "
		} else {
			text += ", "
		}
		text += l.Edge + " (times " + factor(l.Factor) + ")"
	}
	return text
}

func inversionValue(i *experiment.Inversion) string {
	if !i.Seen {
		return "right: it does not outwait its own caller"
	}
	at := ""
	if i.InnerAtLeast {
		at = "at least "
	}
	return fmt.Sprintf("wrong: it waits %s%s here, but its own caller (%s) leaves after %s", at, dur(i.Inner.Std()), i.Above, dur(i.Outer.Std()))
}

func fallbackValue(f *experiment.Fallback) string {
	if !f.Seen {
		return "none: " + plural(f.Failed, "failed call") + ", none answered well"
	}
	text := fmt.Sprintf("%s of %s answered well", count(f.Answered), plural(f.Failed, "failed call"))
	if f.Cost > 0 {
		text += ", " + dur(f.Cost.Std()) + " later than usual"
	}
	if f.To != "" {
		text += ", by " + f.To
	}
	if f.SameCallee {
		text += " (the same callee)"
	}
	return text
}

func healthValue(h *experiment.HealthCheck) string {
	if !h.Seen {
		return "none"
	}
	text := h.Path
	if h.Every > 0 {
		text += " every " + dur(h.Every.Std())
	}
	if h.Ignored {
		return text + "; a bad answer changes nothing"
	}
	return text
}
