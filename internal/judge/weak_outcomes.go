package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

const (
	// fewestUntouched is how many requests of a flow that needs nothing of what is hurt
	// it takes, and noticed the share of them that must have suffered.
	fewestUntouched = 10
	noticed         = 0.1
	// fewestLate is how many requests the second half of a recovery takes.
	fewestLate = 10
)

// weakOutcomes finds garbage that was passed on, missing bulkheads, and systems that
// stay broken.
func weakOutcomes(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Outcomes {
		o := &v.Run.Outcomes[i]
		all = append(all, garbage(v, o)...)
		all = append(all, noBulkhead(v, o)...)
		all = append(all, staysBroken(v, o)...)
	}
	return all
}

// hurtBelow are the edges between services that a step hurts. Nobody can check what is
// hurt on the last stretch to the users.
func hurtBelow(v *ledger.View, step string) []string {
	var edges []string
	for _, s := range v.Spans {
		if s.Stage != experiment.StageHurt || s.Step != step {
			continue
		}
		for _, e := range s.Hurt {
			if !strings.HasPrefix(e, experiment.Users+" -> ") {
				edges = append(edges, e)
			}
		}
	}
	slices.Sort(edges)
	return slices.Compact(edges)
}

// garbage is answers that say that all is well, and are broken.
func garbage(v *ledger.View, o *experiment.FlowOutcomes) []experiment.Weakness {
	var edges []string
	var shown []uint64
	var n, of uint64
	for _, w := range o.Windows {
		below := hurtBelow(v, w.Step)
		if w.Stage != experiment.StageHurt || w.Counts[experiment.OutcomeCorrupt] == 0 || len(below) == 0 {
			continue
		}
		edges = append(edges, below...)
		n += w.Counts[experiment.OutcomeCorrupt]
		of += total(w)
		shown = append(shown, w.Shown[experiment.OutcomeCorrupt]...)
	}
	if n == 0 {
		return nil
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	w := experiment.Weakness{
		Kind: experiment.GarbagePassedOn, Flow: o.Flow, Confidence: o.Steady.Confidence, Samples: int(n), Evidence: shown[:min(len(shown), experiment.MaxEvidence)],
		Sentence: fmt.Sprintf("%d of %d answers of %s said that all was well (status 2xx) and were broken, while %s was hurt", n, of, o.Flow, strings.Join(edges, " and ")),
	}
	if len(edges) == 1 {
		w.Edge = edges[0]
	}
	return []experiment.Weakness{w}
}

func total(w experiment.OutcomeWindow) (n uint64) {
	for _, c := range w.Counts {
		n += c
	}
	return n
}

// suffering is how many requests of a flow failed in a span, or were later by so much
// that a busy machine alone does not explain it, nor what they called themselves.
type suffering struct {
	n, of int
	shown []uint64
	// quarters of the span in which they were more than a few.
	quarters int
}

func suffered(v *ledger.View, flow int32, s *ledger.Span, slow time.Duration) suffering {
	var all suffering
	var n, of [4]int
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow != flow || e.Start < s.From || e.Start >= s.To {
			continue
		}
		quarter := min(3, int(4*(e.Start-s.From)/max(1, s.To-s.From)))
		of[quarter]++
		all.of++
		if !e.OK || slow > 0 && e.Took() > slow+clearlySlow && 2*calling(v, int32(i)) < e.Took() {
			n[quarter]++
			if all.n++; len(all.shown) < experiment.MaxEvidence {
				all.shown = append(all.shown, e.No)
			}
		}
	}
	for q := range n {
		if float64(n[q]) > noticed*float64(of[q]) {
			all.quarters++
		}
	}
	return all
}

// calling is how long a request's own calls took, as far as they are known.
func calling(v *ledger.View, request int32) (sum time.Duration) {
	for _, front := range v.Children[request] {
		for _, c := range v.Children[front] {
			if v.ParentSure[c] >= certain {
				sum += v.Entries[c].Took()
			}
		}
	}
	return sum
}

// noBulkhead is a flow that suffers although it needs nothing of what is hurt.
func noBulkhead(v *ledger.View, o *experiment.FlowOutcomes) []experiment.Weakness {
	var worst *experiment.Weakness
	flow, before, worstShare := int32(slices.Index(v.Flows, o.Flow)), 0.0, 0.0
	for i, w := range o.Windows {
		s := &v.Spans[i]
		all := suffered(v, flow, s, o.Steady.Slow.Std())
		share := float64(all.n) / float64(max(1, all.of))
		if s.Stage == experiment.StageSteady {
			before = share
		}
		if w.Counts[experiment.OutcomeCascade] == 0 || all.of < fewestUntouched || all.quarters < 2 || share <= noticed || share <= 2*before || share <= worstShare {
			continue
		}
		edges := hurtBelow(v, w.Step)
		worst, worstShare = &experiment.Weakness{
			Kind: experiment.NoBulkhead, Flow: o.Flow, Confidence: 0.95, Samples: all.of, Evidence: all.shown,
			Sentence: fmt.Sprintf("%d of %d requests of %s failed or were slow while %s was hurt, which they do not need", all.n, all.of, o.Flow, strings.Join(edges, " and ")),
		}, share
		if o.Joined != "trace" {
			worst.Confidence = 0.8
		}
		if len(edges) == 1 {
			worst.Edge = edges[0]
		}
	}
	if worst == nil {
		return nil
	}
	return []experiment.Weakness{*worst}
}

// staysBroken is a flow that does not come back after the lift.
func staysBroken(v *ledger.View, o *experiment.FlowOutcomes) []experiment.Weakness {
	rec := v.Run.Recovery
	if rec == nil || rec.Shape != experiment.RecoveryRetryStorm && rec.Shape != experiment.RecoveryBroken {
		return nil
	}
	flow := int32(slices.Index(v.Flows, o.Flow))
	why := ""
	for _, p := range rec.Parts {
		if p.What == "goodput" && p.Of == o.Flow && p.Took == nil && p.Result == experiment.Fail {
			why = p.Why
		}
	}
	if why == "" || flow < 0 {
		return nil
	}
	var span *ledger.Span
	for i := range v.Spans {
		if v.Spans[i].Stage == experiment.StageRecovery {
			span = &v.Spans[i]
		}
	}
	late := 0
	for i := range v.Entries {
		if e := &v.Entries[i]; e.Flow == flow && e.Start >= middle(span) && e.Start < span.To {
			late++
		}
	}
	if late < fewestLate {
		return nil
	}
	w := experiment.Weakness{Kind: experiment.StaysBroken, Flow: o.Flow, Confidence: 0.95, Samples: late, Sentence: why}
	for _, win := range o.Windows {
		if win.Stage == experiment.StageRecovery {
			w.Evidence = win.Shown[experiment.OutcomeStuck]
		}
	}
	if rec.Shape == experiment.RecoveryRetryStorm {
		for _, p := range rec.Parts {
			if p.What == "attempts" && p.Took == nil && p.Result == experiment.Fail {
				w.Edge = p.Of
				w.Sentence += "; " + p.Why
				break
			}
		}
	}
	return []experiment.Weakness{w}
}
