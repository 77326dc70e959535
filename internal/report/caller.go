package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// caller is what the caller of an edge was seen to do, in short sentences, and what
// could not be seen.
type caller struct {
	Edge   string
	Did    []labelled // the same, by what the question asks for, and shorter
	Seen   []string
	Unseen []string
}

// Text is all that was seen, in one paragraph.
func (c caller) Text() string { return strings.Join(c.Seen, " ") }

// NotSeen names what is unknown, in one sentence; empty if nothing is.
func (c caller) NotSeen() string {
	if len(c.Unseen) == 0 {
		return ""
	}
	return "Not seen: " + strings.Join(c.Unseen, ", ") + "."
}

func (c *caller) saw(format string, args ...any) {
	c.Seen = append(c.Seen, capital(fmt.Sprintf(format, args...))+".")
}

func (c *caller) missed(what string) { c.Unseen = append(c.Unseen, what) }

// glimpse is what a caller was seen to do about failures, in a few words each.
func glimpse(b *experiment.EdgeBehaviour) []labelled {
	retries, limit, breaker, fallback := labelled{Label: "Retries"}, labelled{Label: "Time limit"}, labelled{Label: "Breaker"}, labelled{Label: "Fallback"}
	if t := &b.Tries; t.Known {
		retries.Text = "none, one attempt only"
		if t.Most > 1 || t.Endless {
			retries.Text = "up to " + plural(whole(t.Most), "attempt")
			if t.Endless {
				retries.Text = plural(whole(t.Most), "attempt") + ", no end seen"
			}
			if words := waitWords(&b.Spacing); b.Spacing.Known && words != "" {
				retries.Text += ", " + words
			}
		}
	}
	if t := &b.Timeout; t.Known {
		limit.Text = "none seen"
		if t.None && t.AtLeast > 0 {
			limit.Text += ", it waited " + dur(t.AtLeast.Std())
		} else if !t.None && t.PerTry > 0 {
			limit.Text = "hangs up after " + dur(t.PerTry.Std())
		}
		if t.Total > 0 {
			limit.Text += "; " + dur(t.Total.Std()) + " for all attempts"
		}
	}
	if k := &b.Breaker; k.Known {
		breaker.Text = "none, it went on calling"
		if k.Seen {
			breaker.Text = "opened"
			if k.OpensAfter > 0 {
				breaker.Text += failures(k)
			}
			switch breakerEnd(k) {
			case closedAgain:
				breaker.Text += ", closed " + afterLift(k.ClosedAfter.Std())
			case staysOpen:
				breaker.Text += ", never closed again"
			}
		}
	}
	if f := &b.Fallback; f.Known {
		fallback.Text = "none"
		if f.Seen {
			fallback.Text = count(f.Answered) + " of " + plural(f.Failed, "failed call") + " answered well"
			if f.Cost >= fault.Duration(1e6) {
				fallback.Text += ", " + dur(f.Cost.Std()) + " later than usual"
			}
		}
	}
	return slices.DeleteFunc([]labelled{retries, limit, breaker, fallback}, func(l labelled) bool { return l.Text == "" })
}

// callerOf puts the behaviour of an edge in words.
func callerOf(b *experiment.EdgeBehaviour) caller {
	c := caller{Edge: b.Edge, Did: glimpse(b)}
	c.retries(b)
	c.timeouts(b)
	c.breaker(&b.Breaker)
	c.fallback(&b.Fallback)
	c.load(b)
	if h := &b.HealthCheck; h.Known && h.Seen {
		text := "asks for its health at " + h.Path
		if h.Every > 0 {
			text += " every " + dur(h.Every.Std())
		}
		if h.Ignored {
			text += ", and calls it even if the answer is bad"
		}
		c.saw("%s", text)
	}
	return c
}

func (c *caller) retries(b *experiment.EdgeBehaviour) {
	switch t := &b.Tries; {
	case !t.Known:
		c.missed("retries")
		return
	case t.Endless:
		c.saw("tried failed calls again and again, %s, with no end seen%s", plural(whole(t.Most), "time"), c.waits(&b.Spacing))
	case t.Most <= 1:
		c.saw("made one attempt only; no retries")
		return
	default:
		c.saw("tried a failed call up to %s%s", plural(whole(t.Most), "time"), c.waits(&b.Spacing))
	}
	if ra := &b.RetryAfter; ra.Known {
		if ra.Obeyed >= ra.Asked {
			c.saw("waited as long as the callee asked for (Retry-After)")
		} else {
			c.saw("came back %s later although the callee had asked for %s (Retry-After)", dur(ra.Waited.Std()), dur(ra.Wanted.Std()))
		}
	}
}

// waits is the rest of the sentence about attempts.
func (c *caller) waits(s *experiment.Spacing) string {
	if !s.Known {
		c.missed("the waits between attempts")
		return ""
	}
	text := waitWords(s)
	if text == "" {
		return ""
	}
	return ", " + text
}

// waitWords is how waits between attempts grow: "waiting 100ms, then 200ms, with
// jitter".
func waitWords(s *experiment.Spacing) string {
	var text string
	switch s.Kind {
	case experiment.SpacingNone:
		return "at once, without a wait"
	case experiment.SpacingFixed:
		text = "waiting " + about(s.Base.Std()) + " each time"
	case experiment.SpacingLinear, experiment.SpacingExponential:
		text = "waiting " + waitList(s)
	default:
		return ""
	}
	if s.FirstAtOnce {
		text = "at once first, then " + text
	}
	if s.Jitter {
		return text + ", with jitter (a random part)"
	}
	return text + ", without jitter (no random part)"
}

// waitList is the first waits, or how they grow.
func waitList(s *experiment.Spacing) string {
	waits := s.Waits
	if s.FirstAtOnce && len(waits) > 0 {
		waits = waits[1:]
	}
	if len(waits) >= 2 {
		var all []string
		for _, w := range waits[:min(3, len(waits))] {
			all = append(all, about(w.Std()))
		}
		more := ""
		if len(waits) > 3 {
			more = " and so on"
		}
		return strings.Join(all, ", then ") + more
	}
	if s.Kind == experiment.SpacingLinear {
		return about(s.Base.Std()) + ", then " + about(s.Step.Std()) + " longer each time"
	}
	return about(s.Base.Std()) + ", then " + factor(s.Factor) + " times as long each time"
}

func (c *caller) timeouts(b *experiment.EdgeBehaviour) {
	t := &b.Timeout
	switch {
	case !t.Known:
		c.missed("a time limit")
	case t.None && t.AtLeast > 0:
		c.saw("waited %s for an answer without hanging up; no time limit", dur(t.AtLeast.Std()))
	case t.None:
		c.saw("never hung up; no time limit")
	case t.PerTry > 0:
		c.saw("hung up on an attempt after %s", dur(t.PerTry.Std()))
	}
	if t.Known && t.Total > 0 {
		c.saw("gave up on a call after %s in all", dur(t.Total.Std()))
	}
	if i := &b.Inversion; i.Known && i.Seen {
		at := ""
		if i.InnerAtLeast {
			at = "at least "
		}
		c.saw("went on waiting for %s%s although its own caller had left after %s", at, dur(i.Inner.Std()), dur(i.Outer.Std()))
	}
}

func (c *caller) breaker(b *experiment.Breaker) {
	switch {
	case !b.Known:
		c.missed("a circuit breaker")
	case !b.Seen:
		c.saw("went on calling while every call failed; no circuit breaker")
	default:
		text := "stopped calling"
		if b.OpensAfter > 0 {
			text += failures(b)
		}
		text += " (its circuit breaker opened)"
		switch breakerEnd(b) {
		case closedAgain:
			text += ", and called as before " + afterLift(b.ClosedAfter.Std())
		case staysOpen:
			text += ", and never called as before again"
		default:
			c.missed("whether the breaker closes")
		}
		c.saw("%s", text)
	}
}

// ending is what became of a breaker after the lift.
type ending int

const (
	endUnknown ending = iota
	closedAgain
	staysOpen
)

// failures is what made a breaker open.
func failures(b *experiment.Breaker) string {
	switch b.Unit {
	case "calls":
		return " after " + plural(whole(b.OpensAfter), "failed call") + " in a row"
	case "attempts":
		return " after " + plural(whole(b.OpensAfter), "failed attempt") + " in a row"
	}
	return " after " + plural(whole(b.OpensAfter), "failure") + " in a row"
}

// breakerEnd tells whether a breaker closed after the lift.
func breakerEnd(b *experiment.Breaker) ending {
	if !b.Closed.Known {
		return endUnknown
	}
	if n := len(b.Spans); b.ClosedAfter > 0 || n > 0 && b.Spans[n-1].State == experiment.BreakerClosed {
		return closedAgain
	}
	return staysOpen
}

func (c *caller) fallback(f *experiment.Fallback) {
	switch {
	case !f.Known:
		c.missed("a fallback")
	case !f.Seen:
		c.saw("had nothing else to answer with; no fallback")
	default:
		text := "answered well without it in " + count(f.Answered) + " of " + count(f.Failed) + " cases (a fallback)"
		if f.Cost >= fault.Duration(1e6) {
			text += ", " + dur(f.Cost.Std()) + " later than usual"
		}
		if f.SameCallee {
			text += ", by asking the same callee again"
		}
		c.saw("%s", text)
	}
}

func (c *caller) load(b *experiment.EdgeBehaviour) {
	a := &b.Amplification
	if a.Known && a.EndToEnd > 1.2*max(a.SteadyEndToEnd, 0.1) {
		c.saw("each request of a user led to %s requests here, %s in quiet times", factor(a.EndToEnd), factor(a.SteadyEndToEnd))
	}
}

// whole is a count that is not less than nothing.
func whole(n int) uint64 { return uint64(max(n, 0)) }

// factor writes a figure such as 2.4; what is no number is unknown.
func factor(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0) || v < 0:
		return "unknown"
	case v >= 100:
		return count(uint64(min(v, 1e15)))
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// sure puts a confidence in words.
func sure(c float64) string {
	switch {
	case c >= .99:
		return "as good as certain"
	case c >= .9:
		return "very likely"
	case c >= .75:
		return "likely"
	case c >= .5:
		return "more likely than not"
	}
	return "a guess"
}
