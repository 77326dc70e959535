package report

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// class is an outcome class as pages show it.
type class struct {
	Name  experiment.OutcomeClass
	Words string // after "were": "saved by a retry or a fallback"
	// Style picks colour and pattern; it never comes from a record.
	Style   string
	Meaning string
	rank    int
}

// good tells whether users were served.
func (c class) good() bool { return c.rank <= 2 }

// classes in the order of the words package, the best first.
func classes() []class {
	short := map[experiment.OutcomeClass]string{
		experiment.OutcomeOK: "as before", experiment.OutcomeMasked: "saved by a retry or fallback", experiment.OutcomeDegraded: "reduced and said so",
		experiment.OutcomeSlow: "too slow", experiment.OutcomeError: "errors", experiment.OutcomeCorrupt: "wrong though they looked fine",
		experiment.OutcomeCascade: "failed although not involved", experiment.OutcomeStuck: "still failing after the fault was lifted",
	}
	var all []class
	for i, c := range experiment.OutcomeClasses() {
		all = append(all, class{c.Class, short[c.Class], "oc-" + string(c.Class), c.Meaning, i})
	}
	return all
}

// classOf finds a class; one that is not known stands last.
func classOf(c experiment.OutcomeClass) class {
	for _, k := range classes() {
		if k.Name == c {
			return k
		}
	}
	return class{c, string(c), "oc-other", "a class that this version does not know", 99}
}

// portion is how many answers were of one class.
type portion struct {
	class
	N     uint64
	Share string // of all, in words
	Left  string // where its part of the bar begins, in percent
	Width string
	Wide  bool // it has room for its share
}

// mix is the answers of one window by class, the best first.
type mix struct {
	Title string // before, while hurt, after; the step, if there are several
	Stage experiment.Stage
	All   uint64
	Parts []portion
	// Words are the parts that are not as before, in a line; Told if they need not be
	// written beside the bar.
	Words string
	Told  bool
}

// mixOf lays the counts of a window out. Classes of the same name add up.
func mixOf(title string, stage experiment.Stage, counts map[experiment.OutcomeClass]uint64) mix {
	m := mix{Title: title, Stage: stage}
	for c, n := range counts {
		if n > 0 {
			m.Parts = append(m.Parts, portion{class: classOf(c), N: n})
			m.All = addUp(m.All, n)
		}
	}
	slices.SortFunc(m.Parts, func(x, y portion) int { return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.Name, y.Name)) })
	var words []string
	left := 0.0
	for i := range m.Parts {
		p := &m.Parts[i]
		width := 100 * float64(p.N) / float64(m.All)
		p.Share, p.Left, p.Width, p.Wide = rough(p.N, m.All), place(min(left, 100)), place(min(width, 100-min(left, 100))), width >= 17
		left += width
		if p.rank > 0 {
			words = append(words, p.Share+" "+p.Words)
		}
	}
	switch {
	case len(m.Parts) == 0:
		m.Words = noData
	case len(words) == 0:
		m.Words, m.Told = "all as before", true
	default:
		m.Words = strings.Join(words, ", ")
	}
	return m
}

// addUp adds without going round.
func addUp(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// rough writes a share with two digits that count: enough for a glance. It never rounds
// to nothing or all what is not.
func rough(part, whole uint64) string {
	if whole == 0 || part == 0 || part >= whole {
		return percent(part, whole)
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case p >= 99.95 || p < 0.05:
		return percent(part, whole)
	case p >= 99 || p < 9.95:
		return strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0") + "%"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + "%"
}

// flowMix is what the users of a flow got, window by window.
type flowMix struct {
	Flow, Request string
	Windows       []mix
	Hurt          mix // all steps together
	// Sentence sums up what they got while something was hurt.
	Sentence string
	// Measured: the answers were put in classes; else only successes were counted.
	Measured bool
}

// bad is the share of answers that did not serve a user, late that of slow ones.
func (f *flowMix) bad() (bad, late float64) {
	for _, p := range f.Hurt.Parts {
		share := float64(p.N) / float64(max(f.Hurt.All, 1))
		switch {
		case p.Name == experiment.OutcomeSlow:
			late += share
		case !p.good():
			bad += share
		}
	}
	return bad, late
}

// flowMixes are the flows of a run, those with the worst answers first.
func flowMixes(r *experiment.Run) []flowMix {
	var all []flowMix
	seen := map[string]bool{}
	for _, o := range r.Outcomes {
		f := flowMix{Flow: o.Flow, Measured: true}
		for _, w := range o.Windows {
			f.add(w.Stage, w.Step, w.Counts)
		}
		seen[o.Flow] = true
		all = append(all, f)
	}
	for _, fr := range r.Flows {
		if seen[fr.Name] {
			continue
		}
		f := flowMix{Flow: fr.Name}
		for _, w := range fr.Windows {
			f.add(w.Stage, w.Step, map[experiment.OutcomeClass]uint64{experiment.OutcomeOK: min(w.Successes, w.Requests), experiment.OutcomeError: w.Requests - min(w.Successes, w.Requests)})
		}
		all = append(all, f)
	}
	for i := range all {
		all[i].finish(r)
	}
	slices.SortStableFunc(all, func(x, y flowMix) int {
		xb, xl := x.bad()
		yb, yl := y.bad()
		return cmp.Or(cmp.Compare(yb, xb), cmp.Compare(yl, xl))
	})
	return all
}

func (f *flowMix) add(stage experiment.Stage, step string, counts map[experiment.OutcomeClass]uint64) {
	title := ""
	switch stage {
	case experiment.StageSteady:
		title = "before"
	case experiment.StageHurt:
		title = "while hurt"
	case experiment.StageRecovery:
		title = "after"
	default:
		title = string(stage)
	}
	if step != "" && stage == experiment.StageHurt {
		title = step
	}
	f.Windows = append(f.Windows, mixOf(title, stage, counts))
}

// finish sums the steps up.
func (f *flowMix) finish(r *experiment.Run) {
	sum := map[experiment.OutcomeClass]uint64{}
	steps := 0
	for _, w := range f.Windows {
		if w.Stage != experiment.StageHurt {
			continue
		}
		steps++
		for _, p := range w.Parts {
			sum[p.Name] = addUp(sum[p.Name], p.N)
		}
	}
	f.Hurt = mixOf("while hurt", experiment.StageHurt, sum)
	if steps == 1 { // its name says nothing that the page does not say elsewhere
		for i := range f.Windows {
			if f.Windows[i].Stage == experiment.StageHurt {
				f.Windows[i].Title = "while hurt"
				f.Windows[i].Told = f.Windows[i].All > 0
			}
		}
	}
	for _, fr := range r.Flows {
		if fr.Name == f.Flow {
			f.Request = fr.Request
		}
	}
	f.Sentence = f.sentence()
}

func (f *flowMix) sentence() string {
	h := f.Hurt
	if h.All == 0 {
		return "No answer was recorded while something was hurt."
	}
	lead := "Of " + plural(h.All, "answer") + " while hurt, "
	if h.Words == "all as before" {
		if !f.Measured {
			return "All " + count(h.All) + " requests succeeded while something was hurt."
		}
		return "All " + count(h.All) + " answers while something was hurt were as before."
	}
	var parts []string
	for _, p := range h.Parts {
		words := p.Words
		if !f.Measured && p.rank == 0 {
			words = "were a success"
		}
		parts = append(parts, p.Share+" "+words)
	}
	return lead + joinAnd(parts) + "."
}

// joinAnd joins a list as a sentence does.
func joinAnd(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// outcomeRow is one line of the table of outcome classes.
type outcomeRow struct {
	Window, All string
	Cells       []outcomeCell
}

type outcomeCell struct {
	Share, N string
	Refs     refs
}

// outcomeTable is all of a flow's answers by class.
type outcomeTable struct {
	Flow, Steady string
	Classes      []class
	Rows         []outcomeRow
	Needs        []string
	Joined       string
}

func outcomeTables(r *experiment.Run, drawn map[uint64]bool) []outcomeTable {
	var all []outcomeTable
	for _, o := range r.Outcomes {
		t := outcomeTable{Flow: o.Flow, Steady: sentence(o.Steady.Why), Needs: o.Needs, Joined: o.Joined}
		used := map[experiment.OutcomeClass]class{}
		for _, w := range o.Windows {
			for c, n := range w.Counts {
				if n > 0 {
					used[c] = classOf(c)
				}
			}
		}
		for _, c := range used {
			t.Classes = append(t.Classes, c)
		}
		slices.SortFunc(t.Classes, func(x, y class) int { return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.Name, y.Name)) })
		for _, w := range o.Windows {
			m := mixOf("", w.Stage, w.Counts)
			row := outcomeRow{Window: window(w.Stage, w.Step), All: count(m.All)}
			for _, c := range t.Classes {
				cell := outcomeCell{Share: rough(w.Counts[c.Name], m.All), N: count(w.Counts[c.Name])}
				if c.rank > 0 {
					cell.Refs = refsOf(w.Shown[c.Name], drawn, 3)
				}
				row.Cells = append(row.Cells, cell)
			}
			t.Rows = append(t.Rows, row)
		}
		all = append(all, t)
	}
	return all
}
