package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const (
	// fewAsked is how many answers with Retry-After must have been followed by an attempt.
	fewAsked = 3
	// closeEnough is by how much a wait may fall short of Retry-After.
	closeEnough = 50 * time.Millisecond
)

// retried counts, by outcome, method and key, how many attempts were followed by another.
// The last attempt that the caller ever makes tells nothing of outcomes, and is left out.
func (c *caller) retried(t *experiment.Tries) []experiment.Retried {
	type row struct {
		experiment.Retried
		shown []*Entry
	}
	most := t.Most
	if !t.Known {
		for i := range c.calls {
			most = max(most, len(c.calls[i].tries))
		}
	}
	rows := map[class]*row{}
	for i := range c.calls {
		p := &c.calls[i]
		for k, e := range p.tries {
			followed := k+1 < len(p.tries)
			switch {
			case !e.Failed() && !e.Refused():
				continue
			case !followed && (p.cut || !t.Endless && most > 1 && k+1 >= most):
				continue
			}
			cl := c.v.classOf(e)
			r := rows[cl]
			if r == nil {
				r = &row{Retried: experiment.Retried{Outcome: e.Outcome(), Method: cl.method, Keyed: cl.keyed}}
				rows[cl] = r
			}
			r.Ended++
			if followed {
				r.Retried.Retried++
				if len(r.shown) < experiment.MaxEvidence {
					r.shown = append(r.shown, e, p.tries[k+1])
				}
			}
		}
	}
	var all []experiment.Retried
	for _, r := range rows {
		r.Evidence = nos(r.shown...)
		all = append(all, r.Retried)
	}
	slices.SortFunc(all, func(a, b experiment.Retried) int {
		keyed := 0
		if a.Keyed != b.Keyed {
			keyed = 1
			if b.Keyed {
				keyed = -1
			}
		}
		return cmp.Or(cmp.Compare(b.Ended, a.Ended), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Method, b.Method), keyed)
	})
	return all
}

// retryAfter compares what answers asked for with what the caller waited.
func (c *caller) retryAfter() experiment.RetryAfter {
	var r experiment.RetryAfter
	var wanted, waited []time.Duration
	var early, kept []*Entry
	for i := range c.calls {
		p := &c.calls[i]
		for k, e := range p.tries[:len(p.tries)-1] {
			if e.RetryAfter <= 0 || !e.Failed() {
				continue
			}
			next := p.tries[k+1]
			gap := next.Start - e.End
			wanted, waited = append(wanted, e.RetryAfter), append(waited, max(gap, 0))
			r.Asked++
			if gap >= e.RetryAfter*9/10 || gap >= e.RetryAfter-closeEnough {
				r.Obeyed++
				kept = append(kept, e, next)
			} else {
				early = append(early, e, next)
			}
		}
	}
	if r.Asked < fewAsked {
		return experiment.RetryAfter{Finding: experiment.Finding{Samples: int(r.Asked),
			Why: fmt.Sprintf("%s with Retry-After were followed by another attempt, and %d are needed", countOf(int(r.Asked), "answer"), fewAsked)}}
	}
	n := int(r.Asked)
	if c.unsure > 0 && !c.early(middle(wanted)) {
		return experiment.RetryAfter{Finding: experiment.Finding{Samples: n,
			Why: fmt.Sprintf("of %s it is not sure which attempts they had, and the attempts for each request that came do not tell either", countOf(c.unsure, "call"))}}
	}
	r.Wanted, r.Waited = fault.Duration(middle(wanted)), rounded(middle(waited))
	r.Finding = experiment.Finding{Known: true, Samples: n, Confidence: c.trust(max(int(r.Obeyed), n-int(r.Obeyed)), n), Evidence: nos(append(early, kept...)...),
		Why: fmt.Sprintf("asked to wait %s, it waited %s, and long enough %d times of %d", r.Wanted, r.Waited, r.Obeyed, n)}
	return r
}

// early tells, without knowing which attempts are whose, whether the caller comes back
// too soon: before the first wait can be over, it makes clearly more attempts than
// requests come, and than it made before.
func (c *caller) early(asked time.Duration) bool {
	steady := 1.0
	for _, s := range c.v.Spans {
		came, made, _ := c.traffic(s.From, s.To)
		switch {
		case s.Stage == experiment.StageSteady && len(came) >= fewArrivals:
			steady = max(1, float64(len(made))/float64(len(came)))
		case s.Stage == experiment.StageHurt:
			came, made, _ = c.traffic(s.From, min(s.To, s.From+asked*9/10))
			if len(came) >= fewAsked && float64(len(made)) >= 1.6*steady*float64(len(came)) {
				return true
			}
		}
	}
	return false
}

// rounded leaves three digits of a duration or so, and tenths of a millisecond at least.
func rounded(d time.Duration) fault.Duration {
	switch {
	case d < 100*time.Millisecond:
		return fault.Duration(d.Round(100 * time.Microsecond))
	case d < 10*time.Second:
		return fault.Duration(d.Round(time.Millisecond))
	}
	return fault.Duration(d.Round(100 * time.Millisecond))
}
