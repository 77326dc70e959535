package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/httpapi"
	"github.com/chaosctl/chaosctl/internal/report"
)

type serveFlags struct {
	topology      string
	api           string
	hosts         []string
	allowCommands bool
	toxiproxy     string
	proxies       string
	caOut         string
	drain         durationFlag
}

func (a *app) serveCommand() *cobra.Command {
	f := serveFlags{}
	_ = f.drain.Set("10s")
	cmd := &cobra.Command{
		Use:   "serve --topology FILE",
		Short: "Start the relays of a topology and the API",
		Long: `Starts a relay for every edge that has a listen address, and the API. Prints one
line when both are ready. SIGTERM or Ctrl-C lifts everything and ends; the exit
code is 5 when something could not be lifted.

On start it takes out what a chaosctl that was killed has left in force.`,
		Example: "  chaosctl serve --topology topology.yaml",
		Args:    nothing,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.topology, "topology", "t", "", "the topology's `file`; - is stdin")
	fs.StringVar(&f.api, "api", defaultAPI, "the `address` of the API; port 0 picks a free one")
	fs.StringArrayVar(&f.hosts, "host", nil, "answer requests for this `name` as well; repeatable")
	fs.BoolVar(&f.allowCommands, "allow-commands", false, "let experiments run programs on this machine as probes; needs a token")
	fs.StringVar(&f.toxiproxy, "toxiproxy", "", "serve Toxiproxy's API at this `address` as well, for example 127.0.0.1:8474")
	fs.StringVar(&f.proxies, "state", "", "keep what was made through Toxiproxy's API in this `file` over restarts")
	fs.StringVar(&f.caOut, "ca-out", "", "write the certificate that callers of relays that answer TLS have to trust to this `file`")
	fs.Var(&f.drain, "drain", "wait up to `D` for what is under way when told to stop")
	a.remote.registerToken(cmd, "the `file` that holds the token every request must bear; else $CHAOSCTL_TOKEN_FILE")
	a.registerState(cmd)
	_ = cmd.MarkFlagFilename("topology", "yaml", "yml", "json")
	return cmd
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	top, token, dir, err := a.checkServe(f)
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", f.api)
	if err != nil {
		return badInput("is another chaosctl running there? choose another address with --api", "the API cannot listen on %s: %s", f.api, cause(err))
	}
	g, err := openGround(ctx, engine.Config{
		Topology: top, StateDir: dir, Version: version(), AllowCommands: f.allowCommands,
	}, func(edge string) {
		a.say("note: too many connections: %s accepts no more until one ends; raise the limit of open files (ulimit -n)", edge)
	}, a.certificates(dir, f.caOut))
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	for _, r := range g.engine.Recovered() {
		a.say("recovered: %s", r)
	}
	for _, d := range g.engine.Debts() {
		a.say("STUCK: %s", d)
	}
	side, err := a.openSide(ctx, g, f)
	if err != nil {
		return errors.Join(err, ln.Close(), g.close(ctx))
	}
	if err := a.ready(ln.Addr().String(), g, side); err != nil {
		return errors.Join(err, ln.Close(), side.close(ctx), g.close(ctx))
	}
	return a.serveUntil(ctx, ln, g, f, token, side)
}

// serveUntil answers until ctx ends or the API breaks. Then it lifts everything
// first, so that nothing hurts while the API and the relays drain.
func (a *app) serveUntil(ctx context.Context, ln net.Listener, g *ground, f *serveFlags, token string, side *sideDoor) error {
	apiCtx, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPI()
	served := make(chan error, 1)
	go func() {
		served <- httpapi.Serve(apiCtx, ln, httpapi.Config{
			Faults: g.engine, Runs: g.engine, Events: g.engine, Render: render,
			Token: token, Hosts: f.hosts, Version: version(), Ended: g.engine.Ended,
			Log: slog.New(slog.NewTextHandler(a.env.Stderr, nil)),
		})
	}()
	select {
	case <-ctx.Done():
	case broken := <-served:
		return errors.Join(side.close(ctx), a.shutDown(ctx, g, f.drain.value.Std()), broken)
	case broken := <-side.broken():
		stopAPI()
		return errors.Join(side.close(ctx), a.shutDown(ctx, g, f.drain.value.Std()), broken, <-served)
	}
	a.say("stopping: lifting everything")
	underWay := len(g.engine.Status(ctx).Runs) > 0
	// What is kept over a restart is written before it is lifted.
	err := errors.Join(side.close(ctx), g.lift(ctx))
	if underWay {
		a.leaveRecords(ctx)
	}
	stopAPI()
	a.note(<-served)
	a.drain(ctx, g, f.drain.value.Std())
	return err
}

// leaveRecords gives whoever waits for a run that was just aborted a moment to
// fetch its record.
func (a *app) leaveRecords(ctx context.Context) {
	hurry, done := a.env.Hurry(context.WithoutCancel(ctx))
	defer done()
	moment, cancel := context.WithTimeout(hurry, patience)
	defer cancel()
	<-moment.Done()
}

// drain closes the relays; what had to be cut is a note, no failure.
func (a *app) drain(ctx context.Context, g *ground, patience time.Duration) {
	hurry, done := a.env.Hurry(context.WithoutCancel(ctx))
	defer done()
	end, cancel := context.WithTimeout(hurry, patience)
	defer cancel()
	a.note(g.relays.Shutdown(end))
}

// note says in one line what is no failure.
func (a *app) note(err error) {
	if err != nil {
		a.say("note: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// shutDown lifts everything and closes the relays.
func (a *app) shutDown(ctx context.Context, g *ground, patience time.Duration) error {
	err := g.lift(ctx)
	a.drain(ctx, g, patience)
	return err
}

// checkServe finds every mistake before anything is opened.
func (a *app) checkServe(f *serveFlags) (top *experiment.Topology, token, dir string, err error) {
	if f.topology == "" {
		return nil, "", "", badInput("for example: chaosctl serve --topology topology.yaml", "--topology is missing: the file that names services and edges")
	}
	data, name, err := a.readDocument(f.topology)
	if err != nil {
		return nil, "", "", err
	}
	if top, err = experiment.ParseTopology(name, data); err != nil {
		return nil, "", "", err
	}
	if token, err = a.token(); err != nil {
		return nil, "", "", err
	}
	if err = httpapi.CheckBind(f.api, token); err != nil {
		return nil, "", "", err
	}
	if f.allowCommands && token == "" {
		return nil, "", "", refusal(experiment.Guarded, "give --token-file FILE", "--allow-commands needs a token: whoever reaches the API could run programs")
	}
	if err = checkToxiproxy(f, top); err != nil {
		return nil, "", "", err
	}
	dir, err = a.state()
	return top, token, dir, err
}

// readyLine is what serve prints once both relays and API answer.
type readyLine struct {
	API       string                  `json:"api"`
	Toxiproxy string                  `json:"toxiproxy,omitempty"`
	Proxy     string                  `json:"proxy,omitempty"`
	Resolver  string                  `json:"resolver,omitempty"`
	Relays    []experiment.EdgeStatus `json:"relays"`
}

func (a *app) ready(addr string, g *ground, side *sideDoor) error {
	ready := readyLine{API: "http://" + addr, Toxiproxy: side.url(), Proxy: g.proxy.url(), Relays: []experiment.EdgeStatus{}}
	var words []string
	for _, e := range g.relays.Status() {
		ready.Relays = append(ready.Relays, e)
		words = append(words, line(e.Name)+" on "+e.Listen)
	}
	if g.resolver != nil {
		ready.Resolver = g.resolver.Addr()
	}
	if a.json() {
		return a.printLine(ready)
	}
	relays := "no relays"
	if len(words) > 0 {
		relays = "relays " + strings.Join(words, ", ")
	}
	if ready.Resolver != "" {
		relays = "resolver " + ready.Resolver + ", " + relays
	}
	if ready.Proxy != "" {
		relays = "proxy " + ready.Proxy + ", " + relays
	}
	if ready.Toxiproxy != "" {
		relays = "toxiproxy " + ready.Toxiproxy + ", " + relays
	}
	a.printf("ready: api %s, %s\n", ready.API, relays)
	return a.written()
}

// render is how the API writes runs.
func render(format string, w io.Writer, r *experiment.Run) error {
	switch format {
	case "html":
		return report.HTML(w, r)
	case "junit":
		return report.JUnit(w, r)
	case "markdown":
		return report.Markdown(w, r)
	case "json":
		return report.JSON(w, r)
	case "text":
		return report.Text(w, r, report.Style{})
	}
	return fmt.Errorf("there is no format %q", format)
}

// cause is the innermost reason of a network error, without the operation that
// the message names already.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
