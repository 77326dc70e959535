package cli

import (
	"context"

	"github.com/chaosctl/chaosctl/client"
	"github.com/chaosctl/chaosctl/experiment"
)

// remoteRunner has a server execute experiments.
type remoteRunner struct{ c *client.Client }

// server connects to the server and asks for the topology it serves.
func (a *app) server(ctx context.Context) (*client.Client, *experiment.Topology, error) {
	c, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	top, err := c.Topology(ctx)
	if err != nil {
		return nil, nil, a.remoteError(err)
	}
	return c, top, nil
}

func (r remoteRunner) start(ctx context.Context, req experiment.RunRequest) (experiment.RunSummary, error) {
	return r.c.StartRun(ctx, req)
}

func (r remoteRunner) abort(ctx context.Context, id, why string) error {
	return r.c.AbortRun(ctx, id, why)
}

func (r remoteRunner) wait(ctx context.Context, id string, onEvent func(experiment.Event)) (*experiment.Run, error) {
	return r.c.WaitRun(ctx, id, onEvent)
}

func (r remoteRunner) now(ctx context.Context, id string) (*experiment.Run, error) {
	return r.c.Run(ctx, id)
}

func (r remoteRunner) close(context.Context) error { return nil }

// remoteRecords reads records from a server.
type remoteRecords struct {
	a *app
	c *client.Client
}

func (r remoteRecords) runs(ctx context.Context) ([]experiment.RunSummary, error) {
	runs, err := r.c.Runs(ctx)
	return runs, r.a.remoteError(err)
}

func (r remoteRecords) run(ctx context.Context, id string) (*experiment.Run, error) {
	run, err := r.c.Run(ctx, id)
	return run, r.a.remoteError(err)
}
