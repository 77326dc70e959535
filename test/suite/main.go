// Command suite runs the tests of this module and says what it did not run:
//
//	go run ./test/suite                 # go test -race -shuffle=on ./... here, in test/compat, test/peers and bench,
//	                                    # then every fuzz target for 5 s
//	go run ./test/suite -fuzz 0         # the tests alone
//	go run ./test/suite -soak           # 60 s per fuzz target and the long tests (CHAOSCTL_SOAK=1)
//
// Every test that was skipped is printed with its reason. With CI set in the
// environment, a skip that .ci/may-skip does not name is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &suite{out: os.Stdout, strict: os.Getenv("CI") != ""}
	os.Exit(s.main(ctx, os.Args[1:]))
}

// suite is one invocation.
type suite struct {
	out    io.Writer
	strict bool // skips must be allowed
	soak   bool
	race   bool
	fuzz   time.Duration
	list   string // file of the skips that are allowed
	began  time.Time

	printing sync.Mutex
}

func (s *suite) main(ctx context.Context, args []string) int {
	fs := flag.NewFlagSet("suite", flag.ContinueOnError)
	fs.SetOutput(s.out)
	fs.BoolVar(&s.soak, "soak", false, "run the long tests, and each fuzz target for a minute")
	fs.BoolVar(&s.race, "race", true, "with the race detector")
	fs.DurationVar(&s.fuzz, "fuzz", 5*time.Second, "time for each fuzz target; 0 for none")
	fs.StringVar(&s.list, "may-skip", ".ci/may-skip", "file that names the tests that may be skipped")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	fuzzSet := false
	fs.Visit(func(f *flag.Flag) { fuzzSet = fuzzSet || f.Name == "fuzz" })
	if s.soak && !fuzzSet {
		s.fuzz = time.Minute
	}
	s.began = time.Now()
	if s.race && !canRace() {
		fmt.Fprintln(s.out, "NOT TESTED HERE: races; the race detector needs a C compiler (gcc or clang)")
		if s.strict {
			return 1
		}
		s.race = false
	}
	err := s.run(ctx, fs.Args())
	fmt.Fprintf(s.out, "\n%s in %s\n", map[bool]string{true: "ok", false: "FAILED"}[err == nil], time.Since(s.began).Round(time.Second))
	if err != nil {
		fmt.Fprintln(s.out, err)
		return 1
	}
	return 0
}

func (s *suite) run(ctx context.Context, packages []string) error {
	whole := len(packages) == 0
	if whole {
		packages = []string{"./..."}
	}
	errTests := s.tests(ctx, ".", packages)
	if whole {
		for _, dir := range modules {
			if _, err := os.Stat(dir); err == nil && ctx.Err() == nil {
				errTests = errors.Join(errTests, s.tests(ctx, dir, packages))
			}
		}
	}
	if s.fuzz <= 0 || ctx.Err() != nil {
		return errTests
	}
	return errors.Join(errTests, s.fuzzAll(ctx, packages))
}

// goTool is a run of the go command with our arguments.
func (s *suite) goTool(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = os.Environ()
	if s.soak {
		cmd.Env = append(cmd.Env, "CHAOSCTL_SOAK=1")
	}
	if !s.race {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	cmd.Stderr = s.out
	return cmd
}

// canRace tells whether the race detector can be linked: on Linux and the like
// it needs a C compiler.
func canRace() bool {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return true
	}
	for _, cc := range []string{os.Getenv("CC"), "gcc", "clang", "cc"} {
		if cc == "" {
			continue
		}
		if _, err := exec.LookPath(cc); err == nil {
			return true
		}
	}
	return false
}
