package cli

import (
	"context"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
)

// localRunner executes experiments in this process.
type localRunner struct{ g *ground }

// localRunner opens the relays of the topology, whose mistakes were found.
func (a *app) localRunner(ctx context.Context, top *experiment.Topology) (runner, error) {
	dir, err := a.state()
	if err != nil {
		return nil, err
	}
	g, err := openGround(ctx, engine.Config{
		Topology: top, StateDir: dir, Version: version(), Env: a.env.Getenv, AllowCommands: true,
	}, nil, a.certificates(dir, ""))
	if err != nil {
		return nil, err
	}
	for _, r := range g.engine.Recovered() {
		a.say("recovered: %s", r)
	}
	for _, d := range g.engine.Debts() {
		a.say("STUCK: %s", d)
	}
	return &localRunner{g}, nil
}

func (r *localRunner) start(ctx context.Context, req experiment.RunRequest) (experiment.RunSummary, error) {
	return r.g.engine.StartRun(ctx, req)
}

func (r *localRunner) abort(ctx context.Context, id, why string) error {
	return r.g.engine.AbortRun(ctx, id, why)
}

func (r *localRunner) wait(ctx context.Context, id string, onEvent func(experiment.Event)) (*experiment.Run, error) {
	inner, cancel := context.WithCancel(ctx)
	events := r.g.engine.Subscribe(inner, 0)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for ev := range events {
			if ev.ID == id {
				onEvent(ev)
			}
		}
	}()
	run, err := r.g.engine.WaitRun(ctx, id)
	cancel()
	<-told
	return run, err
}

func (r *localRunner) now(_ context.Context, id string) (*experiment.Run, error) {
	return r.g.engine.Run(id)
}

func (r *localRunner) close(ctx context.Context) error { return r.g.close(ctx) }
