package cli

import (
	"bufio"
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
// before anything is hurt for a report that would then be lost.
func (o *outputs) check(jsonToo bool) error {
	taken := map[string]string{}
	var errs []error
	for _, x := range o.list() {
		key := x.path
		if key != "-" {
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

func writable(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; a file is expected", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".chaosctl-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
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

// writeWhole writes a file through a temporary one beside it.
func writeWhole(path string, fill func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".chaosctl-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	b := bufio.NewWriter(f)
	if err := fill(b); err != nil {
		return err
	}
	if err := errors.Join(b.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
