package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/experiment"
)

// Markdown writes a summary in GitHub's dialect, made for $GITHUB_STEP_SUMMARY
// and for comments on a merge request: the verdict, why, gates, recovery and
// receipts. Text from the record cannot start markup, a link or a mention.
func Markdown(w io.Writer, r *experiment.Run) error {
	if r == nil {
		return errNoRun
	}
	var b strings.Builder
	markdownHead(&b, r)
	markdownJudged(&b, r)
	markdownGates(&b, r)
	markdownProbes(&b, r.Probes)
	markdownReceipts(&b, r.Injections)
	if notes := remarks(r); len(notes) > 0 {
		b.WriteString("#### Notes\n\n")
		markdownList(&b, notes)
	}
	fmt.Fprintf(&b, "<sub>Run %s on topology %s", md(r.ID), md(r.Topology))
	if d := elapsed(r); d > 0 {
		fmt.Fprintf(&b, ", took %s", dur(d))
	}
	fmt.Fprintf(&b, ", chaosctl %s. Again with the same draws: <code>%s</code></sub>\n", md(r.Version.Chaosctl), repeatCommand(r))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write Markdown report: %w", err)
	}
	return nil
}

// sign puts a shape beside each result, for the eye that scans.
func sign(t tone) string {
	switch t {
	case toneGood:
		return "✅"
	case toneBad:
		return "❌"
	case toneStop:
		return "⏹️"
	}
	return "❔"
}

func markdownHead(b *strings.Builder, r *experiment.Run) {
	word, t := verdictWord(r.Verdict)
	fmt.Fprintf(b, "### %s %s: %s\n\n", sign(t), word, md(r.Experiment))
	if len(r.Stuck) > 0 {
		b.WriteString("> [!CAUTION]\n> **Could not roll back.** This is still in force; try again with `chaosctl sweep`:\n")
		for _, s := range r.Stuck {
			fmt.Fprintf(b, "> - %s\n", md(s))
		}
		b.WriteString("\n")
	}
	if r.Hypothesis != "" {
		fmt.Fprintf(b, "> %s\n\n", md(r.Hypothesis))
	}
	if abortedApart(r) {
		fmt.Fprintf(b, "**Aborted:** %s\n\n", md(r.Aborted))
	}
	markdownList(b, reasons(r))
	if rec := r.Recovery; rec != nil {
		_, t := recoveryWord(rec)
		fmt.Fprintf(b, "**Recovery:** %s %s (deadline %s): %s\n\n", sign(t), took(rec), dur(rec.Within.Std()), md(recoverySentence(rec)))
		markdownParts(b, rec)
	}
}

func markdownList(b *strings.Builder, items []string) {
	for _, item := range items {
		fmt.Fprintf(b, "- %s\n", md(item))
	}
	b.WriteString("\n")
}

func markdownGates(b *strings.Builder, r *experiment.Run) {
	if len(r.Gates) == 0 {
		return
	}
	b.WriteString("#### Gates\n\n")
	rows := [][]string{{"Gate", "Flow", "In", "Figure", "Rule", "Measured", "Samples", "Result"}}
	for _, g := range r.Gates {
		word, t := gateWord(g.Result)
		rows = append(rows, []string{md(g.Gate), md(g.Of), md(window(g.Stage, g.Step)), md(g.Figure), md(g.Rule), md(value(g.Value)), count(g.Samples), sign(t) + " " + word})
	}
	markdownTable(b, rows, 5, 6)
}

func markdownProbes(b *strings.Builder, probes []experiment.ProbeResult) {
	if len(probes) == 0 {
		return
	}
	b.WriteString("#### Probes\n\n")
	rows := [][]string{{"Probe", "What", "When", "Taken", "Failed", "Result"}}
	for _, p := range probes {
		word, t := probeWord(p.Result)
		rows = append(rows, []string{md(p.Probe), md(p.What), md(string(p.Mode)), fmt.Sprint(p.Taken), fmt.Sprint(p.Failed), sign(t) + " " + word})
	}
	markdownTable(b, rows, 3, 4)
}

func markdownReceipts(b *strings.Builder, injections []experiment.Injection) {
	rows := [][]string{{"Fault", "Where", "Matched", "Injected", "Skipped", "Unit", "State"}}
	for _, i := range injections {
		for _, a := range i.Armed {
			word, t := receiptState(i, a)
			rows = append(rows, []string{md(a.Fault.Title()), md(a.Where), count(a.Receipt.Matched), count(a.Receipt.Injected), count(a.Receipt.Skipped),
				md(string(a.Receipt.Unit)), sign(t) + " " + md(word)})
		}
	}
	if len(rows) == 1 {
		return
	}
	b.WriteString("#### What was hurt\n\n")
	markdownTable(b, rows, 2, 3, 4)
}

// markdownTable writes rows, the first of which is the header; right lists the
// columns of numbers.
func markdownTable(b *strings.Builder, rows [][]string, right ...int) {
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i > 0 {
			continue
		}
		rule := make([]string, len(row))
		for j := range rule {
			rule[j] = "---"
		}
		for _, j := range right {
			rule[j] = "---:"
		}
		b.WriteString("| " + strings.Join(rule, " | ") + " |\n")
	}
	b.WriteString("\n")
}

// md makes plain text of any string: one line in which no character means
// anything to a Markdown reader.
func md(s string) string {
	s = strings.TrimSpace(clean(s))
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if rest := s[digits:]; len(rest) > 1 && rest[1] != ' ' { // "1. x" would start a list, "1.5" does not
		digits = 0
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case digits > 0 && i == digits && (r == '.' || r == ')'):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '|':
			b.WriteString("&#124;") // a backslash alone does not hold inside a table everywhere
		case r == '@':
			b.WriteString("&#64;") // no mention
		case r == ':' && strings.HasPrefix(s[i:], "://"):
			b.WriteString("&#58;") // no link
		case r == '.' && i >= 3 && strings.EqualFold(s[i-3:i], "www"):
			b.WriteString("&#46;")
		case r < utf8.RuneSelf && strings.ContainsRune("\\`*_{}[]#~$^", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case i == 0 && (r == '-' || r == '+' || r == '='):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
