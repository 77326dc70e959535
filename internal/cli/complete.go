package cli

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
)

// completeWithin bounds how long a shell waits for an answer from a server.
const completeWithin = 2 * time.Second

// known is the topology that completions are about: that of --topology if the
// command has one, else that of a server that answers; nil if there is none.
func (a *app) known(cmd *cobra.Command) *experiment.Topology {
	if f := cmd.Flags().Lookup("topology"); f != nil && f.Value.String() != "" {
		b, err := os.ReadFile(f.Value.String())
		if err != nil {
			return nil
		}
		t, err := experiment.ParseTopology(f.Value.String(), b)
		if err != nil {
			return nil
		}
		return t
	}
	c, err := a.connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	t, err := c.Topology(ctx)
	if err != nil {
		return nil
	}
	return t
}

// completeServices offers services; with users, the reserved caller, too.
func (a *app) completeServices(users bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		t := a.known(cmd)
		if t == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var list []string
		for name := range t.Spec.Services {
			list = append(list, name)
		}
		if users {
			list = append(list, experiment.Users)
		}
		slices.Sort(list)
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completeEdges(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	t := a.known(cmd)
	if t == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, e := range t.Spec.Edges {
		list = append(list, e.Name())
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeInjections offers the ids in force that are not on the line yet.
func (a *app) completeInjections(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	s, err := c.Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, in := range s.Injections {
		if slices.Contains(args, in.ID) {
			continue
		}
		what := ""
		for _, armed := range in.Armed {
			if what != "" {
				what += ", "
			}
			what += armed.Fault.Kind + " on " + armed.Where
		}
		list = append(list, cobra.CompletionWithDesc(in.ID, what))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeRuns offers the ids of runs, the newest first, and files.
func (a *app) completeRuns(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	src, err := a.records()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	runs, err := src.runs(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var list []string
	for _, r := range slices.Backward(runs) {
		list = append(list, cobra.CompletionWithDesc(r.ID, describeRun(r)))
	}
	return list, cobra.ShellCompDirectiveDefault
}
