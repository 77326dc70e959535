package cli

import (
	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/report"
)

func (a *app) planCommand() *cobra.Command {
	var doc documentFlags
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say what an experiment would touch, and do nothing",
		Long: `Says what a run of the experiment would touch, who can still talk to whom, for
how long, and what undoes it. Nothing is opened, called or hurt. With a server
(--server or CHAOSCTL_SERVER) its topology and its guards decide.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := a.plan(cmd, args, &doc)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(plan)
			}
			return report.PlanText(a.env.Stdout, &plan, a.style(a.env.Stdout))
		},
	}
	doc.register(cmd)
	a.remote.register(cmd, "no server: it is worked out here")
	return cmd
}

func (a *app) plan(cmd *cobra.Command, args []string, doc *documentFlags) (experiment.Plan, error) {
	if _, told := a.serverURL(); !told {
		req, _, err := doc.request(a, cmd, args, nil)
		if err != nil {
			return experiment.Plan{}, err
		}
		return engine.PlanOnly(req, drivers(nil, nil))
	}
	c, served, err := a.server(cmd.Context())
	if err != nil {
		return experiment.Plan{}, err
	}
	req, _, err := doc.request(a, cmd, args, served)
	if err != nil {
		return experiment.Plan{}, err
	}
	plan, err := c.Plan(cmd.Context(), req)
	return plan, a.remoteError(err)
}
