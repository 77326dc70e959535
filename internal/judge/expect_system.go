package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// breakerRule judges a circuit breaker. One that never had reason to open is unknown.
func breakerRule(b *experiment.EdgeBehaviour, want *experiment.ExpectBreaker, field string, lift *time.Time) said {
	k := &b.Breaker
	s := by(k.Finding)
	switch {
	case !k.Known:
		return unknown("a breaker was not put to the test: %s", k.Why)
	case !k.Seen:
		return s.verdictOf(false, "", "there is no breaker: "+k.Why)
	}
	switch field {
	case "breaker":
		return s.verdictOf(true, k.Why, "")
	case "breaker.opensAfter":
		if k.OpensAfter == 0 {
			return opensBetween(s, k, want.OpensAfter)
		}
		does := fmt.Sprintf("it opens after %d failed %s in a row", k.OpensAfter, cmp.Or(k.Unit, "calls"))
		return s.verdictOf(k.OpensAfter <= want.OpensAfter, does, does)
	case "breaker.probes":
		if !k.HalfOpen.Known {
			return unknown("whether it is ever half-open is not known: %s", k.HalfOpen.Why)
		}
		s = by(k.HalfOpen)
		if k.Probes == 0 {
			return s.verdictOf(false, "", "it is never half-open: "+k.HalfOpen.Why)
		}
		does := fmt.Sprintf("it lets %d through at a time while half-open", k.Probes)
		return s.verdictOf(k.Probes <= want.Probes, does, does)
	}
	if n := len(k.Spans); !k.Closed.Known && n > 0 && k.Spans[n-1].State == experiment.BreakerOpen && lift != nil {
		if open := k.Spans[n-1].To.Sub(*lift); open > want.ClosesWithin.Std()+margin(want.ClosesWithin.Std()) {
			return s.verdictOf(false, "", fmt.Sprintf("it was still open %s after the lift", rounded(open)))
		}
	}
	if !k.Closed.Known {
		return unknown("whether it closes after the lift is not known: %s", k.Closed.Why)
	}
	s = by(k.Closed)
	if k.ClosedAfter == 0 {
		return s.verdictOf(false, "", "it did not close after the lift: "+k.Closed.Why)
	}
	does := fmt.Sprintf("it closed %s after the lift", rounded(k.ClosedAfter.Std()))
	return s.verdictOf(k.ClosedAfter <= want.ClosesWithin, does, does)
}

// opensBetween judges a count that is known within bounds only.
func opensBetween(s said, k *experiment.Breaker, most int) said {
	if len(k.OpensBetween) != 2 {
		return unknown("after how many failures it opens is not known: %s", k.Why)
	}
	least, last := k.OpensBetween[0], k.OpensBetween[1]
	does := fmt.Sprintf("it opens after %d to %d failures in a row", least, last)
	if least <= most && most < last {
		return unknown("%s, which calls at the same time leave open", does)
	}
	return s.verdictOf(last <= most, does, does)
}

// fallbackRule judges a fallback. One that was never needed is unknown.
func fallbackRule(b *experiment.EdgeBehaviour, want *experiment.ExpectFallback, field string) said {
	f := &b.Fallback
	if !f.Known || f.Failed == 0 {
		return unknown("a fallback was not put to the test: %s", cmp.Or(f.Why, "no call failed"))
	}
	s := by(f.Finding)
	does := fmt.Sprintf("%d of %d calls that this edge failed were answered well", f.Answered, f.Failed)
	if field == "fallback" {
		share := want.Share.Of()
		if want.Share == 0 {
			share = 1
		}
		return s.verdictOf(f.Seen && float64(f.Answered) >= share*float64(f.Failed), does, does)
	}
	if f.Answered == 0 {
		return unknown("what a fallback costs is not known: %s", does)
	}
	does += fmt.Sprintf(", and took %s longer than a usual answer", rounded(f.Cost.Std()))
	return s.verdictOf(f.Cost <= want.Cost, does, does)
}

// fairlySure is the confidence below which attempts per call may be far too few or too
// many: then exchanges per request of the users must say the same.
const fairlySure = 0.8

// amplificationRule judges how attempts multiply.
func amplificationRule(b *experiment.EdgeBehaviour, want *experiment.ExpectAmplification, field string) said {
	a := &b.Amplification
	if !a.Known {
		return unknown("how attempts multiply is not known: %s", a.Why)
	}
	s := by(a.Finding)
	if field == "amplification.atMost" {
		if a.Hurt == 0 {
			return unknown("no call was made while something was hurt")
		}
		does := fmt.Sprintf("%.2f attempts per call while hurt, %.2f before", a.Hurt, a.Steady)
		if a.Confidence < fairlySure && (a.EndToEnd == 0 || (a.EndToEnd <= want.AtMost) != (a.Hurt <= want.AtMost)) {
			return unknown("how attempts multiply is not known: %s, but it is not sure which attempts make a call (%.0f%%), and there were %.2f exchanges per request of the users", does, 100*a.Confidence, a.EndToEnd)
		}
		return s.verdictOf(a.Hurt <= want.AtMost, does, does)
	}
	if a.EndToEnd == 0 {
		return unknown("exchanges per request of the users are not known: %s", a.Why)
	}
	does := fmt.Sprintf("%.2f exchanges per request of the users while hurt, %.2f before", a.EndToEnd, a.SteadyEndToEnd)
	return s.verdictOf(a.EndToEnd <= want.EndToEnd, does, does)
}

// inversionRule judges that nobody waits longer than he is waited for.
func inversionRule(b *experiment.EdgeBehaviour) said {
	if i := &b.Inversion; i.Known {
		return by(i.Finding).verdictOf(!i.Seen, i.Why, i.Why)
	}
	return unknown("the order of timeouts was not put to the test: %s", b.Inversion.Why)
}

// fewest is how many answers a rule on users needs.
const fewest = 5

// outcomeRule judges what users got while something was hurt; what is stuck after the
// lift counts, too.
func outcomeRule(o *experiment.FlowOutcomes, want *experiment.Expectation) said {
	counts, shown := map[experiment.OutcomeClass]uint64{}, map[experiment.OutcomeClass][]uint64{}
	var all uint64
	for _, w := range o.Windows {
		for class, n := range w.Counts {
			if w.Stage == experiment.StageHurt || class == experiment.OutcomeStuck {
				counts[class] += n
				all += n
				shown[class] = append(shown[class], w.Shown[class]...)
			}
		}
	}
	if all < fewest {
		return unknown("too few requests were made while something was hurt: %d, at least %d are needed", all, fewest)
	}
	var other uint64
	var words []string
	var evidence []uint64
	for _, c := range experiment.OutcomeClasses() {
		n := counts[c.Class]
		if n == 0 {
			continue
		}
		words = append(words, fmt.Sprintf("%d %s", n, c.Class))
		if !slices.Contains(want.Outcome, c.Class) {
			other += n
			evidence = append(evidence, shown[c.Class]...)
		}
	}
	does := fmt.Sprintf("of %d answers: %s", all, strings.Join(words, ", "))
	s := said{confidence: cmp.Or(o.Steady.Confidence, 1), evidence: evidence}
	if !o.Steady.Known && other == 0 && !slices.Contains(want.Outcome, experiment.OutcomeCorrupt) {
		return unknown("what a good answer looks like was not learned: %s", o.Steady.Why)
	}
	tolerated := 0.0
	if want.Tolerate != 0 {
		tolerated = want.Tolerate.Of() * float64(all)
	}
	return s.verdictOf(float64(other) <= tolerated, does, does)
}

// bulkheadRule judges that a flow does not notice what is hurt elsewhere.
func bulkheadRule(v *ledger.View, o *experiment.FlowOutcomes) said {
	for _, s := range v.Spans {
		for _, edge := range s.Hurt {
			if slices.Contains(o.Needs, edge) {
				return said{standing: experiment.Broken, confidence: 1, why: fmt.Sprintf("it needs %s, which is hurt", edge)}
			}
		}
	}
	bad := func(stage experiment.Stage) (n, all uint64, shown []uint64) {
		for _, w := range o.Windows {
			if w.Stage != stage {
				continue
			}
			for class, count := range w.Counts {
				all += count
				switch class {
				case experiment.OutcomeOK, experiment.OutcomeMasked, experiment.OutcomeDegraded, experiment.OutcomeSlow: // what is clearly slow is a cascade
				default:
					n += count
					shown = append(shown, w.Shown[class]...)
				}
			}
		}
		return n, all, shown
	}
	before, steady, _ := bad(experiment.StageSteady)
	during, hurt, shown := bad(experiment.StageHurt)
	if steady < fewest || hurt < fewest {
		return unknown("too few requests were made: %d before and %d while something was hurt, at least %d are needed of each", steady, hurt, fewest)
	}
	was, is := float64(before)/float64(steady), float64(during)/float64(hurt)
	does := fmt.Sprintf("%d of %d answers failed or were clearly slow while something was hurt elsewhere, %d of %d before", during, hurt, before, steady)
	return said{confidence: 1, evidence: shown}.verdictOf(is <= was+0.01, does, does)
}
