package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
	"github.com/chaosctl/chaosctl/internal/shape"
)

const (
	// learned is how many good answers it takes to say what one looks like.
	learned = 5
	// plenty is how many it takes to say what all of them have in common.
	plenty = 20
	// usual is the share of steady answers from which on a declaration is nothing new.
	usual = 0.05
	// slowFactor and slowMargin say which answers are slow where no gate does: those
	// beyond three times the steady p99, and at least 100 ms beyond it.
	slowFactor = 3
	slowMargin = 100 * time.Millisecond
	// clearlySlow is how much more than slow it takes to blame somebody else for it: a
	// busy machine alone does not make answers so late.
	clearlySlow = 300 * time.Millisecond
	// lateFactor and lateMargin say the same of answers that are so late that they
	// count as none.
	lateFactor = 10
	lateMargin = time.Second
)

// oddity is how an answer compares with the learned ones.
type oddity uint8

const (
	alike     oddity = iota
	lesser           // parts are missing, most are there
	odd              // something is missing, or has another type
	corrupted        // it is not what it says it is
)

// steadyState is what the steady stage has taught about a flow.
type steadyState struct {
	b        *ledger.Book
	seen     int // good answers
	all      int
	statuses map[int16]int
	types    map[string]int
	shapes   map[string]int
	set      shape.Set
	hashes   map[experiment.Digest]bool // at most two
	min, max uint64
	declared map[string]int
	took     []time.Duration
	slow     time.Duration
	hopeless time.Duration // so late that it is no good answer any more
	gate     string        // the gate that says what is slow
	shown    []uint64

	compared map[int32]oddity // by answer
	garbled  map[experiment.Digest]bool
	answers  int          // that garbled holds the hashes of
	telling  map[int]bool // spans in which odd answers are no chance
}

// learn looks at the steady requests of a flow.
func learn(v *ledger.View, spec *experiment.Spec, flow int32) *steadyState {
	k := &steadyState{
		b: v.Book, statuses: map[int16]int{}, types: map[string]int{}, shapes: map[string]int{}, hashes: map[experiment.Digest]bool{},
		declared: map[string]int{}, compared: map[int32]oddity{}, garbled: map[experiment.Digest]bool{}, min: math.MaxUint64,
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow != flow {
			continue
		}
		if s := v.SpanAt(e.Start); s == nil || s.Stage != experiment.StageSteady || e.End >= s.To {
			continue // an answer that came later may have been hurt
		}
		k.all++
		if e.OK && !e.Cut {
			k.add(e)
		}
	}
	slices.Sort(k.took)
	for s, n := range k.shapes {
		k.set.Add(s, n)
	}
	k.slow, k.gate = slowBy(spec, v.Flows[flow])
	k.hopeless = k.slow
	if k.slow == 0 && len(k.took) >= plenty {
		p99 := k.took[int(math.Ceil(0.99*float64(len(k.took))))-1]
		k.slow = max(slowFactor*p99, p99+slowMargin)
		k.hopeless = max(lateFactor*p99, p99+lateMargin)
	}
	return k
}

func (k *steadyState) add(e *ledger.Entry) {
	k.seen++
	k.statuses[e.Status]++
	k.took = append(k.took, e.Took())
	if len(k.shown) < experiment.MaxEvidence {
		k.shown = append(k.shown, e.No)
	}
	if e.Answer < 0 {
		return
	}
	a := &k.b.Answers[e.Answer]
	k.types[a.Type]++
	k.shapes[a.Shape]++
	if len(k.hashes) < 2 {
		k.hashes[a.Hash] = true
	}
	k.min, k.max = min(k.min, a.Size), max(k.max, a.Size)
	if a.Degraded != "" {
		k.declared[a.Degraded]++
	}
}

// slowBy is the bound of the gate on a flow's high percentiles that is judged while
// something is hurt, the highest of them; 0 if there is none.
func slowBy(spec *experiment.Spec, flow string) (bound time.Duration, gate string) {
	for _, rule := range []func(*experiment.Gate) *experiment.TimeRule{
		func(g *experiment.Gate) *experiment.TimeRule { return g.P99 },
		func(g *experiment.Gate) *experiment.TimeRule { return g.P95 },
	} {
		for i := range spec.Gates {
			g := &spec.Gates[i]
			r := rule(g)
			if g.Of != flow || r == nil || !strings.HasPrefix(string(r.Op), "<") || len(g.During) > 0 && !slices.Contains(g.During, experiment.StageHurt) {
				continue
			}
			if b := r.Bound.Std(); bound == 0 || b < bound {
				bound, gate = b, g.Name
			}
		}
		if bound > 0 {
			return bound, gate
		}
	}
	return 0, ""
}

// same tells whether every steady body was the same.
func (k *steadyState) same() bool { return k.seen >= plenty && len(k.hashes) == 1 }

// differs compares an answer with what was learned, whatever led to it.
func (k *steadyState) differs(e *ledger.Entry) oddity {
	if k.seen < learned || e.Answer < 0 || e.Status < 200 || e.Status > 299 || k.statuses[e.Status] == 0 {
		return alike
	}
	if d, ok := k.compared[e.Answer]; ok {
		return d
	}
	d := k.compare(&k.b.Answers[e.Answer])
	k.compared[e.Answer] = d
	return d
}

func (k *steadyState) compare(a *experiment.Answer) oddity {
	if a.Size == 0 && k.min > 0 {
		return corrupted
	}
	switch d, _ := k.set.Compare(a.Shape); d {
	case shape.Broken:
		return corrupted
	case shape.Less:
		return lesser
	case shape.Lacking, shape.Changed:
		return odd
	}
	if k.types[a.Type] == 0 && len(k.types) > 0 {
		return odd
	}
	return alike
}

// noteGarbled counts the different bodies among the answers whose callees were hurt
// and yet answered well.
func (k *steadyState) noteGarbled(e *ledger.Entry, below *below) {
	if below.garbled {
		k.answers++
		k.garbled[k.b.Answers[e.Answer].Hash] = true
	}
}

// judge says what an answer is, with regard to what lies below it.
func (k *steadyState) judge(e *ledger.Entry, below *below, span int) oddity {
	d := k.differs(e)
	if d != alike && e.Answer >= 0 && k.b.Answers[e.Answer].Degraded != "" && d != corrupted {
		return lesser // it says so itself
	}
	switch d {
	case corrupted:
		return corrupted
	case lesser, odd:
		if !k.telling[span] && !(below.garbled && k.seen >= plenty) {
			return alike // it may have been so before, and was not met
		}
		if d == lesser && below.failed && !below.garbled {
			return lesser // what failed was left out
		}
		return corrupted
	}
	if !below.garbled || !k.same() || e.Answer < 0 || e.Status != 200 {
		return alike
	}
	// Text that never varied, and the callee's answer was tampered with.
	a := &k.b.Answers[e.Answer]
	if a.Shape != "" || k.hashes[a.Hash] || a.Degraded != "" {
		return alike
	}
	random := k.answers >= learned && 5*len(k.garbled) >= 4*k.answers
	if a.Size < k.min || a.Size > k.max || random {
		return corrupted
	}
	return alike
}

// declares tells whether an answer says that it is less than usual: by a declaration
// that the steady answers have not, or by another status of success.
func (k *steadyState) declares(e *ledger.Entry) bool {
	if k.seen >= learned && k.statuses[e.Status] == 0 {
		return true
	}
	if e.Answer < 0 {
		return false
	}
	by := k.b.Answers[e.Answer].Degraded
	return by != "" && float64(k.declared[by]) < usual*float64(max(1, k.seen))
}

// chanceOfMissing is how likely it is that none of the steady answers was odd, if as
// large a share of them is as of the others.
func chanceOfMissing(odd, all, steady int) float64 {
	if odd == 0 || all == 0 {
		return 1
	}
	return math.Pow(1-float64(odd)/float64(all+1), float64(steady))
}

// answer says what was learned.
func (k *steadyState) answer() experiment.SteadyAnswer {
	a := experiment.SteadyAnswer{Slow: fault.Duration(k.slow)}
	a.Samples = k.seen
	if k.seen < learned {
		a.Why = fmt.Sprintf("the steady stage had %d good answers of %d, at least %d are needed to learn what they look like; answers are judged by their status alone", k.seen, k.all, learned)
		return a
	}
	a.Known, a.Confidence, a.Evidence = true, 1-1/float64(k.seen+1), k.shown
	for s := range k.statuses {
		a.Statuses = append(a.Statuses, int(s))
	}
	for t := range k.types {
		if t != "" {
			a.Types = append(a.Types, t)
		}
	}
	for s := range k.shapes {
		if s != "" {
			a.Shapes = append(a.Shapes, s)
		}
	}
	slices.Sort(a.Statuses)
	slices.Sort(a.Types)
	slices.SortFunc(a.Shapes, func(x, y string) int { return cmp.Or(k.shapes[y]-k.shapes[x], strings.Compare(x, y)) })
	a.Shapes = a.Shapes[:min(len(a.Shapes), experiment.MaxEvidence)]
	a.Same = k.same()
	if k.min <= k.max {
		a.SizeMin, a.SizeMax = k.min, k.max
	}
	by := ""
	switch {
	case k.gate != "":
		by = fmt.Sprintf("; slow is what gate %s does not allow", k.gate)
	case k.slow > 0:
		by = fmt.Sprintf("; slow is more than %s", k.slow.Round(time.Millisecond))
	}
	a.Why = fmt.Sprintf("%d good answers of %d before anything was hurt%s", k.seen, k.all, by)
	return a
}
