package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// outlet is stdout. It keeps the first error, so that a command that prints
// many small pieces need not look at each.
type outlet struct {
	io.Writer
	err error
}

func (o *outlet) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// bare is what stands behind an outlet.
func bare(w io.Writer) io.Writer {
	if o, ok := w.(*outlet); ok {
		return o.Writer
	}
	return w
}

// written tells what became of all that was printed: an error when it could not
// be written, nil also when its reader has had enough.
func (a *app) written() error {
	o, ok := a.env.Stdout.(*outlet)
	if !ok || o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("write to stdout: %w", o.err)
}

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
	fmt.Fprintln(a.env.Stderr, line(fmt.Sprintf(format, args...)))
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
			fmt.Fprint(tw, line(cell))
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
