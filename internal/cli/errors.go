package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/strict"
)

func refusal(code experiment.Code, hint, format string, args ...any) error {
	return &experiment.Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// finish says what went wrong, in the form that was asked for, and returns the
// exit code. It is the only place that reads either from an error.
func (a *app) finish(err error) int {
	if err == nil {
		return experiment.ExitOK
	}
	e, code := reading(err)
	var verdict exit
	if errors.As(err, &verdict) { // a verdict goes before whatever else went wrong, but for a failed rollback
		if code != experiment.ExitStuck {
			code = int(verdict)
		}
		if e.Message == "" && len(e.Problems) == 0 {
			return code
		}
	}
	if errors.Is(err, syscall.EPIPE) && code != experiment.ExitStuck {
		return code // whoever read our output has had enough
	}
	if e.Message == "" {
		named := *e
		named.Message = countMistakes(e.Problems)
		e = &named
	}
	if a.json() || a.wantJSON {
		a.printErrorJSON(e, code)
	} else {
		a.printError(e)
	}
	return code
}

// panicked says that a command had a defect, and returns the exit code.
func (a *app) panicked(p any, stack []byte) int {
	if v, _ := a.env.Getenv("CHAOSCTL_DEBUG"); v != "" {
		fmt.Fprintf(a.env.Stderr, "%s\n", safe(string(stack)))
	}
	return a.finish(refusal("internal", "this is a defect of chaosctl; CHAOSCTL_DEBUG=1 shows where", "internal error: %v", p))
}

// reading is what an error says, and its exit code.
func reading(err error) (*experiment.Error, int) {
	if e, known := experiment.AsError(err); known {
		return e, e.ExitCode()
	}
	if errors.Is(err, context.Canceled) {
		return &experiment.Error{Code: "interrupted", Message: "interrupted"}, experiment.ExitAborted
	}
	return &experiment.Error{Code: "error", Message: strings.TrimSpace(err.Error())}, experiment.ExitError
}

func (a *app) printError(e *experiment.Error) {
	// Errors that were joined have a line each; what follows the first is set off.
	fmt.Fprintf(a.env.Stderr, "chaosctl: %s\n", strings.ReplaceAll(safe(e.Message), "\n", "\n  "))
	for _, p := range e.Problems {
		fmt.Fprintf(a.env.Stderr, "%s\n", line(p.Error()))
	}
	if e.Hint != "" {
		fmt.Fprintf(a.env.Stderr, "hint: %s\n", line(e.Hint))
	}
}

func (a *app) printErrorJSON(e *experiment.Error, code int) {
	enc := json.NewEncoder(a.env.Stderr)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct {
		*experiment.Error
		Exit int `json:"exit"`
	}{e, code})
}

func countMistakes(ps experiment.Problems) string {
	if len(ps) == 1 {
		return "there is a mistake"
	}
	return fmt.Sprintf("there are %d mistakes", len(ps))
}

// safe takes control characters out of text that may come from a document or a
// server, and marks that turn the direction of writing around, so that none can steer
// the terminal or make a line read otherwise than it is.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		if r == '\n' || r == '\t' || r >= 32 && r != 127 && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '?'
	}, s)
}

// line is safe for text that must not break a line or a table: what would is
// written as \n, \r and \t.
func line(s string) string {
	return safe(strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s))
}

// flagError rewords what pflag says and suggests a near flag.
func flagError(cmd *cobra.Command, err error) error {
	hint := "see `" + cmd.CommandPath() + " --help`"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		near := strict.Suggest(unknown.GetSpecifiedName(), names)
		if !strings.Contains(near, "did you mean") {
			near = ""
		}
		near = strings.Replace(near, "`", "`--", 1)
		return badInput(hint, "%s has no flag --%s%s", nameOf(cmd), unknown.GetSpecifiedName(), near)
	}
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return badInput(hint, "--%s: %s", value.GetFlag().Name, value.Unwrap())
	}
	return badInput(hint, "%s", err)
}

// nameOf is what a command is called behind `chaosctl`.
func nameOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// arguments says how many arguments a command takes, in words.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint, short := "see `"+cmd.CommandPath()+" --help`", nameOf(cmd)
		brief, _, _ := strings.Cut(what, ";")
		switch {
		case len(args) < least:
			return badInput(hint, "%s needs %s", short, what)
		case most >= 0 && len(args) > most && most == 0:
			return badInput(hint, "%s takes no arguments, but %q was given", short, args[0])
		case most >= 0 && len(args) > most:
			return badInput(hint, "%s takes %s only, but %q was given as well", short, brief, args[most])
		}
		return nil
	}
}

var nothing = arguments(0, 0, "nothing")

// merge makes one refusal of several: one is kept as it is, of more every
// message becomes a problem, once.
func merge(errs []error) error {
	errs = slices.DeleteFunc(errs, func(e error) bool { return e == nil })
	if len(errs) <= 1 {
		return errors.Join(errs...)
	}
	var all experiment.Problems
	for _, err := range errs {
		problems := experiment.Problems{{Message: err.Error()}}
		if e, ok := experiment.AsError(err); ok && len(e.Problems) > 0 {
			problems = e.Problems
		}
		for _, p := range problems {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return &experiment.Error{Code: experiment.BadInput, Problems: all}
}
