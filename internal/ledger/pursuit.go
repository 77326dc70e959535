package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// sureCall is the probability from which the attempts of a call are taken to belong
	// together.
	sureCall = 0.7
	// together is how far apart two ends are at most of which one is the cause of the
	// other: a caller that is given up hangs up below, on a loaded machine.
	together = 60 * time.Millisecond
)

// pursuit is a call, as far as it is sure enough that its attempts belong together.
type pursuit struct {
	call  *Call
	tries []*Entry
	// open: it is not sure enough that there was no other attempt.
	open bool
	// cut: that no attempt followed was not the caller's own decision, or is not known: it
	// was given up from above, the observation ended, or it is open.
	cut bool
	// above: it was given up from above.
	above bool
}

func (p *pursuit) last() *Entry { return p.tries[len(p.tries)-1] }

// caller is what the inferences look at: the calls of one edge.
type caller struct {
	v        *View
	edge     int32
	from, to string
	calls    []pursuit
	unsure   int     // calls that are open
	sure     float64 // mean of the others
	class    map[class]*tally
	route    map[routeClass]*tally
	hangups  []time.Duration // ends of what the caller itself was asked and given up, ascending
	over     time.Duration   // end of the observation
	noise    float64         // ms by which the traffic was late at times: what the machine does
}

// class is how an attempt ended.
type class struct {
	outcome int32
	method  string
	keyed   bool
}

type routeClass struct {
	outcome, route int32
	keyed          bool
}

// tally counts attempts, and those of them that were followed by another.
type tally struct{ ended, followed int }

// outcomeCode is the outcome as a number, so that nothing is allocated per attempt.
func (e *Entry) outcomeCode() int32 {
	switch {
	case e.GaveUp():
		return -1
	case e.Cut, e.Status == 0:
		return -2
	case e.GRPC > 0:
		return 1000 + int32(e.GRPC)
	}
	return int32(e.Status)
}

func (v *View) classOf(e *Entry) class { return class{e.outcomeCode(), v.method(e), e.Idempotent} }

func (v *View) method(e *Entry) string {
	if e.Route < 0 {
		return ""
	}
	return v.Routes[e.Route].Method
}

// callerOf collects what an edge's caller did. It is nil if nothing can be said: the
// edge sees bytes alone, or its callers are the synthetic users, who never try again.
func (v *View) callerOf(edge int32) *caller {
	c := &caller{v: v, edge: edge, from: v.Edges[edge].From, to: v.Edges[edge].To, class: map[class]*tally{}, route: map[routeClass]*tally{}}
	if c.from == experiment.Users && slices.ContainsFunc(v.Entries, func(e Entry) bool { return e.Edge == edge && e.Flow >= 0 }) {
		return nil
	}
	var lates []float64
	above := map[int32]bool{}
	for i := range v.Edges {
		above[int32(i)] = v.Edges[i].To == c.from
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		c.over = max(c.over, e.End)
		if e.Flow >= 0 && e.Sent != Never {
			lates = append(lates, float64(e.Sent-e.Start)/float64(time.Millisecond))
		}
		if above[e.Edge] && e.GaveUp() {
			c.hangups = append(c.hangups, e.End)
		}
	}
	slices.Sort(c.hangups)
	if slices.Sort(lates); len(lates) > 0 {
		c.noise = quantile(lates, 0.8)
	}
	if n := len(v.Spans); n > 0 && v.Spans[n-1].To < 1<<62 {
		c.over = max(c.over, v.Spans[n-1].To)
	}
	c.collect()
	if len(c.calls) == 0 {
		return nil
	}
	c.cutShort()
	c.count()
	return c
}

// collect takes the calls, without those that a clock makes.
func (c *caller) collect() {
	v, sum := c.v, 0.0
	polled, repeated := c.polled(), c.repeated()
	for i := range v.Calls {
		call := &v.Calls[i]
		if call.Edge != c.edge || len(call.Attempts) == 0 || v.Entries[call.Attempts[0]].Route < 0 || v.Entries[call.Attempts[0]].Flow >= 0 {
			continue
		}
		route := v.Entries[call.Attempts[0]].Route
		if polled[route] && call.By == experiment.ByBody {
			continue
		}
		if repeated[route] && call.By != experiment.ByBody {
			c.unsure++
			continue
		}
		p := pursuit{call: call, tries: make([]*Entry, 0, len(call.Attempts)), open: call.Sure < sureCall}
		for k, a := range call.Attempts {
			if k > 0 && p.open && !v.belongs(a) {
				break
			}
			p.tries = append(p.tries, &v.Entries[a])
		}
		if p.open {
			c.unsure++
		} else {
			sum += call.Sure
		}
		c.calls = append(c.calls, p)
	}
	c.sure = sureCall
	if n := len(c.calls) - c.unsure; n > 0 {
		c.sure = sum / float64(n)
	}
}

// belongs tells whether an attempt is sure enough to belong to the first of its call.
func (v *View) belongs(i int32) bool { return len(v.right) > 0 && v.right[i] >= sureCall }

// repeated are the routes that are asked for several times with one id although nothing
// failed: the same request in parallel, or for each of many items. Which of them would be
// a retry no id tells.
func (c *caller) repeated() map[int32]bool {
	good := map[uint64]int{} // exchanges by key
	type count struct{ keys, again int }
	all := map[int32]*count{}
	for i := range c.v.Entries {
		e := &c.v.Entries[i]
		if e.Edge != c.edge || e.Flow >= 0 || e.Key == 0 || e.Keying() == experiment.ByBody || e.Failed() || e.Refused() {
			continue
		}
		if s := c.v.SpanAt(e.Start); s == nil || s.Stage != experiment.StageSteady {
			continue
		}
		r := all[e.Route]
		if r == nil {
			r = &count{}
			all[e.Route] = r
		}
		switch good[e.Key]++; good[e.Key] {
		case 1:
			r.keys++
		case 2:
			r.again++
		}
	}
	repeated := map[int32]bool{}
	for route, r := range all {
		repeated[route] = r.again*5 > r.keys
	}
	return repeated
}

// polled are the routes of requests that come by the clock, whether the one before
// failed or not: health checks, refreshes, batches. What follows upon a failure there is
// no retry.
func (c *caller) polled() map[int32]bool {
	type rhythm struct {
		ok, fail []time.Duration
	}
	all := map[int32]*rhythm{}
	before := map[uint64]*Entry{} // by key
	for i := range c.v.Entries {
		e := &c.v.Entries[i]
		if e.Edge != c.edge || e.Flow >= 0 || e.Key == 0 || e.Keying() != experiment.ByBody || c.v.Parent[i] >= 0 {
			continue
		}
		last := before[e.Key]
		before[e.Key] = e
		if last == nil {
			continue
		}
		r := all[e.Route]
		if r == nil {
			r = &rhythm{}
			all[e.Route] = r
		}
		if gap := e.Start - last.Start; last.Failed() || last.Refused() {
			r.fail = append(r.fail, gap)
		} else {
			r.ok = append(r.ok, gap)
		}
	}
	polled := map[int32]bool{}
	for route, r := range all {
		if len(r.ok) < 3 || len(r.fail) < 2 {
			continue
		}
		ok, fail := middle(r.ok), middle(r.fail)
		polled[route] = ok >= 20*time.Millisecond && fail > ok*4/5 && fail < ok*5/4
	}
	return polled
}

// middle is the median; it sorts.
func middle(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// cutShort marks the calls whose end says nothing: what might have followed would have
// come after the end of the observation, or the caller was given up itself.
func (c *caller) cutShort() {
	var waits []time.Duration
	for i := range c.calls {
		for k, e := range c.calls[i].tries[1:] {
			waits = append(waits, e.Start-c.calls[i].tries[k].End)
		}
	}
	usual := time.Duration(0)
	if len(waits) > 0 {
		slices.Sort(waits)
		usual = max(0, waits[len(waits)*9/10])
	}
	for i := range c.calls {
		p := &c.calls[i]
		last, reach := p.last(), usual
		if n := len(p.tries); n > 1 {
			reach = max(reach, last.Start-p.tries[n-2].End)
		}
		p.above = c.givenUp(p)
		p.cut = p.above || p.open || c.over-last.End < 3*reach+time.Second
	}
}

// givenUp tells whether a call ended because the caller was given up from above: no
// attempt began after that.
func (c *caller) givenUp(p *pursuit) bool {
	last := p.last()
	if up := p.call.Parent; up >= 0 {
		e := &c.v.Entries[up]
		return e.GaveUp() && last.Start <= e.End+together/2
	}
	return last.GaveUp() && c.hungUpAbove(last.End)
}

// fromAbove tells whether a hang-up merely follows from one above.
func (c *caller) fromAbove(p *pursuit, e *Entry) bool {
	if up := p.call.Parent; up >= 0 {
		a := &c.v.Entries[up]
		return a.GaveUp() && a.End <= e.End+together/6 && a.End >= e.End-together
	}
	return c.hungUpAbove(e.End)
}

// hungUpAbove tells whether anything that the caller was asked was given up just before
// an instant. It serves for calls whose parent is not known.
func (c *caller) hungUpAbove(at time.Duration) bool {
	i, _ := slices.BinarySearch(c.hangups, at-together)
	return i < len(c.hangups) && c.hangups[i] <= at+together/6
}

// count counts, by outcome, what was followed by another attempt.
func (c *caller) count() {
	for i := range c.calls {
		p := &c.calls[i]
		for k, e := range p.tries {
			followed := k+1 < len(p.tries)
			if !e.Failed() && !e.Refused() || !followed && p.cut {
				continue
			}
			add(c.class, c.v.classOf(e), followed)
			add(c.route, routeClass{e.outcomeCode(), e.Route, e.Idempotent}, followed)
		}
	}
}

func add[K comparable](m map[K]*tally, k K, followed bool) {
	t := m[k]
	if t == nil {
		t = &tally{}
		m[k] = t
	}
	t.ended++
	if followed {
		t.followed++
	}
}

// retries tells whether the caller is one who tries again after an attempt that ended
// like this one, on this route.
func (c *caller) retries(e *Entry) bool {
	all := c.class[c.v.classOf(e)]
	if all == nil || all.followed < 2 || all.followed*20 < all.ended {
		return false
	}
	here := c.route[routeClass{e.outcomeCode(), e.Route, e.Idempotent}]
	return here == nil || here.ended < 5 || here.followed > 0
}

// nos are numbers of exchanges, as evidence, each once and no more than fit.
func nos(entries ...*Entry) []uint64 {
	var all []uint64
	for _, e := range entries {
		if len(all) < experiment.MaxEvidence && !slices.Contains(all, e.No) {
			all = append(all, e.No)
		}
	}
	return all
}

// show is the attempts of the calls that have the most, as evidence.
func show(calls []*pursuit) []uint64 {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, func(a, b *pursuit) int { return cmp.Compare(len(b.tries), len(a.tries)) })
	var all []*Entry
	for _, p := range calls {
		if all = append(all, p.tries...); len(all) >= experiment.MaxEvidence {
			break
		}
	}
	return nos(all...)
}

// trust is the confidence that n samples give, of which a share agrees: Laplace's rule
// of succession, times the probability that attempts were put together right.
func (c *caller) trust(agree, n int) float64 {
	return c.sure * float64(agree+1) / float64(n+2)
}
