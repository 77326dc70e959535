package judge

import (
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// classified is what users were given: every request of the traffic with its class.
type classified struct {
	v     *ledger.View
	spec  *experiment.Spec
	tree  *trees
	flows []experiment.FlowOutcomes // in the order of the document
	// class of each entry of the book; empty for what is no request of the traffic.
	class []experiment.OutcomeClass
	known []*steadyState // by flow of the book; nil without requests
	hurt  []hurtBy       // by span
	late  time.Duration  // from where on a failure is stuck; ledger.Never without
	// without remembers, by flow, edge and span, that a flow does not lead there.
	without map[[3]int32]bool
}

// hurtBy is what was hurt in a span.
type hurtBy struct {
	edges []int32  // those that exchanges were seen on
	named []string // those that none was seen on
	// blind: something else than edges was hurt, so that nobody can say who needs it.
	blind bool
}

// classify tells what users were given, flow by flow. The run's Behaviour is there.
func classify(v *ledger.View, spec *experiment.Spec) *classified {
	c := &classified{v: v, spec: spec, tree: newTrees(v), class: make([]experiment.OutcomeClass, len(v.Entries)), late: lateFrom(v), without: map[[3]int32]bool{}}
	for i := range v.Spans {
		c.hurt = append(c.hurt, hurtIn(v, &v.Spans[i]))
	}
	c.known = make([]*steadyState, len(v.Flows))
	for f := range v.Flows {
		c.known[f] = learn(v, spec, int32(f))
	}
	need := newNeeds(v, c.tree)
	c.judgeDifferences()
	for i := range v.Entries {
		if f := v.Entries[i].Flow; f >= 0 {
			c.class[i] = c.classOf(int32(i), need)
		}
	}
	for _, f := range spec.Traffic {
		c.flows = append(c.flows, c.sum(f.Name, need))
	}
	return c
}

// lateFrom is the instant from which on a failure is no part of a recovery any more:
// the deadline, or the second half of a recovery that did not come to its end.
func lateFrom(v *ledger.View) time.Duration {
	rec := v.Run.Recovery
	for _, s := range v.Spans {
		if s.Stage != experiment.StageRecovery || rec == nil {
			continue
		}
		late := s.From + rec.Within.Std()
		if rec.Took == nil && rec.Result == experiment.Fail {
			late = min(late, middle(&s))
		}
		return late
	}
	return ledger.Never
}

func middle(s *ledger.Span) time.Duration { return s.From + (s.To-s.From)/2 }

func hurtIn(v *ledger.View, s *ledger.Span) hurtBy {
	var h hurtBy
	if s.Stage != experiment.StageHurt {
		return h
	}
	for _, where := range s.Hurt {
		if e := v.EdgeOf(where); e >= 0 {
			h.edges = append(h.edges, e)
			continue
		}
		h.named = append(h.named, where)
		h.blind = h.blind || !slices.ContainsFunc(v.Run.Edges, func(e experiment.EdgeStatus) bool { return e.Name == where })
	}
	h.blind = h.blind || len(s.Hurt) == 0
	return h
}

// spanOf is the number of the span that holds an instant, -1 if none does.
func (c *classified) spanOf(d time.Duration) int {
	for i := range c.v.Spans {
		if s := &c.v.Spans[i]; d >= s.From && d < s.To {
			return i
		}
	}
	return -1
}

// judgeDifferences tells, span by span, whether answers that differ from the learned
// ones are so many that they cannot have been missed in the steady stage by chance.
func (c *classified) judgeDifferences() {
	type count struct{ odd, all int }
	odd := map[[2]int]*count{} // by flow and span
	for i := range c.v.Entries {
		e := &c.v.Entries[i]
		if e.Flow < 0 || !e.OK || e.Answer < 0 {
			continue
		}
		span := c.spanOf(e.Start)
		if span < 0 || c.v.Spans[span].Stage == experiment.StageSteady {
			continue
		}
		n := odd[[2]int{int(e.Flow), span}]
		if n == nil {
			n = &count{}
			odd[[2]int{int(e.Flow), span}] = n
		}
		n.all++
		if c.known[e.Flow].differs(e) != alike {
			n.odd++
		}
		c.known[e.Flow].noteGarbled(e, c.tree.of(int32(i)))
	}
	for at, n := range odd {
		k := c.known[at[0]]
		if k.seen >= learned && chanceOfMissing(n.odd, n.all, k.seen) < 0.01 {
			if k.telling == nil {
				k.telling = map[int]bool{}
			}
			k.telling[at[1]] = true
		}
	}
}

// classOf is the first class that applies, as docs/judge.md lists them.
func (c *classified) classOf(i int32, need *needs) experiment.OutcomeClass {
	e := &c.v.Entries[i]
	k := c.known[e.Flow]
	slow := k.slow > 0 && e.Took() > k.slow
	span := c.spanOf(e.Start)
	if span >= 0 && (!e.OK || slow) {
		clearly := !e.OK || e.Took() > k.slow+clearlySlow
		switch {
		case c.v.Spans[span].Stage == experiment.StageRecovery && c.late != ledger.Never && e.Start >= c.late && (clearly || c.v.Run.Recovery.Took == nil):
			return experiment.OutcomeStuck
		case clearly && c.untouched(e.Flow, span, need):
			return experiment.OutcomeCascade
		}
	}
	if !e.OK {
		return experiment.OutcomeError
	}
	below := c.tree.of(i)
	odd := k.judge(e, below, span)
	switch {
	case odd == corrupted:
		return experiment.OutcomeCorrupt
	case slow:
		return experiment.OutcomeSlow
	case odd == lesser || k.declares(e):
		return experiment.OutcomeDegraded
	case c.overcame(e.Flow, below, span, need) || c.refused(i, need):
		return experiment.OutcomeMasked
	}
	return experiment.OutcomeOK
}

// overcame tells whether something failed below a request that its flow is not known to
// do without. Where only times say for whom a call was made, it may have been for another.
func (c *classified) overcame(flow int32, below *below, span int, need *needs) bool {
	return slices.ContainsFunc(below.failedOn, func(edge int32) bool {
		if span < 0 {
			return true
		}
		at := [3]int32{flow, edge, int32(span)}
		never, known := c.without[at]
		if !known {
			never = need.requests[flow] >= learned && need.never(flow, edge, span)
			c.without[at] = never
		}
		return !never
	})
}

// untouched tells whether it is known that a flow needs nothing of what a span hurts.
func (c *classified) untouched(flow int32, span int, need *needs) bool {
	h := &c.hurt[span]
	if c.v.Spans[span].Stage != experiment.StageHurt || h.blind || need.requests[flow] < learned {
		return false
	}
	for _, e := range h.edges {
		if !need.never(flow, e, span) {
			return false
		}
	}
	for _, e := range h.named {
		if !need.outside(flow, e) {
			return false
		}
	}
	return len(h.edges)+len(h.named) > 0
}

// refused tells whether a breaker that was open kept a request from an edge that such
// requests always lead to.
func (c *classified) refused(i int32, need *needs) bool {
	e := &c.v.Entries[i]
	for b := range c.v.Run.Behaviour {
		breaker := &c.v.Run.Behaviour[b]
		if !breaker.Breaker.Seen {
			continue
		}
		edge := c.v.EdgeOf(breaker.Edge)
		if edge < 0 || need.share(e.Flow, edge) < 0.9 || c.tree.led(i, edge) {
			continue
		}
		for _, s := range breaker.Breaker.Spans {
			if s.State == experiment.BreakerOpen && !s.From.After(c.v.Time(max(e.Sent, e.Start))) && !s.To.Before(c.v.Time(e.End)) {
				return true
			}
		}
	}
	return false
}

// sum counts the classes of a flow.
func (c *classified) sum(name string, need *needs) experiment.FlowOutcomes {
	o := experiment.FlowOutcomes{Flow: name, Windows: []experiment.OutcomeWindow{}}
	flow := int32(slices.Index(c.v.Flows, name))
	if flow < 0 {
		o.Steady.Why = "no request of it is in the ledger"
		return o
	}
	o.Steady = c.known[flow].answer()
	o.Needs, o.Joined = need.of(flow)
	for i := range c.v.Spans {
		s := &c.v.Spans[i]
		o.Windows = append(o.Windows, experiment.OutcomeWindow{Stage: s.Stage, Step: s.Step, Counts: map[experiment.OutcomeClass]uint64{}, Shown: map[experiment.OutcomeClass][]uint64{}})
	}
	var begin time.Duration
	for i := range c.v.Entries {
		e := &c.v.Entries[i]
		if e.Flow != flow {
			continue
		}
		class := c.class[i]
		if len(o.Series) == 0 {
			begin = e.Start
		}
		at := int((e.Start - begin) / time.Second)
		for len(o.Series) <= at {
			o.Series = append(o.Series, experiment.OutcomeSecond{
				Time: c.v.Time(begin + time.Duration(len(o.Series))*time.Second), Counts: map[experiment.OutcomeClass]uint32{},
			})
		}
		o.Series[at].Counts[class]++
		if span := c.spanOf(e.Start); span >= 0 {
			w := &o.Windows[span]
			w.Counts[class]++
			if class != experiment.OutcomeOK && len(w.Shown[class]) < experiment.MaxEvidence {
				w.Shown[class] = append(w.Shown[class], e.No)
			}
		}
	}
	return o
}

// served tells whether users got what they came for. What is slow only by comparison
// counts, as long as it is not hopelessly late.
func (c *classified) served(i int32) bool {
	switch c.class[i] {
	case experiment.OutcomeOK, experiment.OutcomeMasked, experiment.OutcomeDegraded:
		return true
	case experiment.OutcomeSlow, experiment.OutcomeStuck, experiment.OutcomeCascade:
		e := &c.v.Entries[i]
		return e.OK && e.Took() <= c.known[e.Flow].hopeless
	}
	return false
}
