package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of a build
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// tally is what the events add up to.
type tally struct {
	out     io.Writer
	output  map[string][]string // by package and test, kept while it may fail
	skipped map[string]string   // test to reason
	failed  []string
	passed  int
}

// modules are the folders with a go.mod of their own, whose tests are run after
// those of the module at the root: what they compare with must not enter that.
var modules = []string{"test/compat", "test/peers", "bench"}

// tests runs all tests of the module in a folder and prints a line per package,
// what failed in full and what was skipped.
func (s *suite) tests(ctx context.Context, dir string, packages []string) error {
	args := []string{"test", "-json", "-shuffle=on", "-timeout=10m"}
	if s.soak {
		args[3] = "-timeout=2h"
	}
	if s.race {
		args = append(args, "-race")
	}
	if dir != "." { // the cache does not see the sources of the program they test
		args = append(args, "-count=1")
	}
	cmd := s.goTool(ctx, append(args, packages...)...)
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	t := &tally{out: s.out, output: map[string][]string{}, skipped: map[string]string{}}
	sc := bufio.NewScanner(stdout)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		t.line(sc.Bytes())
	}
	errTest := cmd.Wait()
	fmt.Fprintf(s.out, "\n%d tests passed, %d failed, %d skipped\n", t.passed, len(t.failed), len(t.skipped))
	errSkips := s.skips(t.skipped)
	switch {
	case sc.Err() != nil:
		return fmt.Errorf("read what go test says: %w", sc.Err())
	case len(t.failed) > 0:
		return fmt.Errorf("failed: %s", strings.Join(t.failed, ", "))
	case errTest != nil:
		return fmt.Errorf("go test: %w", errTest)
	}
	return errSkips
}

func (t *tally) line(b []byte) {
	var e event
	if json.Unmarshal(b, &e) != nil {
		fmt.Fprintf(t.out, "%s\n", b)
		return
	}
	pkg := strings.TrimPrefix(e.Package, "github.com/chaosctl/chaosctl/")
	key := pkg + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "output":
		if _, result, ok := strings.Cut(e.Output, "compat: "); ok {
			fmt.Fprint(t.out, "      ", result)
		}
		t.output[key] = append(t.output[key], e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(t.out, "ok    %-40s %6.1fs\n", pkg, e.Elapsed)
		} else {
			t.passed++
		}
		delete(t.output, key)
	case "skip":
		if e.Test != "" {
			t.skipped[key] = reason(t.output[key])
		}
		delete(t.output, key)
	case "fail":
		t.fail(pkg, key, e)
	}
}

func (t *tally) fail(pkg, key string, e event) {
	fmt.Fprint(t.out, strings.Join(t.output[key], ""))
	delete(t.output, key)
	if e.Test == "" {
		t.unfinished(pkg)
		fmt.Fprintf(t.out, "FAIL  %-40s %6.1fs\n", pkg, e.Elapsed)
		if !slices.ContainsFunc(t.failed, func(f string) bool { return strings.HasPrefix(f, pkg+" ") }) {
			t.failed = append(t.failed, pkg)
		}
		return
	}
	t.failed = append(t.failed, key)
}

// unfinished prints what the tests of a package said that neither passed nor failed:
// where it hung or broke.
func (t *tally) unfinished(pkg string) {
	for _, key := range slices.Sorted(maps.Keys(t.output)) {
		if name, ok := strings.CutPrefix(key, pkg+" "); ok && name != "" {
			fmt.Fprintf(t.out, "=== NOT FINISHED  %s\n%s", name, strings.Join(t.output[key], ""))
			delete(t.output, key)
		}
	}
}

// reason is what a skipped test said, without the lines of the test tool.
func reason(output []string) string {
	var said []string
	for _, l := range output {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "=== ") || strings.HasPrefix(l, "--- ") {
			continue
		}
		if _, text, ok := strings.Cut(l, ".go:"); ok { // file.go:12: text
			if _, after, ok := strings.Cut(text, ": "); ok {
				l = after
			}
		}
		said = append(said, l)
	}
	if len(said) == 0 {
		return "it gives no reason"
	}
	return strings.Join(said, " ")
}

// skips prints what was skipped; in CI each must be allowed.
func (s *suite) skips(skipped map[string]string) error {
	if len(skipped) == 0 {
		return nil
	}
	allowed, err := readAllowed(s.list)
	if err != nil {
		return err
	}
	var unearned, lines []string
	for test, why := range skipped {
		lines = append(lines, fmt.Sprintf("  SKIPPED  %s: %s", test, why))
		if !isAllowed(allowed, test) {
			unearned = append(unearned, test)
		}
	}
	slices.Sort(lines)
	slices.Sort(unearned)
	fmt.Fprintf(s.out, "\nNOT TESTED HERE:\n%s\n", strings.Join(lines, "\n"))
	if s.strict && len(unearned) > 0 {
		return fmt.Errorf("skipped without being named in %s: %s", s.list, strings.Join(unearned, ", "))
	}
	return nil
}

// readAllowed reads lines "package Test/name", with # for comments; a missing
// file allows nothing.
func readAllowed(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the allowed skips: %w", err)
	}
	var all []string
	for l := range strings.Lines(string(b)) {
		l, _, _ = strings.Cut(l, "#")
		if f := strings.Fields(l); len(f) > 0 {
			all = append(all, strings.Join(f, " "))
		}
	}
	return all, nil
}

// isAllowed: the test itself or one that contains it is named.
func isAllowed(allowed []string, test string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool { return test == a || strings.HasPrefix(test, a+"/") })
}
