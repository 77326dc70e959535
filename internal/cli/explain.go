package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/fault"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain KIND",
		Short: "Explain a kind of fault: what it does, its params, flags and an example",
		Args:  arguments(1, 1, "a kind; `chaosctl kinds` lists them"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeKinds(cmd, args, word)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := fault.Lookup(args[0])
			if err != nil {
				return badInput("`chaosctl kinds` lists them", "%s", err)
			}
			if a.json() {
				return a.printJSON(k.Describe())
			}
			a.explain(k)
			return nil
		},
	}
}

func (a *app) explain(k *fault.Kind) {
	a.printf("%s\n\n%s\n", k.Name, wrap(k.Doc, 100))
	if k.Details != "" {
		a.printf("\n%s\n", wrap(k.Details, 100))
	}
	a.printf("\nacts on    %s", k.Acts)
	if k.HTTPOnly {
		a.printf(" that see requests (protocol: http)")
	}
	a.printf("\ngrounds    %s\n", strings.Join(k.Grounds, ", "))
	if mods := modifiersOf(k); len(mods) > 0 {
		a.printf("modifiers  %s\n", strings.Join(mods, ", "))
	} else {
		a.printf("modifiers  none: it hurts all or nothing\n")
	}
	if k.Irreversible {
		a.printf("careful    nothing undoes it; it needs --allow-irreversible\n")
	}
	if params := k.Describe().Params; len(params) > 0 {
		a.printf("\nparams\n")
		var rows [][]string
		for _, p := range params {
			rows = append(rows, []string{"  " + p.Name, p.Type, paramSentence(p)})
		}
		columns(a.env.Stdout, rows)
	}
	a.printf("\nexample, in an experiment\n%s", indent(k.Example, "  "))
	a.printf("\non the command line\n")
	if len(k.Flags) == 0 {
		a.printf("  chaosctl inject fault --kind %s ...\n", k.Name)
	}
	var rows [][]string
	for _, f := range k.Flags {
		rows = append(rows, []string{strings.TrimRight("  --"+f.Name+" "+f.Value, " "), f.Usage})
	}
	columns(a.env.Stdout, rows)
}

// paramSentence is what a param is for, its values and its default.
func paramSentence(p fault.Param) string {
	s := p.Doc
	if len(p.Values) > 0 {
		s += ": " + strings.Join(p.Values, ", ")
	}
	switch {
	case p.Required:
		s += " (required)"
	case p.Default != "":
		s += " (default " + p.Default + ")"
	}
	return s
}

func indent(s, by string) string {
	lines := strings.SplitAfter(strings.TrimRight(s, "\n")+"\n", "\n")
	return by + strings.Join(lines[:len(lines)-1], by)
}

// wrap breaks text into lines of at most width characters; paragraphs stay.
func wrap(s string, width int) string {
	var out []string
	for _, para := range strings.Split(s, "\n") {
		line := ""
		for _, w := range strings.Fields(para) {
			if line != "" && len(line)+1+len(w) > width {
				out = append(out, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += w
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
