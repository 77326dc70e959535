package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// isJudged tells whether a run has a ledger that somebody has judged.
func isJudged(r *experiment.Run) bool {
	return len(r.Behaviour) > 0 || len(r.Outcomes) > 0 || len(r.Expectations) > 0 || len(r.Weaknesses) > 0
}

// questions are what every judged run answers, in the order of their importance to users.
func questions(r *experiment.Run) []struct {
	Ask, Short string
	answer
} {
	type q = struct {
		Ask, Short string
		answer
	}
	flows := flowMixes(r)
	return []q{
		{"Does the API degrade gracefully?", "users", reserved(r, flows, gracefulAnswer(flows))},
		{"Do retries, timeouts, circuit breakers and fallbacks work?", "callers", workingAnswer(r)},
		{"What happens in an outage?", "outage", outageAnswer(r)},
	}
}

// aside is what a reader of a pass should not miss: rules hold, and things are bad that
// they did not ask for. Empty if there is nothing to say.
func aside(r *experiment.Run) string {
	if _, t := verdictWord(r.Verdict); t != toneGood || !isJudged(r) {
		return ""
	}
	for _, q := range questions(r) {
		if q.Tone == toneBad {
			return "A pass means that the rules of this experiment held. They did not ask for all that follows."
		}
	}
	return ""
}

// Answers writes the short of what a run says of the services: what users got, what
// callers did, how the system came back. Nothing of a run that was not judged.
func Answers(w io.Writer, r *experiment.Run, style Style) error {
	if r == nil {
		return errNoRun
	}
	p := &printer{w: w, style: style}
	if isJudged(r) {
		for _, q := range questions(r) {
			p.field(2, 11, q.Short, q.Line(), q.Tone)
		}
		p.callers(r)
	}
	return p.done("answers")
}

// judged is what the judge found, for a terminal.
func (p *printer) judged(r *experiment.Run) {
	if !isJudged(r) {
		return
	}
	p.field(2, 0, "", aside(r), toneWarn)
	p.line("")
	for _, q := range questions(r) {
		p.field(0, 9, q.Short, q.Line(), q.Tone)
	}
	p.outcomes(r)
	p.callers(r)
	p.weaknesses(r)
	p.expectations(r)
}

func (p *printer) outcomes(r *experiment.Run) {
	var shown []flowMix
	for _, f := range flowMixes(r) {
		if f.Measured {
			shown = append(shown, f)
		}
	}
	if len(shown) == 0 {
		return
	}
	p.heading("What users got")
	for _, f := range shown {
		p.field(2, 0, "", f.Flow+": "+f.Sentence, toneNone)
		for _, w := range f.Windows {
			if w.All > 0 && (w.Stage != experiment.StageHurt || w.Words != f.Hurt.Words) {
				p.field(4, 14, clip(clean(w.Title), 13), w.Words, toneNone)
			}
		}
	}
}

func (p *printer) callers(r *experiment.Run) {
	w := workingOf(r, nil, nil)
	if len(w.Callers) == 0 {
		return
	}
	p.heading("What callers did")
	for _, c := range w.Callers {
		p.line("  " + paint(p.style.Bold, clip(clean(c.Edge), columns-2)))
		p.field(4, 0, "", c.Text(), toneNone)
		p.field(4, 0, "", c.NotSeen(), toneNone)
	}
	if w.More > 0 {
		p.line("  " + paint(p.style.Dim, fmt.Sprintf("and %d more, in the HTML report", w.More)))
	}
}

func (p *printer) weaknesses(r *experiment.Run) {
	all := sortedWeaknesses(r)
	if len(all) == 0 {
		return
	}
	p.heading("Weaknesses")
	for _, w := range all {
		info := w.Kind.InfoOf()
		title := info.Title
		if place := weakPlace(w); place != "" {
			title += ", " + place
		}
		p.bullets(2, "!", []string{title}, toneBad)
		p.field(4, 0, "", w.Sentence, toneNone)
		p.field(4, 0, "", info.Remedy, toneNone)
		p.field(4, 0, "", fmt.Sprintf("%s; %s", capital(sure(w.Confidence)), evidenceWords(w.Evidence)), toneNone)
	}
	if r.ID != "" {
		p.line("  " + paint(p.style.Dim, clip("to see an exchange: chaosctl ledger "+clean(r.ID)+" --no NUMBER", columns-2)))
	}
}

// evidenceWords names some exchanges.
func evidenceWords(numbers []uint64) string {
	if len(numbers) == 0 {
		return "no exchange is named"
	}
	var all []string
	for _, n := range numbers[:min(len(numbers), 5)] {
		all = append(all, fmt.Sprint(n))
	}
	if len(all) == 1 {
		return "seen in exchange " + all[0]
	}
	return "seen in exchanges " + strings.Join(all, ", ")
}

func (p *printer) expectations(r *experiment.Run) {
	if len(r.Expectations) == 0 {
		return
	}
	p.heading("Expectations")
	for _, e := range expectOf(r, nil) {
		text := e.Rule + " (" + e.Of + ")"
		if e.Tone != toneGood {
			text += ": " + e.Why
		}
		for i, l := range wrap(clean(text), columns-11) {
			head := strings.Repeat(" ", 9)
			if i == 0 {
				head = p.style.tone(e.Tone, e.Word) + strings.Repeat(" ", 9-len(e.Word))
			}
			p.line("  " + head + l)
		}
	}
}

// parts are what had to come back after the lift.
func (p *printer) parts(rec *experiment.RecoveryResult) {
	if len(rec.Parts) == 0 {
		return
	}
	t := &table{right: map[int]bool{2: true}}
	t.head("WHAT CAME BACK", "OF", "AFTER", "RESULT")
	for _, row := range partsOf(rec.Parts) {
		t.add(cell{text: row.What}, cell{text: row.Of}, cell{text: row.Took}, cell{text: row.Word, tone: row.Tone})
	}
	t.write(p, 2)
}

// markdownJudged is what the judge found, for a summary.
func markdownJudged(b *strings.Builder, r *experiment.Run) {
	if !isJudged(r) {
		return
	}
	if a := aside(r); a != "" {
		b.WriteString("> [!WARNING]\n> " + a + "\n\n")
	}
	rows := [][]string{{"Question", "Answer"}}
	for _, q := range questions(r) {
		s := sign(q.Tone) + " "
		if q.Tone == toneNone {
			s = ""
		}
		rows = append(rows, []string{q.Ask, s + "**" + md(q.Word) + "** " + md(q.Rest)})
	}
	markdownTable(b, rows)
	if all := sortedWeaknesses(r); len(all) > 0 {
		b.WriteString("#### Weaknesses\n\n")
		for _, w := range all {
			info := w.Kind.InfoOf()
			fmt.Fprintf(b, "- **%s**, %s: %s %s (%s; %s)\n", md(info.Title), md(weakPlace(w)), md(w.Sentence), md(info.Remedy), sure(w.Confidence), evidenceWords(w.Evidence))
		}
		b.WriteString("\n")
	}
	if len(r.Expectations) > 0 {
		b.WriteString("#### Expectations\n\n")
		rows := [][]string{{"Result", "Rule", "Of", "Why"}}
		for _, e := range expectOf(r, nil) {
			rows = append(rows, []string{sign(e.Tone) + " " + e.Word, md(e.Rule), md(e.Of), md(e.Why)})
		}
		markdownTable(b, rows)
	}
	markdownOutcomes(b, r)
}

func markdownOutcomes(b *strings.Builder, r *experiment.Run) {
	rows := [][]string{{"Flow", "When", "Answers", "What users got"}}
	for _, f := range flowMixes(r) {
		if !f.Measured {
			continue
		}
		for _, w := range f.Windows {
			rows = append(rows, []string{md(f.Flow), md(w.Title), count(w.All), md(w.Words)})
		}
	}
	if len(rows) == 1 {
		return
	}
	b.WriteString("#### What users got\n\n")
	markdownTable(b, rows, 2)
}

// markdownParts are what had to come back after the lift.
func markdownParts(b *strings.Builder, rec *experiment.RecoveryResult) {
	if len(rec.Parts) == 0 {
		return
	}
	rows := [][]string{{"What came back", "Of", "After", "Result"}}
	for _, row := range partsOf(rec.Parts) {
		rows = append(rows, []string{md(row.What), md(row.Of), row.Took, sign(row.Tone) + " " + row.Word})
	}
	markdownTable(b, rows, 2)
}

// judgedLines are what a CI server shows beside the cases: what users got, how the
// system came back, and what is weak.
func judgedLines(r *experiment.Run) []string {
	if !isJudged(r) {
		return nil
	}
	var all []string
	for _, q := range questions(r) {
		all = append(all, q.Ask+" "+q.Line())
	}
	for _, f := range flowMixes(r) {
		if f.Measured {
			all = append(all, f.Flow+": "+f.Sentence)
		}
	}
	for _, w := range sortedWeaknesses(r) {
		all = append(all, "Weakness: "+w.Kind.InfoOf().Title+", "+weakPlace(w)+": "+w.Sentence)
	}
	return all
}
