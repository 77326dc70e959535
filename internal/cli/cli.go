// Package cli is the command line of chaosctl and its assembly: it reads
// documents and the environment, opens relays, makes drivers, puts them in an
// engine, and either runs that engine or speaks to one through the API.
//
// The outside world is an argument (Env) and the result is an exit code, so
// that every command can be run by a test. Nothing below Main prints errors:
// they travel up with their hint and their code and are read once, there.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/client"
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Env is the outside world of a command.
type Env struct {
	// Program is the name it was started by; some stand for a command.
	Program string
	// Args of the command line, without the program's name.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv looks up an environment variable; nil is an empty environment.
	Getenv func(name string) (value string, set bool)
	// Hurry returns a context that ends when the user asks a second time to
	// stop, after the context of Main has ended; nil never hurries.
	Hurry func(context.Context) (context.Context, context.CancelFunc)
}

// Main runs the command line of env and returns its exit code. When ctx ends,
// the command takes out what it has put in force before Main returns. A panic
// of the command is an error like others; CHAOSCTL_DEBUG shows where it was.
func Main(ctx context.Context, env Env) (code int) {
	if env.Getenv == nil {
		env.Getenv = func(string) (string, bool) { return "", false }
	}
	if env.Hurry == nil {
		env.Hurry = func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithCancel(context.WithoutCancel(ctx))
		}
	}
	env.Stdout = &outlet{Writer: env.Stdout}
	a := &app{env: env}
	defer func() {
		for _, c := range a.clients {
			c.Close()
		}
	}()
	defer func() {
		if p := recover(); p != nil {
			code = a.panicked(p, debug.Stack())
		}
	}()
	root := a.root()
	args := asToxiproxy(env.Program, env.Args)
	root.SetArgs(args)
	a.wantJSON = asksForJSON(args)
	err := root.ExecuteContext(ctx)
	if lost := a.written(); lost != nil && !errors.Is(err, errors.Unwrap(lost)) {
		err = errors.Join(err, lost)
	}
	return a.finish(err)
}

// app is what the commands of one invocation share.
type app struct {
	env      Env
	output   choiceFlag
	wantJSON bool // as far as the raw arguments tell, for errors in the flags themselves
	stateDir string
	remote   remoteFlags
	clients  []*client.Client // that connect has made
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "chaosctl",
		Short: "Find out how your API fails before its users do",
		Long: `chaosctl injects faults into what an API depends on, cuts the network between
services, watches what callers get, and answers with a verdict and the evidence.
Then it puts everything back, whatever happens.

Try it now, with nothing to set up:   chaosctl demo`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE:              a.group(""),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return noneEmpty(cmd.Flags()) },
	}
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.SetFlagErrorFunc(flagError)
	a.output = choiceFlag{value: "text", among: []string{"text", "json"}}
	root.PersistentFlags().VarP(&a.output, "output", "o", "how to print data")
	_ = root.RegisterFlagCompletionFunc("output", fixed("text", "json"))
	for _, g := range [][2]string{{"hurt", "Hurt and heal:"}, {"judge", "Experiments:"}, {"learn", "The catalogue:"}, {"tools", "Tools:"}} {
		root.AddGroup(&cobra.Group{ID: g[0], Title: g[1]})
	}
	root.Version = versionText(version())
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Explain a command", GroupID: "tools", RunE: helpFor})
	grouped(root, "hurt", a.serveCommand(), a.toxiproxyCommand(), a.injectCommand(), a.statusCommand(), a.liftCommand(), a.haltCommand(), a.connectionsCommand())
	grouped(root, "judge", a.demoCommand(), a.planCommand(), a.runCommand(), a.reportCommand(), a.ledgerCommand())
	grouped(root, "learn", a.kindsCommand(), a.explainCommand(), a.schemaCommand())
	grouped(root, "tools", a.caCommand(), a.sweepCommand(), a.completionCommand(), a.versionCommand())
	return root
}

func grouped(root *cobra.Command, id string, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// group is the RunE of a command that only holds others: alone it prints help,
// with an unknown word it refuses and suggests. needs, when set, makes the bare
// command an error that names what is missing.
func (a *app) group(needs string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if needs == "" {
				return cmd.Help()
			}
			return badInput("see `"+cmd.CommandPath()+" --help`", "%s", needs)
		}
		return unknownCommand(cmd, args[0])
	}
}

func helpFor(cmd *cobra.Command, args []string) error {
	target, rest, err := cmd.Root().Find(args)
	if err != nil || target == nil || len(rest) > 0 {
		return unknownCommand(cmd.Root(), strings.Join(args, " "))
	}
	return target.Help()
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint, near := "see `"+cmd.CommandPath()+" --help`", strict.Suggest(word, names)
	if !cmd.HasParent() {
		return badInput(hint, "there is no command %q%s", word, near)
	}
	return badInput(hint, "%s has no command %q%s", nameOf(cmd), word, near)
}

// json tells whether data is to be printed as JSON.
func (a *app) json() bool { return a.output.value == "json" }

// actor names who asks, for the audit log.
func (a *app) actor() string {
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if v, ok := a.env.Getenv(name); ok && v != "" {
			return v
		}
	}
	if id := os.Getuid(); id >= 0 {
		return fmt.Sprintf("uid %d", id)
	}
	return "cli"
}

// asksForJSON looks for -o json before flags are parsed, so that a mistake in
// the flags is reported in the form that was asked for.
func asksForJSON(args []string) bool {
	for i, s := range args {
		switch {
		case s == "--":
			return false
		case s == "-ojson", s == "-o=json", s == "--output=json":
			return true
		case (s == "-o" || s == "--output") && i+1 < len(args) && args[i+1] == "json":
			return true
		}
	}
	return false
}

// fixed completes a flag or an argument with a closed list.
func fixed(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// exit ends a command with a code and no message: everything was said.
type exit int

func (exit) Error() string { return "" }

func badInput(hint, format string, args ...any) error {
	return refusal(experiment.BadInput, hint, format, args...)
}
