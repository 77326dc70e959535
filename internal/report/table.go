package report

import (
	"strings"
	"unicode/utf8"
)

// columns is the width of a terminal that text is made for.
const columns = 80

// cell is one cell of a plain-text table.
type cell struct {
	text string
	tone tone
	dim  bool
}

// table lays cells out in columns that fit a terminal. The first row is the
// header. right tells which columns are numbers; drop lists those that may be
// left out for want of room, the least important first.
type table struct {
	rows  [][]cell
	right map[int]bool
	drop  []int
}

func (t *table) head(names ...string) {
	row := make([]cell, len(names))
	for i, n := range names {
		row[i] = cell{text: n, dim: true}
	}
	t.rows = append(t.rows, row)
}

func (t *table) add(cells ...cell) {
	for i := range cells {
		cells[i].text = clean(cells[i].text)
	}
	t.rows = append(t.rows, cells)
}

// gap is the room between columns.
const gap = 2

// widths returns the widths of the columns, 0 for one that is left out: first
// what may be dropped is, then the widest columns shrink until a line fits.
func (t *table) widths(indent int) []int {
	var w []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], utf8.RuneCountInString(c.text))
		}
	}
	const least = 6
	drop := t.drop
	for {
		total, widest := indent-gap, 0
		for i := range w {
			if w[i] > 0 {
				total += w[i] + gap
			}
			if w[i] > w[widest] {
				widest = i
			}
		}
		switch {
		case total <= columns || len(w) == 0:
			return w
		case len(drop) > 0:
			w[drop[0]], drop = 0, drop[1:]
		case w[widest] <= least:
			return w
		default:
			w[widest]--
		}
	}
}

func (t *table) write(p *printer, indent int) {
	if len(t.rows) == 0 {
		return
	}
	w := t.widths(indent)
	for _, row := range t.rows {
		var line strings.Builder
		line.WriteString(strings.Repeat(" ", indent))
		for i, c := range row {
			if w[i] > 0 {
				line.WriteString(t.cell(p, i, c, w[i]))
			}
		}
		p.line(strings.TrimRight(line.String(), " "))
	}
}

// cell is a cell in its colour, padded to the width of its column and the gap.
func (t *table) cell(p *printer, i int, c cell, width int) string {
	text := clip(c.text, width)
	pad := strings.Repeat(" ", width-utf8.RuneCountInString(text))
	painted := p.style.tone(c.tone, text)
	if c.dim {
		painted = paint(p.style.Dim, text)
	}
	if t.right[i] {
		painted, pad = pad+painted, ""
	}
	return painted + pad + strings.Repeat(" ", gap)
}

// wrap breaks a text into lines of at most width characters, at spaces. A word
// that is longer than a line stays whole: it may be a path to copy.
func wrap(s string, width int) []string {
	var lines []string
	line, n := "", 0
	for _, word := range strings.Fields(s) {
		k := utf8.RuneCountInString(word)
		if n > 0 && n+1+k > width {
			lines = append(lines, line)
			line, n = "", 0
		}
		if n > 0 {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+k
	}
	if n > 0 {
		lines = append(lines, line)
	}
	return lines
}
