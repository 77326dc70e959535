package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Errors are read once, at the top: the code, the words, and no control
// character of a document.
func TestFinish(t *testing.T) {
	stuck := refusal(experiment.CannotUndo, "mend it", "pid 1 is still paused")
	for _, tt := range []struct {
		name string
		err  error
		code int
		want string // of stderr
	}{
		{"nothing", nil, 0, ""},
		{"a verdict", exit(3), 3, ""},
		{"a verdict and a lost report", errors.Join(fmt.Errorf("write --html x: disk full"), exit(3)), 3, "chaosctl: write --html x: disk full\n"},
		{"a verdict and a failed rollback", errors.Join(exit(3), stuck), 5, "chaosctl: pid 1 is still paused\nhint: mend it\n"},
		{"wrapped", fmt.Errorf("start: %w", badInput("try that", "no")), 2, "chaosctl: no\nhint: try that\n"},
		{"problems", experiment.Problems{{File: "f", Line: 1, Column: 2, Path: "a.b", Message: "is bad"}}, 2, "chaosctl: there is a mistake\nf:1:2: a.b: is bad\n"},
		{"hostile", errors.New("a\x1b[2Jb\u009bc"), 1, "chaosctl: a?[2Jb?c\n"},
		{"interrupted", fmt.Errorf("ask: %w", context.Canceled), 4, "chaosctl: interrupted\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			a := &app{env: Env{Stderr: &b}}
			if code := a.finish(tt.err); code != tt.code || b.String() != tt.want {
				t.Errorf("exit %d, %q; want %d, %q", code, b.String(), tt.code, tt.want)
			}
		})
	}
}

// Every command says what it is for, has a group if it is at the top, and every
// flag has a usage.
func TestCommandsAreExplained(t *testing.T) {
	a := &app{env: Env{Getenv: func(string) (string, bool) { return "", false }}}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no short text", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: a short text has no full stop", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no usage", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
}

func TestResolveID(t *testing.T) {
	known := []experiment.Injection{{ID: "i-abcd"}, {ID: "i-abce"}, {ID: "i-ab"}}
	for _, tt := range []struct{ word, want string }{{"i-abcd", "i-abcd"}, {"i-ab", "i-ab"}, {"i-abcd2", "i-abcd2"}, {"x", "x"}} {
		if got, err := resolveID(tt.word, known); err != nil || got != tt.want {
			t.Errorf("resolveID(%s) = %s, %v", tt.word, got, err)
		}
	}
	if _, err := resolveID("i-a", known); err == nil || !strings.Contains(err.Error(), "i-abcd, i-abce") {
		t.Errorf("an ambiguous id: %v", err)
	}
}

func TestStateDir(t *testing.T) {
	env := map[string]string{}
	a := &app{env: Env{Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}}
	check := func(want string) {
		t.Helper()
		if got, err := a.state(); err != nil || got != want {
			t.Errorf("state() = %s, %v; want %s", got, err, want)
		}
	}
	if _, err := a.state(); err == nil {
		t.Error("there is a state folder out of nothing")
	}
	env["HOME"] = "/home/x"
	check("/home/x/.local/state/chaosctl")
	env["XDG_STATE_HOME"] = "not/absolute"
	check("/home/x/.local/state/chaosctl")
	env["XDG_STATE_HOME"] = "/xdg"
	check("/xdg/chaosctl")
	env["CHAOSCTL_STATE_DIR"] = "/env"
	check("/env")
	a.stateDir = "/flag"
	check("/flag")
}

// What is stuck is the loudest thing: status must not end with 0 then.
func TestIsStuck(t *testing.T) {
	for name, tt := range map[string]struct {
		s    experiment.Status
		want bool
	}{
		"nothing":  {experiment.Status{}, false},
		"in force": {experiment.Status{Injections: []experiment.Injection{{State: experiment.InForce}}}, false},
		"stuck":    {experiment.Status{Injections: []experiment.Injection{{State: experiment.InForce}, {State: experiment.Stuck}}}, true},
		"a debt":   {experiment.Status{Debts: []string{"proc.pause on db"}}, true},
	} {
		if got := isStuck(tt.s); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
