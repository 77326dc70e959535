package report

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/chaosctl/chaosctl/experiment"
)

// weaknesses are what was found wanting.
type weaknesses struct {
	Rows []weakRow
	// None is what is said instead of rows; empty if nobody looked.
	None string
}

type weakRow struct {
	ID                                   string
	Title, Where, Sentence, Risk, Remedy string
	Sure, Samples                        string
	Refs                                 refs
	Command                              string
}

// sortedWeaknesses are those of a run, the surest first.
func sortedWeaknesses(r *experiment.Run) []experiment.Weakness {
	all := slices.Clone(r.Weaknesses)
	slices.SortStableFunc(all, func(x, y experiment.Weakness) int { return cmp.Compare(y.Confidence, x.Confidence) })
	return all
}

// weakPlace is where a weakness was seen.
func weakPlace(w experiment.Weakness) string {
	switch {
	case w.Edge != "" && w.Flow != "":
		return w.Edge + ", felt by " + w.Flow
	case w.Edge != "":
		return w.Edge
	}
	return w.Flow
}

func weaknessesOf(r *experiment.Run, drawn map[uint64]bool) weaknesses {
	var all weaknesses
	for i, w := range sortedWeaknesses(r) {
		info := w.Kind.InfoOf()
		row := weakRow{ID: "weak-" + strconv.Itoa(i+1), Title: info.Title, Where: weakPlace(w), Sentence: stopped(w.Sentence), Risk: info.Risk, Remedy: info.Remedy, Sure: sure(w.Confidence),
			Refs: refsOf(w.Evidence, drawn, 8), Command: ledgerCommand(r, w.Evidence)}
		if w.Samples > 0 {
			row.Samples = count(whole(w.Samples))
		}
		all.Rows = append(all.Rows, row)
	}
	if len(all.Rows) == 0 && len(r.Behaviour) > 0 {
		all.None = "None of the " + count(uint64(len(experiment.Weaknesses()))) + " weaknesses that the judge knows was seen in this run. What it could not tell is listed as unknown at each edge below."
	}
	return all
}

// expectRow is the result of one rule of an expectation.
type expectRow struct {
	experiment.ExpectationResult
	chip
	Refs    refs
	Command string
}

// expectOf puts what did not hold first.
func expectOf(r *experiment.Run, drawn map[uint64]bool) []expectRow {
	var rows []expectRow
	for _, e := range r.Expectations {
		row := expectRow{ExpectationResult: e, Refs: refsOf(e.Evidence, drawn, 6), Command: ledgerCommand(r, e.Evidence)}
		row.Word, row.Tone = standingWord(e.Result)
		rows = append(rows, row)
	}
	rank := map[tone]int{toneBad: 0, toneWarn: 1, toneGood: 2}
	slices.SortStableFunc(rows, func(x, y expectRow) int { return cmp.Compare(rank[x.Tone], rank[y.Tone]) })
	return rows
}
