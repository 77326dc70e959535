package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/report"
)

// runFlags are those of `run`.
type runFlags struct {
	doc    documentFlags
	out    outputs
	detach bool
	quiet  bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run an experiment and judge it",
		Long: `Runs an experiment: checks, watches the steady state, hurts, lifts, watches the
recovery, and judges. Without a server it starts the relays of the topology
itself, for its own duration; with one (--server or CHAOSCTL_SERVER) the server
runs it.

Exit codes: 0 all gates held; 3 a gate was broken; 6 inconclusive; 4 aborted;
2 bad input, nothing was hurt; 5 something could not be rolled back.

Ctrl-C aborts the run: everything is lifted and the reports are still written.
A second Ctrl-C stops waiting for the rest, but still lifts everything.`,
		Example: `  chaosctl run checkout.yaml --html reports/checkout.html --junit reports/checkout.xml
  chaosctl run checkout.yaml --set spec.seed=7 --set spec.steady.for=5s -o json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd, args, &f) },
	}
	f.doc.register(cmd)
	f.out.register(cmd)
	cmd.Flags().BoolVar(&f.detach, "detach", false, "with a server: print the run's id and leave it to the server")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	a.remote.register(cmd, "no server: it runs here")
	a.registerState(cmd)
	return cmd
}

func (a *app) run(cmd *cobra.Command, args []string, f *runFlags) error {
	ctx := cmd.Context()
	_, remote := a.serverURL()
	switch {
	case f.detach && !remote:
		return badInput("name the server with --server", "--detach leaves the run to a server, and none was named")
	case f.detach && len(f.out.list()) > 0:
		return badInput("write them later: chaosctl report ID --html F", "--detach does not wait for the end, so it writes no reports")
	}
	if err := f.out.check(a.env.Stdout, a.json()); err != nil {
		return err
	}
	r, req, err := a.prepare(cmd, args, &f.doc, remote)
	if err != nil {
		return err
	}
	if f.detach {
		return a.detached(ctx, r, req)
	}
	record, err := a.conduct(ctx, r, req, f.quiet)
	if record == nil {
		return err
	}
	return errors.Join(a.deliver(record, &f.out), err, verdictExit(record))
}

// prepare reads the documents and then finds or makes whoever runs them.
func (a *app) prepare(cmd *cobra.Command, args []string, doc *documentFlags, remote bool) (runner, experiment.RunRequest, error) {
	if !remote {
		req, top, err := doc.request(a, cmd, args, nil)
		if err != nil {
			return nil, req, err
		}
		r, err := a.localRunner(cmd.Context(), top)
		return r, req, err
	}
	c, served, err := a.server(cmd.Context())
	if err != nil {
		return nil, experiment.RunRequest{}, err
	}
	req, _, err := doc.request(a, cmd, args, served)
	return remoteRunner{c}, req, err
}

// runner is whoever executes experiments: an engine of ours or a server.
type runner interface {
	start(ctx context.Context, r experiment.RunRequest) (experiment.RunSummary, error)
	abort(ctx context.Context, id, why string) error
	// wait returns the record once the run is over; meanwhile it shows that
	// somebody is there and hands on the run's events, the past ones first.
	wait(ctx context.Context, id string, onEvent func(experiment.Event)) (*experiment.Run, error)
	// now is the record as it stands.
	now(ctx context.Context, id string) (*experiment.Run, error)
	// close lifts what is left and lets go of everything.
	close(ctx context.Context) error
}

// Limits of waiting once somebody has asked to stop.
const (
	abortTimeout = 10 * time.Second
	closeTimeout = 20 * time.Second
)

// conduct runs an experiment to its end, showing how it goes. When ctx ends it
// aborts the run and still waits for its record; when the user asks again, it
// stops waiting. Whatever happens, everything is lifted when it returns. The
// record is nil only if the run never began or was lost.
func (a *app) conduct(ctx context.Context, r runner, req experiment.RunRequest, quiet bool) (record *experiment.Run, err error) {
	defer func() {
		err = errors.Join(err, r.close(context.WithoutCancel(ctx)))
	}()
	sum, err := r.start(ctx, req)
	if err != nil {
		return nil, a.remoteError(err)
	}
	p := a.newProgress(sum, quiet)
	defer p.close()
	return a.await(ctx, r, sum.ID, p)
}

// await waits for the record, through the first and the second request to stop.
func (a *app) await(ctx context.Context, r runner, id string, p *progress) (*experiment.Run, error) {
	record, err := r.wait(ctx, id, p.show)
	if err == nil || ctx.Err() == nil {
		return record, a.remoteError(err)
	}
	p.say("stopping: lifting everything (once more to stop waiting)")
	hurry, done := a.env.Hurry(context.WithoutCancel(ctx))
	defer done()
	end, cancel := context.WithTimeout(hurry, abortTimeout+closeTimeout)
	defer cancel()
	if err := r.abort(end, id, "interrupted by its user"); err != nil {
		return nil, a.remoteError(err)
	}
	record, err = r.wait(end, id, p.show)
	if err == nil {
		return record, nil
	}
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancelLast()
	if record, nerr := r.now(last, id); nerr == nil {
		return record, nil
	}
	return nil, err
}

// detached starts a run and leaves it.
func (a *app) detached(ctx context.Context, r runner, req experiment.RunRequest) error {
	req.Detach = true
	sum, err := r.start(ctx, req)
	if err != nil {
		return errors.Join(a.remoteError(err), r.close(ctx))
	}
	if a.json() {
		return errors.Join(a.printJSON(sum), r.close(ctx))
	}
	a.printf("%s\n", sum.ID)
	a.say("started; see it with: chaosctl report %s", sum.ID)
	return r.close(ctx)
}

// deliver prints the record and writes the reports.
func (a *app) deliver(record *experiment.Run, out *outputs) error {
	var err error
	switch {
	case a.json():
		err = a.printJSON(record)
	case !out.onStdout():
		err = report.Text(a.env.Stdout, record, a.style(a.env.Stdout))
	}
	err = errors.Join(err, out.write(a.env.Stdout, record))
	for _, x := range out.list() {
		if x.path != "-" && err == nil && !a.json() {
			a.say("wrote %s", x.path)
		}
	}
	return err
}

// verdictExit is the exit code a record stands for; nil for a pass.
func verdictExit(r *experiment.Run) error {
	switch {
	case len(r.Stuck) > 0:
		return exit(experiment.ExitStuck)
	case r.Verdict == nil:
		return exit(experiment.ExitAborted)
	case r.Verdict.Exit != experiment.ExitOK:
		return exit(r.Verdict.Exit)
	}
	return nil
}

// describeRun is a run in one line.
func describeRun(s experiment.RunSummary) string {
	if s.Verdict == nil {
		return fmt.Sprintf("%s: %s", s.Experiment, s.Stage)
	}
	return fmt.Sprintf("%s: %s", s.Experiment, s.Verdict.Outcome)
}
