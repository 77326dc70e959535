package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
)

func (a *app) sweepCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Take out what a killed chaosctl has left in force",
		Long: `Takes out what a chaosctl that was killed has left in force on this machine, as
its journal tells. What a living one has in force is left alone. Safe to repeat;
` + "`serve` and `run`" + ` do the same when they start. Exits with 5 when something is stuck.`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.state()
			if err != nil {
				return err
			}
			res, err := engine.Sweep(experiment.WithActor(cmd.Context(), a.actor()), dir, drivers(nil, nil))
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			if a.json() {
				if err := a.printJSON(res); err != nil {
					return err
				}
			} else {
				a.printSweep(res)
			}
			if len(res.Stuck) > 0 {
				return exit(experiment.ExitStuck)
			}
			return nil
		},
	}
	a.registerState(cmd)
	return cmd
}

func (a *app) printSweep(res engine.SweepResult) {
	if len(res.Reverted)+len(res.Stuck) == 0 {
		a.printf("swept: nothing was left in force\n")
		return
	}
	for _, s := range res.Reverted {
		a.printf("reverted %s\n", s)
	}
	for _, s := range res.Stuck {
		a.printf("STUCK %s\n", strings.TrimSpace(s))
	}
}
