package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// number keeps three significant digits, and whole numbers whole.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func quantity(v float64, unit string) string {
	return strings.TrimSpace(number(v) + " " + unit)
}

func withSpread(s stats.Spread) string {
	if s.N < 2 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s..%s]", number(s.Median), number(s.Min), number(s.Max))
}

// others are the peers that chaosctl is compared with, in order.
func (r *Run) others() []string {
	var names []string
	for _, p := range r.Peers {
		if p.Name != peer.Chaosctl {
			names = append(names, p.Name)
		}
	}
	return names
}

// table is rows of cells; the first row is the heading.
type table [][]string

// ratios has chaosctl's values, and those over each other peer's.
func (r *Run) ratios(f *Figure) table {
	head := []string{"", "chaosctl"}
	var against []string
	for _, o := range r.others() {
		if f.has(o) {
			against = append(against, o)
			head = append(head, "/ "+o)
		}
	}
	t := table{head}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		ours, ok := m.Peers[peer.Chaosctl]
		if !ok {
			continue
		}
		row := []string{m.label(), quantity(ours.Median, m.Unit)}
		for _, o := range against {
			if s, ok := m.ratio(o); ok {
				row = append(row, withSpread(s))
			} else {
				row = append(row, "-")
			}
		}
		t = append(t, row)
	}
	return t
}

// absolutes has everybody's values.
func (r *Run) absolutes(f *Figure) table {
	head := []string{""}
	var names []string
	for _, p := range r.Peers {
		if f.has(p.Name) {
			names = append(names, p.Name)
			head = append(head, p.Name)
		}
	}
	t := table{head}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		row := []string{strings.TrimSuffix(m.Name+", "+m.Unit, ", ")}
		for _, n := range names {
			if v, ok := m.Peers[n]; ok {
				row = append(row, withSpread(v.Spread))
			} else {
				row = append(row, "-")
			}
		}
		t = append(t, row)
	}
	return t
}

func (f *Figure) has(name string) bool {
	for i := range f.Metrics {
		if _, ok := f.Metrics[i].Peers[name]; ok {
			return true
		}
	}
	return false
}

// label says which way is better.
func (m *Metric) label() string {
	if m.Better == "lower" {
		return m.Name + " (less is better)"
	}
	return m.Name
}

// text writes the table in columns.
func (t table) text(w io.Writer) {
	width := map[int]int{}
	for _, row := range t {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var line strings.Builder
		for i, cell := range row {
			fill := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			line.WriteString("  " + cell + fill)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// markdown writes it as Markdown does.
func (t table) markdown(w io.Writer) {
	for i, row := range t {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
	fmt.Fprintln(w)
}
