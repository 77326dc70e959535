package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// printer writes lines and keeps the first error.
type printer struct {
	w     io.Writer
	style Style
	err   error
}

func (p *printer) line(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, s+"\n")
	}
}

// heading is an empty line and a title.
func (p *printer) heading(s string) {
	p.line("")
	p.line(paint(p.style.Bold, s))
}

// field writes a label in a column and a text, wrapped beside it.
func (p *printer) field(indent, width int, label, text string, t tone) {
	text = clean(text)
	if text == "" {
		return
	}
	lead := strings.Repeat(" ", indent)
	for i, l := range wrap(text, columns-indent-width) {
		head := strings.Repeat(" ", width)
		if i == 0 && label != "" {
			head = paint(p.style.Dim, label) + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(label)))
		}
		p.line(lead + head + p.style.tone(t, l))
	}
}

// bullets writes each text as a wrapped item.
func (p *printer) bullets(indent int, mark string, texts []string, t tone) {
	lead := strings.Repeat(" ", indent)
	for _, text := range texts {
		for i, l := range wrap(clean(text), columns-indent-2) {
			head := "  "
			if i == 0 {
				head = mark + " "
			}
			p.line(lead + p.style.tone(t, head+l))
		}
	}
}

func (p *printer) done(what string) error {
	if p.err != nil {
		return fmt.Errorf("write %s: %w", what, p.err)
	}
	return nil
}

// maxTextGates is how many gates a terminal shows in full; of more, only those
// that did not hold.
const maxTextGates = 12

// Text writes what a person wants to see in a terminal at the end of a run, in
// at most 80 columns: the verdict and why, gates, recovery, receipts, and how
// to run it again.
func Text(w io.Writer, r *experiment.Run, style Style) error {
	if r == nil {
		return errNoRun
	}
	p := &printer{w: w, style: style}
	p.stuck(r.Stuck)
	p.verdict(r)
	p.judged(r)
	p.gates(r.Gates)
	p.probes(r.Probes)
	p.recovery(r.Recovery)
	p.receipts(r.Injections)
	if notes := remarks(r); len(notes) > 0 {
		p.heading("Notes")
		p.bullets(2, "-", notes, toneNone)
	}
	p.line("")
	foot := "run " + clean(r.ID)
	if d := elapsed(r); d > 0 {
		foot += ", took " + dur(d)
	}
	p.line(paint(style.Dim, foot))
	p.line(paint(style.Dim, "again with the same draws: ") + repeatCommand(r))
	return p.done("text report")
}

// stuck is the loudest thing there is, so it comes first.
func (p *printer) stuck(stuck []string) {
	if len(stuck) == 0 {
		return
	}
	p.line(p.style.tone(toneBad, "COULD NOT ROLL BACK. This is still in force:"))
	p.bullets(2, "!", stuck, toneBad)
	p.line(p.style.tone(toneBad, "Try again with `chaosctl sweep`."))
	p.line("")
}

func (p *printer) verdict(r *experiment.Run) {
	word, t := verdictWord(r.Verdict)
	p.line(p.style.tone(t, word) + "  " + paint(p.style.Bold, clean(r.Experiment)))
	if abortedApart(r) {
		p.field(2, 9, "aborted", r.Aborted, toneStop)
	}
	p.bullets(2, "-", reasons(r), toneNone)
}

func (p *printer) gates(gates []experiment.GateResult) {
	if len(gates) == 0 {
		return
	}
	shown := gates
	if len(gates) > maxTextGates {
		shown = nil
		for _, g := range gates {
			if g.Result != experiment.Pass {
				shown = append(shown, g)
			}
		}
	}
	p.heading("Gates")
	t := &table{right: map[int]bool{4: true}}
	if len(shown) > 0 {
		t.head("GATE", "IN", "FIGURE", "RULE", "MEASURED", "RESULT")
	}
	for _, g := range shown {
		word, tn := gateWord(g.Result)
		t.add(cell{text: g.Gate}, cell{text: window(g.Stage, g.Step)}, cell{text: g.Figure}, cell{text: g.Rule},
			cell{text: value(g.Value)}, cell{text: word, tone: tn})
	}
	t.write(p, 2)
	if rest := len(gates) - len(shown); rest > 0 {
		more := fmt.Sprintf("%d more held", rest)
		if len(shown) == 0 {
			more = fmt.Sprintf("all %d held", rest)
		}
		p.line("  " + paint(p.style.Dim, more))
	}
}

func (p *printer) probes(probes []experiment.ProbeResult) {
	if len(probes) == 0 {
		return
	}
	p.heading("Probes")
	t := &table{right: map[int]bool{2: true, 3: true}}
	t.head("PROBE", "WHAT", "TAKEN", "FAILED", "RESULT")
	for _, b := range probes {
		word, tn := probeWord(b.Result)
		t.add(cell{text: b.Probe}, cell{text: b.What}, cell{text: fmt.Sprint(b.Taken)}, cell{text: fmt.Sprint(b.Failed)},
			cell{text: word, tone: tn})
	}
	t.write(p, 2)
}

func (p *printer) recovery(rec *experiment.RecoveryResult) {
	if rec == nil {
		return
	}
	_, t := recoveryWord(rec)
	p.heading("Recovery")
	p.bullets(2, "-", []string{recoverySentence(rec)}, t)
	p.parts(rec)
}

func (p *printer) receipts(injections []experiment.Injection) {
	first := true
	for _, i := range injections {
		for _, a := range i.Armed {
			if first {
				p.heading("What was hurt")
				first = false
			}
			word, t := receiptState(i, a)
			p.field(2, 0, "", a.Fault.Title()+" on "+a.Where, toneNone)
			p.field(4, 0, "", receiptWords(a.Receipt)+"; "+word, t)
		}
	}
}

// receiptWords is a receipt in a line.
func receiptWords(r fault.Receipt) string {
	unit := string(r.Unit)
	if unit == "" {
		unit = "unit"
	}
	return fmt.Sprintf("matched %s, injected %s, skipped %s", plural(r.Matched, unit), count(r.Injected), count(r.Skipped))
}

// PlanText writes what a run would do, before it does it.
func PlanText(w io.Writer, plan *experiment.Plan, style Style) error {
	if plan == nil {
		return errNoRun
	}
	p := &printer{w: w, style: style}
	p.line(paint(style.Bold, clean(plan.Experiment)) + " on " + clean(plan.Topology) + p.environment(plan.Environment))
	p.line(paint(style.Dim, fmt.Sprintf("seed %d, at most %s; nothing has been touched", plan.Seed, dur(plan.Longest.Std()))))
	p.line("")
	for _, f := range []struct {
		label string
		texts []string
	}{{"traffic", plan.Traffic}, {"gates", plan.Gates}, {"probes", plan.Probes}, {"expect", plan.Expect}, {"abort", plan.Abort}, {"recovery", []string{plan.Recovery}}} {
		label := f.label
		for _, text := range f.texts {
			p.field(0, 10, label, text, toneNone)
			label = ""
		}
	}
	for i, s := range plan.Steps {
		p.step(i, s)
	}
	if len(plan.Warnings) > 0 {
		p.heading("Warnings")
		p.bullets(2, "!", plan.Warnings, toneWarn)
	}
	return p.done("plan")
}

func (p *printer) step(i int, s experiment.PlanStep) {
	title := fmt.Sprintf("Step %d", i+1)
	if s.Name != "" {
		title += ": " + clean(s.Name)
	}
	p.heading(title + ", for " + dur(s.For.Std()))
	for _, c := range s.Changes {
		name := clean(c.Fault)
		if c.Kind != c.Fault && c.Kind != "" {
			name += " (" + clean(c.Kind) + ")"
		}
		p.line("  " + paint(p.style.Bold, name) + " on " + clean(c.Where))
		p.field(4, 9, "touches", c.Touches, toneNone)
		p.field(4, 9, "undo", c.Undo, toneNone)
	}
	if len(s.Changes) == 0 {
		p.line("  " + paint(p.style.Dim, "hurts nothing"))
	}
	if len(s.Reach) == 0 {
		return
	}
	p.line("")
	t := &table{}
	t.head("EDGE", "STATE", "WHY")
	for _, r := range s.Reach {
		t.add(cell{text: r.Edge}, cell{text: r.State, tone: reachTone(r.State)}, cell{text: r.Why})
	}
	t.write(p, 2)
}

func reachTone(state string) tone {
	switch state {
	case "open":
		return toneGood
	case "cut":
		return toneBad
	}
	return toneWarn
}

func (p *printer) environment(env string) string {
	switch env = clean(env); env {
	case "":
		return ""
	case "production":
		return " (" + p.style.tone(toneBad, "production") + ")"
	default:
		return " (" + env + ")"
	}
}

// ago is the time between two moments in words; a clock that went back counts
// as none.
func ago(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "unknown"
	}
	return dur(max(to.Sub(from), 0).Round(time.Second))
}
