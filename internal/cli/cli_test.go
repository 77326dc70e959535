package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
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
		{"forged lines", badInput("did you mean `a\nb\tc`?", "no edge a\nended: pass"), 2, "chaosctl: no edge a\n  ended: pass\nhint: did you mean `a\\nb\\tc`?\n"},
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

// A name that holds line breaks forges neither a line nor a row.
func TestHostileNames(t *testing.T) {
	var out, said bytes.Buffer
	a := &app{env: Env{Stdout: &out, Stderr: &said}}
	columns(&out, [][]string{{"ID", "EDGE"}, {"1", "a\nb\tc\rd\x1b[2J"}})
	if err := a.printClosed([]experiment.Connection{{ID: 7, Client: "x:1", Edge: "a\n8: y:1 on b -> c"}}, &closeFlags{}); err != nil {
		t.Fatal(err)
	}
	a.say("note: %s", "a\nhalted")
	want := "ID  EDGE\n1   a\\nb\\tc\\rd?[2J\nclosed 7: x:1 on a\\n8: y:1 on b -> c, after 0s\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := said.String(); got != "note: a\\nhalted\n" {
		t.Errorf("said %q", got)
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
	known = []experiment.Injection{{ID: "f-abcd"}, {ID: "f-abce"}, {ID: "f-xyzz"}}
	for word, want := range map[string]string{
		"f-abc": "f-abcd, f-abce", "f-x": "too little", "f": "too little", "f-": "too little",
	} {
		if got, err := resolveID(word, known); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("resolveID(%q) = %q, %v; want %q", word, got, err, want)
		}
	}
	if got, err := resolveID("f-xy", known); err != nil || got != "f-xyzz" {
		t.Errorf("four characters: %q, %v", got, err)
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

// A defect is told in one line and exits with 1: 2 stands for bad input. The
// stack is for who asks for it.
func TestPanic(t *testing.T) {
	for _, debug := range []string{"", "1"} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), Env{Args: []string{"status"}, Stdout: &out, Stderr: &errs, Getenv: func(name string) (string, bool) {
			if name == "CHAOSCTL_SERVER" {
				panic("boom\x1b[2J")
			}
			return debug, name == "CHAOSCTL_DEBUG"
		}})
		text := errs.String()
		if code != experiment.ExitError || !strings.Contains(text, "chaosctl: internal error: boom?[2J\n") {
			t.Errorf("exit %d: %s", code, text)
		}
		if shown := strings.Contains(text, "goroutine "); shown != (debug != "") {
			t.Errorf("CHAOSCTL_DEBUG=%s: the stack is shown: %v", debug, shown)
		}
	}
}

// brokenWriter fails every write.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// Output that is lost is a failure of every command that prints any, in text
// as in JSON; a reader that has had enough is none.
func TestOutputIsLost(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{}, {"kinds"}, {"version"}, {"version", "-o", "json"}, {"explain", "net.latency"}, {"schema", "experiment"}, {"report"}, {"sweep"},
		{"help", "inject"}, {"completion", "bash"}, {"completion", "zsh"},
	} {
		var errs bytes.Buffer
		env := Env{Args: args, Stdout: brokenWriter{syscall.ENOSPC}, Stderr: &errs, Getenv: func(name string) (string, bool) {
			return dir, name == "CHAOSCTL_STATE_DIR"
		}}
		if code := Main(t.Context(), env); code != experiment.ExitError || strings.Count(errs.String(), syscall.ENOSPC.Error()) != 1 {
			t.Errorf("%v: exit %d: %s", args, code, errs.String())
		}
		errs.Reset()
		env.Stdout = brokenWriter{syscall.EPIPE}
		if Main(t.Context(), env); errs.Len() > 0 {
			t.Errorf("%v: %s", args, errs.String())
		}
	}
}

// The command that explain prints for a kind without flags of its own is one
// that inject takes: it gets as far as the server, which is not there.
func TestExplainedCommandWorks(t *testing.T) {
	for _, k := range fault.Kinds() {
		words := exampleWords(k)
		code, _, errs := command(t.Context(), map[string]string{"CHAOSCTL_SERVER": "http://127.0.0.1:1"}, append([]string{"inject"}, words...)...)
		if code != experiment.ExitError || !strings.Contains(errs, "no answer") {
			t.Errorf("%s: %s: exit %d: %s", k.Name, quoted(words), code, errs)
		}
		if words[0] != "fault" {
			continue
		}
		got, _, err := parseFaults(t, words[1:]...)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		var want fault.Fault
		if err := strict.Unmarshal("example", []byte(k.Example), &want); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal([]fault.Fault{want})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(normal(t, string(b)), normal(t, got)); diff != "" && want.Match == nil {
			t.Errorf("%s: (-example +command)\n%s", k.Name, diff)
		}
	}
	if got, want := quoted(exampleWords(fault.NetKill)), "fault --kind net.kill --target db-service --param every=5s --share 0.25"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := quoted([]string{"a -> b", "it's", ""}), `'a -> b' 'it'\''s' ''`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
