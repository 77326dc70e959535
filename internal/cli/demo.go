package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/examples/shop"
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/report"
)

// demoTries is how often an experiment of the demo is begun at most.
const demoTries = 4

type demoFlags struct {
	dir   string
	keep  bool
	quiet bool
	set   []string // shortens the experiments in tests
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Hurt, judge and heal a small shop, with nothing to set up",
		Long: `Starts a small web shop on this machine (an API, its auth and catalog services
and a database, on free ports of the loopback interface), puts relays between
them, and runs two experiments: one that the shop survives, and one that it does
not. Writes a report of each. Takes half a minute and leaves nothing behind but
the reports.`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.dir, "dir", "reports", "write the reports into this `folder`")
	fs.BoolVar(&f.keep, "keep", false, "leave the shop running afterwards, with the API, until Ctrl-C")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	fs.StringArrayVar(&f.set, "set", nil, "change a value of both experiments, `path=value`")
	_ = fs.MarkHidden("set")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// demoRun is one experiment of the demo and what is meant to come of it.
type demoRun struct {
	title string
	doc   []byte
	meant experiment.Outcome
}

// demoResult is what -o json prints of it.
type demoResult struct {
	Run        string              `json:"run"`
	Experiment string              `json:"experiment"`
	Verdict    *experiment.Verdict `json:"verdict"`
	AsMeant    bool                `json:"asMeant"`
	HTML       string              `json:"html"`
	JSON       string              `json:"json"`
}

func (a *app) demo(ctx context.Context, f *demoFlags) (err error) {
	if err := writable(filepath.Join(f.dir, "x")); err != nil {
		return badInput("choose another folder with --dir", "the reports cannot be written: %s", err)
	}
	state, err := os.MkdirTemp("", "chaosctl-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	// The shop outlives the request to stop, until everything is lifted.
	s, err := shop.Start(context.WithoutCancel(ctx), shop.Config{Options: shop.AsShipped()})
	if err != nil {
		return fmt.Errorf("start the shop: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g, topology, runs, err := a.demoGround(ctx, s, state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.lift(ctx), s.Close(), g.close(ctx)) }()
	a.introduce(g)
	results, err := a.demoRuns(ctx, g, topology, runs, f)
	if err != nil {
		return err
	}
	if err := a.conclude(results, f); err != nil {
		return err
	}
	if f.keep {
		return a.keepShop(ctx, g, s)
	}
	return nil
}

// demoGround puts relays between the services of the shop.
func (a *app) demoGround(ctx context.Context, s *shop.Shop, state string) (*ground, []byte, []demoRun, error) {
	at := s.Addresses()
	for _, e := range shop.Edges() {
		at[e] = "127.0.0.1:0"
	}
	topology, survives, falls := shop.Documents(at)
	top, err := experiment.ParseTopology("topology.yaml", topology)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the demo's topology: %w", err)
	}
	g, err := openGround(ctx, engine.Config{Topology: top, StateDir: state, Version: version()}, nil, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, e := range g.relays.Status() {
		if err := s.Route(e.Name, e.Listen); err != nil {
			return nil, nil, nil, errors.Join(err, g.close(context.WithoutCancel(ctx)))
		}
	}
	return g, topology, []demoRun{
		{"auth-service turns slow", survives, experiment.Passed},
		{"the network to the database is cut", falls, experiment.Failed},
	}, nil
}

func (a *app) introduce(g *ground) {
	if a.json() {
		return
	}
	style := a.style(a.env.Stdout)
	fmt.Fprintf(a.env.Stdout, "%s\n", bold(style, "A small shop is up, with a relay on every edge:"))
	for _, e := range g.relays.Status() {
		a.printf("  %-32s through %s\n", e.Name, e.Listen)
	}
}

func (a *app) demoRuns(ctx context.Context, g *ground, topology []byte, runs []demoRun, f *demoFlags) ([]demoResult, error) {
	var results []demoResult
	style := a.style(a.env.Stdout)
	for i, d := range runs {
		if !a.json() {
			fmt.Fprintf(a.env.Stdout, "\n%s\n", bold(style, fmt.Sprintf("Experiment %d of %d: %s", i+1, len(runs), d.title)))
		}
		record, err := a.demoRun(ctx, g, d, topology, f)
		if err != nil {
			return results, err
		}
		res, err := a.demoReport(record, d, f.dir)
		if err != nil {
			return results, err
		}
		results = append(results, res)
		if err := ctx.Err(); err != nil {
			a.say("stopped; everything is lifted")
			return results, errors.Join(verdictExit(record), exit(experiment.ExitAborted))
		}
	}
	return results, nil
}

// demoRun runs one experiment. On a machine that is too busy for the shop to
// reach its steady state nothing was hurt, so it is tried again.
func (a *app) demoRun(ctx context.Context, g *ground, d demoRun, topology []byte, f *demoFlags) (record *experiment.Run, err error) {
	for try := range demoTries {
		if try > 0 {
			a.say("this machine is busy: the shop was slow before anything was hurt; once more")
		}
		record, err = a.conduct(ctx, sharedRunner{&localRunner{g}}, experiment.RunRequest{
			File: d.title, Document: string(d.doc), Topology: string(topology), Set: f.set, Actor: a.actor(),
		}, f.quiet)
		if err != nil || ctx.Err() != nil || len(record.Injections) > 0 {
			break
		}
	}
	return record, err
}

// demoReport says the verdict and writes the reports.
func (a *app) demoReport(r *experiment.Run, d demoRun, dir string) (demoResult, error) {
	base := filepath.Join(dir, r.Experiment)
	out := outputs{html: base + ".html", json: base + ".json"}
	res := demoResult{
		Run: r.ID, Experiment: r.Experiment, Verdict: r.Verdict, HTML: out.html, JSON: out.json,
		AsMeant: r.Verdict != nil && r.Verdict.Outcome == d.meant && len(r.Stuck) == 0,
	}
	if !a.json() {
		if r.Hypothesis != "" {
			a.printf("  we said    %s\n", r.Hypothesis)
		}
		a.printVerdict(r)
		if err := report.Answers(a.env.Stdout, r, a.style(a.env.Stdout)); err != nil {
			return res, err
		}
	}
	return res, out.write(a.env.Stdout, r)
}

func (a *app) printVerdict(r *experiment.Run) {
	if r.Verdict == nil {
		a.printf("  there is no verdict\n")
		return
	}
	style := a.style(a.env.Stdout)
	tone := map[experiment.Outcome]func(string) string{experiment.Passed: style.Good, experiment.Failed: style.Bad}[r.Verdict.Outcome]
	if tone == nil {
		tone = style.Warn
	}
	fmt.Fprintf(a.env.Stdout, "  verdict    %s\n", paint(tone, string(r.Verdict.Outcome)))
	for _, why := range r.Verdict.Reasons {
		a.printf("             %s\n", why)
	}
}

// conclude says whether all went as meant, and where the reports are.
func (a *app) conclude(results []demoResult, f *demoFlags) error {
	all := true
	for _, r := range results {
		all = all && r.AsMeant
	}
	if a.json() {
		if err := a.printJSON(results); err != nil {
			return err
		}
	} else {
		a.printf("\nThe reports, for a browser:\n")
		for _, r := range results {
			a.printf("  %s\n", r.HTML)
		}
	}
	if !all {
		return refusal(experiment.Conflict, "is this machine very busy? the reports say what happened",
			"the demo did not go as meant: the first experiment should pass and the second fail")
	}
	if !a.json() {
		a.printf("\nAs meant: the shop survived the first, thanks to its cache and its breaker, and\nnot the second: nothing stands in for its database. Everything was put back.\n")
		a.printf("\nNow yours: describe your services in a topology (examples/shop/topology.yaml is a\ngood start), then\n  chaosctl serve --topology topology.yaml\n  chaosctl inject fault --target=auth-service --latency=500ms\n")
	}
	return nil
}

// sharedRunner leaves its ground open.
type sharedRunner struct{ *localRunner }

func (sharedRunner) close(context.Context) error { return nil }

// keepShop serves the shop and the API until ctx ends.
func (a *app) keepShop(ctx context.Context, g *ground, s *shop.Shop) error {
	lc := new(net.ListenConfig)
	ln, err := lc.Listen(ctx, "tcp", defaultAPI)
	if err != nil {
		if ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("listen for the API: %w", err)
		}
	}
	if err := a.ready(ln.Addr().String(), g, nil); err != nil {
		return errors.Join(err, ln.Close())
	}
	a.say("the shop is at %s/checkout; Ctrl-C ends it", s.URL())
	f := &serveFlags{}
	f.drain.value = fault.Duration(patience)
	return a.serveUntil(ctx, ln, g, f, "", nil)
}
