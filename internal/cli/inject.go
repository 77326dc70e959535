package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func (a *app) injectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inject",
		Short: "Put a fault in force: fault or partition",
		Args:  cobra.ArbitraryArgs,
		RunE:  a.group("inject needs to know what: `inject fault` or `inject partition`"),
	}
	cmd.AddCommand(a.injectFaultCommand(), a.injectPartitionCommand())
	return cmd
}

// injectFlags are those that every injection takes.
type injectFlags struct {
	lease             durationFlag
	seed              seedFlag
	allowProduction   bool
	allowIrreversible bool
}

func (f *injectFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&f.lease, "for", "lift by itself after `D`; 10m by default")
	fs.Var(&f.seed, "seed", "make random draws repeatable")
	fs.BoolVar(&f.allowProduction, "allow-production", false, "permit to hurt a topology whose environment is production")
	fs.BoolVar(&f.allowIrreversible, "allow-irreversible", false, "permit kinds that nothing can undo")
	_ = cmd.RegisterFlagCompletionFunc("for", fixed("30s", "1m", "5m", "10m"))
}

func (f *injectFlags) request(a *app, faults ...fault.Fault) experiment.InjectRequest {
	return experiment.InjectRequest{
		Faults: faults, For: f.lease.value, Seed: f.seed.value,
		AllowProduction: f.allowProduction, AllowIrreversible: f.allowIrreversible, Actor: a.actor(),
	}
}

// inject sends the request and prints what is in force.
func (a *app) inject(ctx context.Context, req experiment.InjectRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	in, err := c.Inject(ctx, req)
	if err != nil {
		return a.remoteError(err)
	}
	if a.json() {
		return a.printJSON(in)
	}
	a.printf("injected %s\n", in.ID)
	for _, armed := range in.Armed {
		a.printf("  %s: %s\n", armed.Fault.Kind, line(armed.Touches))
	}
	a.printf("lifts itself in %s (%s); sooner with: chaosctl lift %s\n",
		short(time.Duration(in.Until.Sub(in.Since).Round(time.Second))), in.Until.Local().Format(time.TimeOnly), in.ID)
	return nil
}

// names splits the values of a repeatable, comma-separated flag.
func names(values []string) []string {
	var all []string
	for _, v := range values {
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}
