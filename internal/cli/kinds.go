package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/fault"
)

// modifiersOf lists the modifiers that a kind takes.
func modifiersOf(k *fault.Kind) []string {
	mods := []string{}
	for _, m := range fault.Modifiers() {
		switch {
		case !m.Takes(k):
		case m.Name == "match" && !k.MatchesRequests():
			mods = append(mods, "match (client alone)")
		default:
			mods = append(mods, m.Name)
		}
	}
	return mods
}

func (a *app) kindsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kinds",
		Short: "List the kinds of faults",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			kinds := fault.Kinds()
			if a.json() {
				all := make([]fault.Description, len(kinds))
				for i, k := range kinds {
					all[i] = k.Describe()
				}
				return a.printJSON(all)
			}
			rows := [][]string{{"KIND", "ACTS ON", "GROUNDS", "WHAT IT DOES"}}
			for _, k := range kinds {
				rows = append(rows, []string{k.Name, string(k.Acts), strings.Join(k.Grounds, ", "), k.Doc})
			}
			columns(a.env.Stdout, rows)
			return nil
		},
	}
}

func completeKinds(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range fault.Kinds() {
		names = append(names, cobra.CompletionWithDesc(k.Name, k.Doc))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
