package ledger

import (
	"fmt"

	"github.com/chaosctl/chaosctl/experiment"
)

// unfair says why the calls that it is sure of do not stand for the others; "" if they
// do. Where calls are put together by their times, it is the short and the lonely ones
// that are sure: there must be more of them than of the others, and they must have as
// many attempts as there were for each request that came, which takes no grouping to know.
func (c *caller) unfair() string {
	sure, open, guessed := 0, 0, false
	for i := range c.calls {
		p := &c.calls[i]
		guessed = guessed || p.call.Sure < 0.999
		failed := false
		for _, a := range p.call.Attempts {
			e := &c.v.Entries[a]
			failed = failed || e.Failed() || e.Refused()
		}
		switch {
		case !failed:
		case p.open:
			open++
		default:
			sure++
		}
	}
	if !guessed {
		return ""
	}
	if open > sure {
		return fmt.Sprintf("of %d of %s with failures it is not sure which attempts they had", open, countOf(open+sure, "call"))
	}
	return c.tooShort()
}

// tooShort says that calls have fewer attempts than there were for each request.
func (c *caller) tooShort() string {
	steady := 1.0
	for _, s := range c.v.Spans {
		came, made, _ := c.traffic(s.From, s.To)
		switch {
		case len(came) < fewArrivals:
		case s.Stage == experiment.StageSteady:
			steady = max(1, float64(len(made))/float64(len(came)))
		case s.Stage == experiment.StageHurt:
			var calls, tries float64
			for i := range c.calls {
				if p := &c.calls[i]; !p.open && p.tries[0].Start >= s.From && p.tries[0].Start < s.To {
					calls, tries = calls+1, tries+float64(len(p.tries))
				}
			}
			each := float64(len(made)) / float64(len(came)) / steady
			if calls > 0 && each > 1.25*tries/calls+0.25 {
				return fmt.Sprintf("calls were put together of %.1f attempts on average, and there were %.1f for each request that came: it is not sure which attempts make a call", tries/calls, each)
			}
		}
	}
	return ""
}
