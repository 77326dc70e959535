package cli

import (
	"bytes"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/report"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is in force: age, lease and receipts",
		Long:  "Shows the edges and every fault in force. Exits with 5 when one is stuck.",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			c, err := a.connect()
			if err != nil {
				return err
			}
			if watch {
				return a.watch(ctx, c.Status)
			}
			s, err := c.Status(ctx)
			if err != nil {
				return a.remoteError(err)
			}
			if err := a.printStatus(s); err != nil {
				return err
			}
			if isStuck(s) {
				return exit(experiment.ExitStuck)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing it, until Ctrl-C")
	a.remote.register(cmd, "")
	return cmd
}

func (a *app) printStatus(s experiment.Status) error {
	if a.json() {
		return a.printJSON(s)
	}
	return report.StatusText(a.env.Stdout, &s, a.style(a.env.Stdout))
}

// isStuck tells whether something could not be taken out.
func isStuck(s experiment.Status) bool {
	if len(s.Debts) > 0 {
		return true
	}
	for _, in := range s.Injections {
		if in.State == experiment.Stuck {
			return true
		}
	}
	return false
}

// watch shows the status once a second until ctx ends: in place on a terminal,
// one after the other elsewhere, as lines of JSON if that was asked for.
func (a *app) watch(ctx context.Context, status func(context.Context) (experiment.Status, error)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	_, onTerminal := a.terminal(a.env.Stdout)
	for {
		s, err := status(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return a.remoteError(err)
		}
		if err := a.watched(s, onTerminal); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *app) watched(s experiment.Status, onTerminal bool) error {
	if a.json() {
		return a.printLine(s)
	}
	var b bytes.Buffer
	if onTerminal {
		b.WriteString("\x1b[H\x1b[2J")
	}
	if err := report.StatusText(&b, &s, a.style(a.env.Stdout)); err != nil {
		return err
	}
	_, err := a.env.Stdout.Write(b.Bytes())
	return err
}
