package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// target is one fuzz test.
type target struct{ pkg, name string }

// fuzzAll finds every fuzz target and runs them, as many at a time as there are cores,
// each on one: a short run is mostly building and starting.
func (s *suite) fuzzAll(ctx context.Context, packages []string) error {
	targets, err := s.targets(ctx, packages)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n%d fuzz targets, %s each\n", len(targets), s.fuzz)
	errs := make([]error, len(targets))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				errs[i] = s.fuzzOne(ctx, targets[i])
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		errs = append(errs, context.Cause(ctx))
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
		s.printf("%s\nFAIL  %s %s\n", out, pkg, t.name)
		return fmt.Errorf("fuzzing %s %s: %w", pkg, t.name, err)
	}
	s.printf("ok    %-40s %6.1fs  %s\n", pkg+" "+t.name, time.Since(began).Seconds(), executions(out))
	return nil
}

// printf prints one thing at a time.
func (s *suite) printf(format string, args ...any) {
	s.printing.Lock()
	defer s.printing.Unlock()
	fmt.Fprintf(s.out, format, args...)
}

func (s *suite) fuzzCommand(ctx context.Context, t target) *exec.Cmd {
	// Making an interesting input smaller may take a minute, in which nothing is tried.
	cmd := s.goTool(ctx, "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+s.fuzz.String(), "-fuzzminimizetime=1s", "-parallel=1", t.pkg)
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
