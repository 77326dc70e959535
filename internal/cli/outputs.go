package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/report"
)

// outputs are the files a report goes to, "-" for stdout.
type outputs struct{ junit, html, json, markdown string }

func (o *outputs) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.html, "html", "", "write an HTML report to `FILE`; it opens offline. - is stdout")
	fs.StringVar(&o.junit, "junit", "", "write JUnit XML to `FILE`, for CI")
	fs.StringVar(&o.json, "json", "", "write the whole record to `FILE`")
	fs.StringVar(&o.markdown, "markdown", "", "write a summary in Markdown to `FILE`")
}

type output struct {
	flag, path string
	render     func(io.Writer, *experiment.Run) error
}

func (o *outputs) list() []output {
	var all []output
	for _, x := range []output{
		{"html", o.html, report.HTML}, {"junit", o.junit, report.JUnit}, {"json", o.json, report.JSON}, {"markdown", o.markdown, report.Markdown},
	} {
		if x.path != "" {
			all = append(all, x)
		}
	}
	return all
}

// onStdout tells whether one of them goes to stdout.
func (o *outputs) onStdout() bool {
	for _, x := range o.list() {
		if x.path == "-" {
			return true
		}
	}
	return false
}

// check makes the folders and finds out whether every file can be written,
// before anything is hurt for a report that would then be lost. A file that is
// stdout itself, such as /dev/stdout, becomes "-".
func (o *outputs) check(stdout io.Writer, jsonToo bool) error {
	for _, path := range []*string{&o.html, &o.junit, &o.json, &o.markdown} {
		if isSame(stdout, *path) {
			*path = "-"
		}
	}
	taken := map[string]string{}
	var errs []error
	for _, x := range o.list() {
		key := x.path
		if key != "-" {
			if p, err := placeOf(key); err == nil {
				key = p.path
			}
			if abs, err := filepath.Abs(key); err == nil {
				key = abs
			}
		}
		if other, twice := taken[key]; twice {
			errs = append(errs, badInput("", "--%s and --%s both go to %s", other, x.flag, x.path))
			continue
		}
		taken[key] = x.flag
		if x.path == "-" {
			if jsonToo {
				errs = append(errs, badInput("", "--%s - and -o json both go to stdout", x.flag))
			}
			continue
		}
		if err := writable(x.path); err != nil {
			errs = append(errs, badInput("", "--%s: %s", x.flag, err))
		}
	}
	return merge(errs)
}

// isSame tells whether path is the file or the pipe that stdout writes to.
func isSame(stdout io.Writer, path string) bool {
	f, ok := bare(stdout).(*os.File)
	if !ok || path == "" || path == "-" {
		return false
	}
	is, err := f.Stat()
	if err != nil || is.Mode()&os.ModeDevice != 0 { // a device takes what two of us write
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(is, there)
}

// write renders a run into all of them. Each is there whole or not at all; all
// are tried.
func (o *outputs) write(stdout io.Writer, r *experiment.Run) error {
	var errs []error
	for _, x := range o.list() {
		var err error
		if x.path == "-" {
			err = x.render(stdout, r)
		} else {
			err = writeWhole(x.path, func(w io.Writer) error { return x.render(w, r) })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write --%s %s: %w", x.flag, x.path, err))
		}
	}
	return errors.Join(errs...)
}
