package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// answer is the short answer to one of the questions that every run is asked.
type answer struct {
	Word, Rest string // "No." and "4.2% of checkout's answers were errors."
	Tone       tone
}

// Line is the answer in one line.
func (a answer) Line() string { return strings.TrimSpace(a.Word + " " + a.Rest) }

// graceful: does the API degrade gracefully?
type graceful struct {
	answer
	Flows  []flowMix
	More   int // flows that are not shown
	Legend []class
}

// maxGlance is how much of a kind the first screen shows.
const maxGlance = 3

func gracefulOf(r *experiment.Run) graceful {
	flows := flowMixes(r)
	g := graceful{answer: reserved(r, flows, gracefulAnswer(flows)), Flows: flows[:min(len(flows), maxGlance)]}
	g.More = len(flows) - len(g.Flows)
	used := map[string]bool{}
	for i := range g.Flows {
		g.Flows[i].Windows = glance(g.Flows[i].Windows)
		for _, w := range g.Flows[i].Windows {
			for _, p := range w.Parts {
				used[p.Style] = true
			}
		}
	}
	for _, c := range append(classes(), class{Words: "other", Style: "oc-other"}) {
		if used[c.Style] {
			g.Legend = append(g.Legend, c)
		}
	}
	return g
}

// glance leaves out the better steps if there are many windows.
func glance(all []mix) []mix {
	const most = 5
	for len(all) > most {
		best, at := -1.0, -1
		for i, w := range all {
			f := flowMix{Hurt: w}
			bad, late := f.bad()
			if served := 1 - bad - late/2; w.Stage == experiment.StageHurt && served > best {
				best, at = served, i
			}
		}
		if at < 0 {
			return all[:most]
		}
		all = append(append([]mix{}, all[:at]...), all[at+1:]...)
	}
	return all
}

// reserved says less of a good answer if not all was hurt that should have been, or if
// not everybody's answers are known.
func reserved(r *experiment.Run, flows []flowMix, a answer) answer {
	hit, missed := receipts(r)
	blank := slices.ContainsFunc(flows, func(f flowMix) bool { return f.Hurt.All == 0 })
	switch {
	case a.Tone != toneGood:
		return a
	case hit == 0:
		return answer{"Not tested.", "No fault hit anything.", toneWarn}
	case missed > 0:
		return answer{"Not sure.", "No request failed, but not every fault hit something.", toneWarn}
	case blank:
		return answer{"Not sure.", "No request failed, but not all of the traffic was measured.", toneWarn}
	}
	return a
}

// receipts counts the faults that hit something, and those that did not.
func receipts(r *experiment.Run) (hit, missed int) {
	for _, i := range r.Injections {
		for _, a := range i.Armed {
			switch word, _ := receiptState(i, a); word {
			case "hit nothing":
				missed++
			case "nothing here":
			default:
				hit++
			}
		}
	}
	return hit, missed
}

func gracefulAnswer(flows []flowMix) answer {
	for _, f := range flows {
		for _, p := range f.Hurt.Parts {
			if p.Name == experiment.OutcomeCorrupt {
				return answer{"No.", p.Share + " of the answers to " + f.Flow + " were wrong though they looked fine.", toneBad}
			}
		}
	}
	var worst *flowMix
	for i := range flows {
		if flows[i].Hurt.All > 0 {
			worst = &flows[i]
			break
		}
	}
	if worst == nil {
		return answer{"Not known.", "No answer of a user was recorded while something was hurt.", toneWarn}
	}
	var served, late uint64
	parts := map[experiment.OutcomeClass]portion{}
	for _, p := range worst.Hurt.Parts {
		parts[p.Name] = p
		if p.good() {
			served = addUp(served, p.N)
		} else if p.Name == experiment.OutcomeSlow {
			late = p.N
		}
	}
	bad, _ := worst.bad()
	of := " of the answers to " + worst.Flow
	switch {
	case bad > 0:
		lost := worst.Hurt.All - min(worst.Hurt.All, addUp(served, late))
		word, t := "No.", toneBad
		if bad < 0.01 {
			word, t = "Nearly.", toneWarn
		}
		return answer{word, rough(lost, worst.Hurt.All) + of + " failed while it was hurt.", t}
	case late > 0:
		return answer{"Partly.", "Nobody saw an error, but " + rough(late, worst.Hurt.All) + of + " came too late.", toneWarn}
	case parts[experiment.OutcomeDegraded].N > 0:
		return answer{"Yes.", "Nobody saw an error; " + parts[experiment.OutcomeDegraded].Share + of + " were reduced and said so.", toneGood}
	case parts[experiment.OutcomeMasked].N > 0:
		return answer{"Yes.", "Users noticed nothing: a retry or a fallback saved " + parts[experiment.OutcomeMasked].Share + of + ".", toneGood}
	case !worst.Measured:
		return answer{"Yes,", "as far as was seen: no request failed while it was hurt.", toneGood}
	}
	return answer{"Yes.", "Users noticed nothing.", toneGood}
}

// working: do retries, timeouts, breakers and fallbacks work?
type working struct {
	answer
	Weak     []weakRow // some
	MoreWeak int
	Callers  []caller
	More     int
	Expect   []expectRow // those that did not hold, and how many did
	Held     string
}

func workingOf(r *experiment.Run, rows []expectRow, weak []weakRow) working {
	w := working{answer: workingAnswer(r), Held: standings(r.Expectations), Weak: weak[:min(len(weak), maxGlance)]}
	w.MoreWeak = len(weak) - len(w.Weak)
	var edges []*experiment.EdgeBehaviour
	for i := range r.Behaviour {
		if b := &r.Behaviour[i]; !connectionsOnly(b) && !ofUsers(b.Edge) {
			edges = append(edges, b)
		}
	}
	slices.SortStableFunc(edges, func(x, y *experiment.EdgeBehaviour) int { return cmp.Compare(interest(y), interest(x)) })
	for _, b := range edges {
		c := callerOf(b)
		if len(w.Callers) == 2 || interest(b) == 0 || interest(b) == 1 && len(c.Did) == 0 {
			w.More++
			continue
		}
		w.Callers = append(w.Callers, c)
	}
	for _, e := range rows {
		if e.Tone != toneGood && len(w.Expect) < maxGlance {
			w.Expect = append(w.Expect, e)
		}
	}
	return w
}

// interest ranks edges: those that were hurt, then those that failed or of which something
// is known.
func interest(b *experiment.EdgeBehaviour) int {
	n := 0
	if b.Tries.Known || b.Timeout.Known || b.Breaker.Known || b.Fallback.Known {
		n = 1
	}
	for _, w := range b.Windows {
		if w.Failed > 0 {
			n = max(n, 1)
		}
		if w.Hurt > 0 {
			n = 2
		}
	}
	return n
}

// isTested tells whether anything failed or was hurt on an edge.
func isTested(b *experiment.EdgeBehaviour) bool { return interest(b) > 0 }

// ofUsers tells whether the users call on an edge: they are what hurts whom, and nothing
// is asked of them.
func ofUsers(edge string) bool { return strings.HasPrefix(edge, experiment.Users+" -> ") }

// connectionsOnly tells whether an edge sees bytes alone: nothing is inferred there.
func connectionsOnly(b *experiment.EdgeBehaviour) bool {
	return b.Grouping.Calls == 0 && !b.Tries.Known && !b.Timeout.Known && !b.Breaker.Known && !b.Fallback.Known
}

func workingAnswer(r *experiment.Run) answer {
	var held, broken, unknown uint64
	for _, e := range r.Expectations {
		switch e.Result {
		case experiment.Held:
			held++
		case experiment.Broken:
			broken++
		default:
			unknown++
		}
	}
	var weak uint64
	for _, k := range r.Weaknesses {
		if k.Edge != "" {
			weak++
		}
	}
	found := ""
	if weak > 0 {
		found = plural(weak, "weakness") + " " + wasWere(weak) + " found"
	}
	all := held + broken + unknown
	switch {
	case broken > 0 && weak > 0:
		return answer{"No.", fmt.Sprintf("%d of %s %s broken, and %s.", broken, plural(all, "expectation"), isAre(broken), found), toneBad}
	case broken > 0:
		return answer{"No.", fmt.Sprintf("%d of %s %s broken.", broken, plural(all, "expectation"), isAre(broken)), toneBad}
	case weak > 0:
		return answer{"Not all.", found + ".", toneBad}
	case !anyTested(r):
		return answer{"Not tested.", "No call between services failed or was hurt, so nobody had to react.", toneWarn}
	case unknown > 0:
		return answer{"Not sure.", fmt.Sprintf("%d of %s could not be told.", unknown, plural(all, "expectation")), toneWarn}
	case held > 0:
		return answer{"Yes.", capital(allOf(held, "expectation") + " held, and no weakness was seen."), toneGood}
	}
	return answer{"No weakness was seen.", "The experiment expects nothing of callers.", toneNone}
}

func allOf(n uint64, noun string) string {
	if n == 1 {
		return "the one " + noun
	}
	return "all " + plural(n, noun)
}

func isAre(n uint64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// capital writes a first letter large.
func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func anyTested(r *experiment.Run) bool {
	for i := range r.Behaviour {
		if b := &r.Behaviour[i]; isTested(b) && !connectionsOnly(b) && !ofUsers(b.Edge) {
			return true
		}
	}
	return false
}

// standings counts expectations by result, in words.
func standings(all []experiment.ExpectationResult) string {
	n := map[tone]int{}
	for _, e := range all {
		_, t := standingWord(e.Result)
		n[t]++
	}
	return tally(n, "broken", "unknown", "held")
}

// tally counts results in words, the worst first.
func tally(n map[tone]int, bad, warn, good string) string {
	var parts []string
	for _, t := range []struct {
		tone tone
		word string
	}{{toneBad, bad}, {toneWarn, warn}, {toneGood, good}} {
		if n[t.tone] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[t.tone], t.word))
		}
	}
	return strings.Join(parts, ", ")
}

// standingWord is the result of an expectation in a word.
func standingWord(s experiment.Standing) (string, tone) {
	switch s {
	case experiment.Held:
		return "held", toneGood
	case experiment.Broken:
		return "broken", toneBad
	}
	return "unknown", toneWarn
}
