package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// target is one fuzz test.
type target struct{ pkg, name string }

// fuzzAll finds every fuzz target and runs one after the other, each on all
// cores.
func (s *suite) fuzzAll(ctx context.Context, packages []string) error {
	targets, err := s.targets(ctx, packages)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%d fuzz targets, %s each\n", len(targets), s.fuzz)
	var errs []error
	for _, t := range targets {
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		errs = append(errs, s.fuzzOne(ctx, t))
	}
	return errors.Join(errs...)
}

func (s *suite) targets(ctx context.Context, packages []string) ([]target, error) {
	out, err := s.goTool(ctx, append([]string{"test", "-list", "^Fuzz"}, packages...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("list the fuzz targets: %w", err)
	}
	return parseTargets(string(out)), nil
}

// parseTargets reads `go test -list`: names, then a line "ok package time".
func parseTargets(out string) []target {
	var all []target
	var names []string
	for l := range strings.Lines(out) {
		f := strings.Fields(l)
		switch {
		case len(f) == 1 && strings.HasPrefix(f[0], "Fuzz"):
			names = append(names, f[0])
		case len(f) >= 2 && f[0] == "ok":
			for _, n := range names {
				all = append(all, target{f[1], n})
			}
			names = nil
		}
	}
	return all
}

func (s *suite) fuzzOne(ctx context.Context, t target) error {
	began := time.Now()
	out, err := s.fuzzCommand(ctx, t).CombinedOutput()
	if err != nil && onlyDeadline(out) && ctx.Err() == nil {
		// The fuzzing engine sometimes takes the end of its own time for a
		// failure; a find is always written to testdata, and said so.
		out, err = s.fuzzCommand(ctx, t).CombinedOutput()
	}
	pkg := strings.TrimPrefix(t.pkg, "github.com/chaosctl/chaosctl/")
	if err != nil {
		fmt.Fprintf(s.out, "%s\nFAIL  %s %s\n", out, pkg, t.name)
		return fmt.Errorf("fuzzing %s %s: %w", pkg, t.name, err)
	}
	fmt.Fprintf(s.out, "ok    %-40s %6.1fs  %s\n", pkg+" "+t.name, time.Since(began).Seconds(), executions(out))
	return nil
}

func (s *suite) fuzzCommand(ctx context.Context, t target) *exec.Cmd {
	cmd := s.goTool(ctx, "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+s.fuzz.String(), t.pkg)
	cmd.Stderr = nil
	return cmd
}

func onlyDeadline(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) && !bytes.Contains(out, []byte("Failing input written"))
}

// executions is the last "execs: N" that the fuzzing engine printed.
func executions(out []byte) string {
	i := bytes.LastIndex(out, []byte("execs: "))
	if i < 0 {
		return ""
	}
	n, _, _ := bytes.Cut(out[i+len("execs: "):], []byte(" "))
	return string(n) + " inputs"
}
