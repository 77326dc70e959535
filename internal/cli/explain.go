package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
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
	if k.BytesOnly {
		a.printf(" that pass bytes as they come (protocol: tcp)")
	}
	if k.TLSOnly {
		a.printf(" that see TLS handshakes (tls: {})")
	}
	switch {
	case k.DatagramsOnly:
		a.printf(" that pass datagrams (protocol: udp)")
	case k.Datagrams:
		a.printf(", those that pass datagrams included (protocol: udp)")
	}
	if k.Emulated != "" {
		a.printf("\nemulated   %s", wrap("but for udp edges: "+k.Emulated, 89))
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
		a.printf("  %s\n", quoted(append([]string{"chaosctl", "inject"}, exampleWords(k)...)))
	}
	var rows [][]string
	for _, f := range k.Flags {
		rows = append(rows, []string{strings.TrimRight("  --"+f.Name+" "+f.Value, " "), f.Usage})
	}
	columns(a.env.Stdout, rows)
}

// exampleWords are the arguments of `inject` that say the example of a kind.
func exampleWords(k *fault.Kind) []string {
	words := []string{"fault", "--kind", k.Name}
	var f fault.Fault
	if err := strict.Unmarshal(k.Name, []byte(k.Example), &f); err != nil {
		return words // a test of the catalogue says so
	}
	if cut, ok := partitionWords(f); ok {
		return cut
	}
	switch {
	case f.Target.Edge != "":
		words = append(words, "--edge", f.Target.Edge)
	case f.Target.Service != "":
		words = append(words, "--target", f.Target.Service)
	}
	if len(f.Target.From) > 0 {
		words = append(words, "--from", strings.Join(f.Target.From, ","))
	}
	given, usual := jsonFields(f.Params), jsonFields(k.New())
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if text := given[name]; text != usual[name] {
			words = append(words, "--param", name+"="+text)
		}
	}
	if f.Share > 0 {
		words = append(words, "--share", strconv.FormatFloat(float64(f.Share), 'g', -1, 64))
	}
	if f.MaxActive > 0 {
		words = append(words, "--max-active", strconv.Itoa(f.MaxActive))
	}
	if f.Attempts != "" {
		words = append(words, "--attempts", string(f.Attempts))
	}
	if p := f.Pulse; p != nil {
		words = append(words, "--pulse", p.String())
	}
	if a := f.After; a != nil {
		if words = append(words, "--after", a.Edge); a.Calls > 0 {
			words = append(words, "--after-calls", strconv.Itoa(a.Calls))
		}
	}
	return words
}

// jsonFields are the params as --param would give them.
func jsonFields(p fault.Params) map[string]string {
	var raw map[string]any
	fields := map[string]string{}
	b, err := json.Marshal(p)
	if err != nil || json.Unmarshal(b, &raw) != nil {
		return fields
	}
	for name, v := range raw {
		switch v := v.(type) {
		case []any:
			var list []string
			for _, x := range v {
				list = append(list, fmt.Sprint(x))
			}
			fields[name] = strings.Join(list, ",")
		case map[string]any:
			for key, x := range v {
				fields[name+"."+key] = fmt.Sprint(x)
			}
		default:
			fields[name] = fmt.Sprint(v)
		}
	}
	return fields
}

// quoted joins words as a shell takes them.
func quoted(words []string) string {
	var out []string
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\n\"'`$&|;<>()*?[]{}~#!\\") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
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
