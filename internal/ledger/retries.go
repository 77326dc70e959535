package ledger

import (
	"fmt"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// EndlessFrom is the number of attempts from which a call that nobody ended counts
	// as one without an end.
	EndlessFrom = 10
	// fewCalls is how many calls a count of tries needs.
	fewCalls = 5
)

// retries infers all that attempts one after the other tell of an edge's caller.
func (v *View) retries(edge int32, b *experiment.EdgeBehaviour) {
	c := v.callerOf(edge)
	if c == nil {
		why := experiment.Finding{Why: "no calls of services were seen here, with requests and answers"}
		b.Tries.Finding, b.Spacing.Finding, b.Timeout.Finding, b.RetryAfter.Finding = why, why, why, why
		return
	}
	b.Tries = c.tries()
	b.RetryAfter = c.retryAfter()
	b.Spacing = c.spacing(b.RetryAfter.Known && b.RetryAfter.Obeyed*2 <= b.RetryAfter.Asked)
	b.Timeout = c.timeout()
	b.Retried = c.retried(&b.Tries)
}

// tries infers after how many attempts the caller gives up. Calls that succeeded, or that
// were cut short, say no more than "at least".
func (c *caller) tries() experiment.Tries {
	var gaveUp, long, failed []*pursuit
	any, most, cut := false, 0, 0
	for _, t := range c.class {
		any = any || t.followed >= 2 && t.followed*20 >= t.ended
	}
	for i := range c.calls {
		p := &c.calls[i]
		last := p.last()
		most = max(most, len(p.tries))
		if len(p.tries) >= EndlessFrom {
			long = append(long, p)
		}
		switch {
		case !last.Failed() && !(last.Refused() && c.retries(last)):
			continue
		case p.cut:
			cut++
			continue
		case !any || c.retries(last):
			gaveUp = append(gaveUp, p)
		}
		failed = append(failed, p)
	}
	if c.unsure > len(gaveUp) {
		if t, ok := c.flood(); ok {
			return t
		}
	}
	if len(long) > 0 && len(gaveUp)*20 <= len(failed)+len(long)+cut {
		n := len(long)
		return experiment.Tries{Most: most, Endless: true, Counts: counts(gaveUp), Finding: experiment.Finding{
			Known: true, Confidence: c.trust(n, n+len(gaveUp)), Samples: n, Evidence: show(long),
			Why: fmt.Sprintf("%s had %d attempts or more, up to %d, and none was seen to be given up by the caller itself", countOf(n, "call"), EndlessFrom, most),
		}}
	}
	if len(gaveUp) < fewCalls {
		return experiment.Tries{Finding: experiment.Finding{Samples: len(gaveUp), Why: c.tooFew(len(gaveUp), cut, most)}}
	}
	if why := c.unfair(); why != "" {
		return experiment.Tries{Finding: experiment.Finding{Samples: len(gaveUp), Why: why}}
	}
	t := experiment.Tries{Counts: counts(gaveUp)}
	least := uint64(max(2, len(gaveUp)/20))
	for i, n := range t.Counts {
		if n >= least {
			t.Most = i + 1
		}
	}
	at := t.Counts[t.Most-1]
	var shown []*pursuit
	for _, p := range gaveUp {
		if len(p.tries) == t.Most {
			shown = append(shown, p)
		}
	}
	t.Finding = experiment.Finding{Known: true, Confidence: c.trust(len(gaveUp)-beyond(t.Counts, t.Most), len(gaveUp)), Samples: len(gaveUp), Evidence: show(shown)}
	switch {
	case t.Most == 1:
		t.Why = fmt.Sprintf("%s failed and were not tried again", countOf(len(gaveUp), "call"))
	case int(at) == len(gaveUp):
		t.Why = fmt.Sprintf("each of %d failed calls was given up after %d attempts", len(gaveUp), t.Most)
	default:
		t.Why = fmt.Sprintf("%d of %d failed calls were given up after %d attempts, the others earlier", at, len(gaveUp), t.Most)
	}
	return t
}

func (c *caller) tooFew(gaveUp, cut, most int) string {
	why := fmt.Sprintf("%s failed to their end, and %d are needed", countOf(gaveUp, "call"), fewCalls)
	if cut > c.unsure {
		why += fmt.Sprintf("; %s ended from above or with the observation", countOf(cut-c.unsure, "other"))
	}
	if most > 1 {
		why += fmt.Sprintf("; a call had up to %d attempts", most)
	}
	if c.unsure > 0 {
		why += fmt.Sprintf("; of %s it is not sure which attempts they had", countOf(c.unsure, "call"))
	}
	return why
}

// counts is how many calls had one, two, ... attempts.
func counts(calls []*pursuit) []uint64 {
	var n []uint64
	for _, p := range calls {
		for len(n) < len(p.tries) {
			n = append(n, 0)
		}
		n[len(p.tries)-1]++
	}
	return n
}

// beyond counts the calls with more attempts than that.
func beyond(counts []uint64, most int) int {
	n := 0
	for _, k := range counts[most:] {
		n += int(k)
	}
	return n
}

func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
