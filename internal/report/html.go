package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed judged.html
	judgedHTML string
	//go:embed judged.css
	judgedCSS string
)

// HTML writes one file that opens offline: it refers to nothing outside itself
// and runs no script. Its own policy forbids the browser to load anything.
func HTML(w io.Writer, r *experiment.Run) error {
	if r == nil {
		return errNoRun
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"css":   func() template.CSS { return template.CSS(pageCSS + judgedCSS) },
		"dur":   dur,
		"count": count,
		"bytes": byteSize,
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("read page template: %w", err)
	}
	if _, err := t.Parse(judgedHTML); err != nil {
		return fmt.Errorf("read page template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, newPage(r)); err != nil {
		return fmt.Errorf("write HTML report: %w", err)
	}
	printable := strings.Map(func(r rune) rune {
		if special(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, b.String())
	if _, err := io.WriteString(w, printable); err != nil {
		return fmt.Errorf("write HTML report: %w", err)
	}
	return nil
}

// byteSize is a number of bytes in the largest unit that leaves three digits.
func byteSize(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, i := float64(n), 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if v == 0 {
		return "0 B"
	}
	return digits(v) + " " + units[i]
}
