package cli

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/report"
)

// ledgerPrinter shows lines as they come.
type ledgerPrinter interface {
	add(l *experiment.LedgerLine) error
	end() error
}

// measured is how many rows are looked at before the columns get their widths; later
// ones may be wider, and then all that follow are.
const measured = 500

// widest is how much of a cell is shown.
const widest = 60

// table prints rows in columns without holding them all.
type table struct {
	out    *bufio.Writer
	style  report.Style
	rows   [][]cell // that wait for widths
	widths []int
	wide   bool // the widths are known
}

// cell is a text, perhaps in a colour.
type cell struct {
	text  string
	paint func(string) string
}

func newTable(out *bufio.Writer, style report.Style, head []string) *table {
	t := &table{out: out, style: style, widths: make([]int, len(head))}
	row := make([]cell, len(head))
	for i, h := range head {
		row[i] = cell{text: h}
	}
	t.rows = append(t.rows, row)
	return t
}

func (t *table) add(row ...cell) error {
	for i := range row {
		row[i].text = clipped(line(row[i].text))
	}
	if t.wide {
		return t.print(row)
	}
	t.rows = append(t.rows, row)
	if len(t.rows) <= measured {
		return nil
	}
	return t.flush()
}

// flush prints what waits; nothing if that is the head alone.
func (t *table) flush() error {
	if t.wide || len(t.rows) < 2 {
		return nil
	}
	t.wide = true
	for _, row := range t.rows {
		t.measure(row)
	}
	for _, row := range t.rows {
		if err := t.print(row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *table) measure(row []cell) {
	for i, c := range row {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.text))
	}
}

func (t *table) print(row []cell) error {
	t.measure(row)
	var b strings.Builder
	for i, c := range row {
		pad := t.widths[i] - utf8.RuneCountInString(c.text) + 2
		if c.paint != nil && c.text != "" {
			c.text = c.paint(c.text)
		}
		b.WriteString(c.text)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", pad))
		}
	}
	b.WriteByte('\n')
	_, err := t.out.WriteString(b.String())
	return err
}

func clipped(s string) string {
	if utf8.RuneCountInString(s) <= widest {
		return s
	}
	return string([]rune(s)[:widest-1]) + "…"
}

var lineHead = []string{"NO", "AT", "STAGE", "EDGE OR FLOW", "REQUEST", "OUTCOME", "TOOK", "ENDED BY", "CALL", "BY", "FAULTS"}

// lineTable shows an exchange a row.
type lineTable struct{ *table }

func (t *lineTable) add(l *experiment.LedgerLine) error {
	call, by := "-", ""
	if l.Call != nil {
		call, by = fmt.Sprintf("%d: %d of %d", l.Call.No, l.Call.Attempt, l.Call.Of), grouping(l.Call)
	}
	return t.table.add(
		cell{text: strconv.FormatUint(l.No, 10)}, cell{text: offset(l.Offset)}, cell{text: stageOf(l)}, cell{text: whoseOf(l)}, cell{text: requestOf(l)},
		t.outcome(l), cell{text: short(l.Took.Std().Round(10 * time.Microsecond))}, cell{text: orDash(l.EndedBy)}, cell{text: call}, cell{text: orDash(by)},
		cell{orDash(strings.Join(l.Faults, ",")), t.style.Warn},
	)
}

func (t *lineTable) end() error { return t.flush() }

func (t *table) outcome(l *experiment.LedgerLine) cell {
	if l.Failed {
		return cell{l.Outcome, t.style.Bad}
	}
	return cell{text: l.Outcome}
}

// openCall is a call of which some attempts have come.
type openCall struct {
	*experiment.LedgerCall
	Attempts []experiment.LedgerLine `json:"attempts"`
	Attempt  int                     `json:"attempt,omitempty"` // hides that of the call
}

// gather adds an attempt, and gives the call once it has all.
func gather(calls map[int]*openCall, l *experiment.LedgerLine) *openCall {
	if l.Call == nil {
		return nil
	}
	c := calls[l.Call.No]
	if c == nil {
		own := *l.Call
		c = &openCall{LedgerCall: &own}
		calls[own.No] = c
	}
	one := *l
	own := *l.Call
	one.Call = &own
	one.Faults = slices.Clone(l.Faults)
	if l.GRPC != nil {
		code := *l.GRPC
		one.GRPC = &code
	}
	one.Answer = nil // edges do not look into bodies
	c.Attempts = append(c.Attempts, one)
	if len(c.Attempts) < c.Of {
		return nil
	}
	delete(calls, c.No)
	c.sort()
	return c
}

func (c *openCall) sort() {
	slices.SortFunc(c.Attempts, func(a, b experiment.LedgerLine) int { return a.Call.Attempt - b.Call.Attempt })
}

// left are the calls of which not all attempts have come, in the order of their numbers.
func left(calls map[int]*openCall) []*openCall {
	var all []*openCall
	for _, n := range slices.Sorted(maps.Keys(calls)) {
		calls[n].sort()
		all = append(all, calls[n])
	}
	return all
}

var callHead = []string{"CALL", "AT", "STAGE", "EDGE", "REQUEST", "ATTEMPTS", "OUTCOMES", "WAITS", "TOOK", "BY", "SURE", "NUMBERS"}

// callTable shows a call a row.
type callTable struct {
	*table
	open map[int]*openCall
}

func (t *callTable) add(l *experiment.LedgerLine) error {
	if c := gather(t.open, l); c != nil {
		return t.row(c)
	}
	return nil
}

func (t *callTable) end() error {
	for _, c := range left(t.open) {
		if err := t.row(c); err != nil {
			return err
		}
	}
	return t.flush()
}

// shownAttempts is how many attempts of a call have their outcome and wait shown.
const shownAttempts = 6

func (t *callTable) row(c *openCall) error {
	first, last := &c.Attempts[0], &c.Attempts[len(c.Attempts)-1]
	var outcomes, waits, nos []string
	end := first.End
	for i := range c.Attempts {
		l := &c.Attempts[i]
		if i > 0 {
			waits = append(waits, waited(l.Start.Sub(c.Attempts[i-1].End)))
		}
		outcomes, nos = append(outcomes, l.Outcome), append(nos, strconv.FormatUint(l.No, 10))
		if l.End.After(end) {
			end = l.End
		}
	}
	painted := cell{text: some(outcomes, ", ")}
	if last.Failed {
		painted.paint = t.style.Bad
	}
	return t.table.add(
		cell{text: strconv.Itoa(c.No)}, cell{text: offset(first.Offset)}, cell{text: stageOf(first)}, cell{text: first.Edge}, cell{text: requestOf(first)},
		cell{text: strconv.Itoa(c.Of)}, painted, cell{text: orDash(some(waits, ", "))}, cell{text: short(end.Sub(first.Start).Round(10 * time.Microsecond))},
		cell{text: orDash(string(c.By))}, cell{text: sure(c.LedgerCall)}, cell{text: some(nos, ",")},
	)
}

// waited is what lay between the end of an attempt and the start of the next.
func waited(d time.Duration) string {
	if d < 0 {
		return "overlaps"
	}
	return short(d.Round(100 * time.Microsecond))
}

// some is the first of them, and how many more there are.
func some(words []string, by string) string {
	if len(words) > shownAttempts {
		return strings.Join(words[:shownAttempts], by) + by + fmt.Sprintf("+%d", len(words)-shownAttempts)
	}
	return strings.Join(words, by)
}

// offset is written to the millisecond, so that it can be given to --since.
func offset(d fault.Duration) string {
	return strconv.FormatFloat(d.Std().Seconds(), 'f', 3, 64) + "s"
}

func stageOf(l *experiment.LedgerLine) string {
	if l.Step != "" {
		return string(l.Stage) + ": " + l.Step
	}
	return orDash(string(l.Stage))
}

func whoseOf(l *experiment.LedgerLine) string {
	if l.Flow != "" {
		return "flow " + l.Flow
	}
	return l.Edge
}

func requestOf(l *experiment.LedgerLine) string {
	switch {
	case l.Method == "":
		return "connection"
	case l.Query != "":
		return l.Method + " " + l.Path + "?" + l.Query
	}
	return l.Method + " " + l.Path
}

// grouping is what a call was grouped by, and how sure that is if it is not certain.
func grouping(c *experiment.LedgerCall) string {
	if c.Sure < 1 && c.By != "" {
		return string(c.By) + " " + sure(c)
	}
	return string(c.By)
}

func sure(c *experiment.LedgerCall) string {
	return strconv.FormatFloat(100*c.Sure, 'f', 0, 64) + "%"
}
