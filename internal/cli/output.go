package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON writes a value as indented JSON to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.env.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// say writes a line for a person to stderr.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.env.Stderr, safe(fmt.Sprintf(format, args...)))
}

// printf writes text to stdout.
func (a *app) printf(format string, args ...any) {
	fmt.Fprint(a.env.Stdout, safe(fmt.Sprintf(format, args...)))
}

// columns writes rows in aligned columns.
func columns(w io.Writer, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, strings.ReplaceAll(safe(cell), "\n", " "))
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush()
}

// short writes a duration for people: three figures, no sub-units that nobody
// reads.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d >= time.Minute:
		s := d.Round(time.Second).String()
		s = strings.TrimSuffix(s, "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(s, "m0s")]
		return strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.String()
}

// printLine writes a value as one line of JSON to stdout.
func (a *app) printLine(v any) error {
	enc := json.NewEncoder(a.env.Stdout)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
