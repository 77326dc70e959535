package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/compat/toxiproxy"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/httpapi"
)

// toxiproxyFlags are those of the original's server, and ours.
type toxiproxyFlags struct {
	host, port, config           string
	seed                         seedFlag
	runtimeMetrics, proxyMetrics bool
	version                      bool
	state, api                   string
}

func (a *app) toxiproxyCommand() *cobra.Command {
	f := toxiproxyFlags{}
	cmd := &cobra.Command{
		Use:   "toxiproxy",
		Short: "Stand in for a Toxiproxy server",
		Long: `Serves Toxiproxy's API with proxies and toxics of ours, so that what was written
for Toxiproxy runs unchanged. It takes the flags of toxiproxy-server, with one dash
or two, and LOG_LEVEL (error, warn, info, debug, trace; info by default); a program
file of the name toxiproxy-server or toxiproxy is this command. It logs JSON lines
on stdout. What differs from the original is in docs/toxiproxy.md.`,
		Example: "  chaosctl toxiproxy -host=0.0.0.0 -config /etc/toxiproxy.json",
		// Single dashes are read by us.
		DisableFlagParsing: true,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.host, "host", "localhost", "the `name` or address that the API listens on")
	fs.StringVar(&f.port, "port", "8474", "its `port`; 0 picks a free one")
	fs.StringVar(&f.config, "config", "", "the `file` with proxies to start with, as /populate takes them, in JSON")
	fs.Var(&f.seed, "seed", "makes the draws repeatable")
	fs.BoolVar(&f.runtimeMetrics, "runtime-metrics", false, "show figures of the process at /metrics")
	fs.BoolVar(&f.proxyMetrics, "proxy-metrics", false, "show bytes per proxy at /metrics")
	fs.BoolVar(&f.version, "version", false, "print the version and end")
	fs.StringVar(&f.state, "state", "", "keep proxies and toxics in this `file` over restarts")
	fs.StringVar(&f.api, "api", "", "serve chaosctl's own API at this `address` as well")
	a.registerState(cmd)
	for _, name := range []string{"config", "host"} {
		_ = fs.SetAnnotation(name, mayBeEmpty, nil)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := fs.Parse(doubled(fs, args))
		help := fs.Changed("help") || errors.Is(err, pflag.ErrHelp)
		switch {
		case help:
			return cmd.Help()
		case err != nil:
			var unknown *pflag.NotExistError
			if errors.As(err, &unknown) && len(unknown.GetSpecifiedShortnames()) > 1 {
				return badInput("see `chaosctl toxiproxy --help`", "toxiproxy has no flag -%s", unknown.GetSpecifiedShortnames())
			}
			return flagError(cmd, err)
		case fs.NArg() > 0:
			return nothing(cmd, fs.Args())
		}
		if err := noneEmpty(fs); err != nil {
			return err
		}
		if f.version {
			a.printf("toxiproxy-server version %s (chaosctl %s)\n", toxiproxy.APIVersion, version().Chaosctl)
			return a.written()
		}
		return a.toxiproxy(cmd.Context(), &f)
	}
	return cmd
}

// doubled writes flags that have one dash, as the original takes them, with two.
func doubled(fs *pflag.FlagSet, args []string) []string {
	all := make([]string, len(args))
	for i, s := range args {
		if s == "--" {
			copy(all[i:], args[i:])
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(s, "-"), "=")
		if len(name) > 1 && strings.HasPrefix(s, "-") && (fs.Lookup(name) != nil || name == "help") {
			s = "-" + s
		}
		all[i] = s
	}
	return all
}

// standsIn are the names of programs that are the original's server.
var standsIn = []string{"toxiproxy-server", "toxiproxy"}

// asToxiproxy makes the arguments of a program that bears the original's name
// those of our command.
func asToxiproxy(program string, args []string) []string {
	base := strings.TrimSuffix(filepath.Base(program), ".exe")
	for _, name := range standsIn {
		if base == name {
			return append([]string{"toxiproxy"}, args...)
		}
	}
	return args
}

// address is where the API listens. A host may be written as in a URL, [::1].
func (f *toxiproxyFlags) address(ctx context.Context) (string, error) {
	if _, err := net.DefaultResolver.LookupPort(ctx, "tcp", f.port); err != nil {
		return "", badInput("0 picks a free one", "-port must be from 0 to 65535, not %q", f.port)
	}
	host := f.host
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	}
	return net.JoinHostPort(host, f.port), nil
}

func (a *app) toxiproxy(ctx context.Context, f *toxiproxyFlags) error {
	log, done := a.toxiproxyLog()
	defer done()
	token, err := a.token()
	if err != nil {
		return err
	}
	if f.api != "" {
		if err := httpapi.CheckBind(f.api, token); err != nil {
			return err
		}
	}
	addr, err := f.address(ctx)
	if err != nil {
		return err
	}
	ln, err := a.listenToxiproxy(ctx, addr, "error", "-host and -port")
	if err != nil {
		return err
	}
	g, err := openGround(ctx, engine.Config{
		Topology: emptyTopology(), StateDir: a.stateOrSystem(), Version: version(),
	}, func(edge string) {
		log.Warn("too many connections: nothing more is accepted until one ends; raise the limit of open files (ulimit -n)", "edge", edge)
	}, nil)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	for _, r := range g.engine.Recovered() {
		log.Info("recovered", "what", r)
	}
	for _, d := range g.engine.Debts() {
		log.Error("could not be rolled back", "what", d)
	}
	seed := uint64(time.Now().UnixNano())
	if f.seed.value != nil {
		seed = *f.seed.value
	}
	door, err := a.openDoor(ctx, g, log, doorFlags{
		onlyHost: onlyHost(ln, f.host), state: f.state, config: f.config, seed: seed, proxyMetrics: f.proxyMetrics, runtimeMetrics: f.runtimeMetrics,
	})
	if err != nil {
		return errors.Join(err, ln.Close(), g.close(ctx))
	}
	return a.runToxiproxy(ctx, ln, g, door, f, token, log)
}

// runToxiproxy answers until ctx ends or an API breaks.
func (a *app) runToxiproxy(ctx context.Context, ln net.Listener, g *ground, door *toxiproxy.Door, f *toxiproxyFlags, token string, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 2)
	parts := 1
	if f.api != "" {
		own, err := new(net.ListenConfig).Listen(ctx, "tcp", f.api)
		if err != nil {
			err = badInput("choose another address with -api", "the API cannot listen on %s: %s", f.api, cause(err))
			return errors.Join(err, ln.Close(), door.Close(ctx), g.close(ctx))
		}
		parts++
		go func() {
			served <- httpapi.Serve(ctx, own, httpapi.Config{
				Faults: g.engine, Runs: g.engine, Events: g.engine, Render: render, Token: token, Version: version(), Ended: g.engine.Ended, Log: log,
			})
		}()
		log.Info("the API of chaosctl listens", "address", own.Addr().String())
	}
	log.Info("the API listens", "address", ln.Addr().String(), "version", version().Chaosctl)
	go func() { served <- door.Serve(ctx, ln) }()
	var errs []error
	select {
	case <-ctx.Done():
		log.Info("told to stop")
	case err := <-served:
		parts--
		errs = append(errs, err)
	}
	stop()
	for range parts {
		errs = append(errs, <-served)
	}
	// What is kept over the restart is written before anything is lifted.
	errs = append(errs, door.Close(ctx), g.cut(ctx))
	return errors.Join(errs...)
}

// listenToxiproxy listens for the API, and warns of an address that others reach:
// the API has no protection.
func (a *app) listenToxiproxy(ctx context.Context, addr string, code experiment.Code, flags string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		hint := "choose another address with " + flags
		if errors.Is(err, syscall.EADDRINUSE) {
			hint = "is another Toxiproxy running there? " + hint
		}
		return nil, &experiment.Error{Code: code, Message: fmt.Sprintf("the Toxiproxy API cannot listen on %s: %s", addr, cause(err)), Hint: hint}
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		a.say("warning: the Toxiproxy API listens on %s without any protection: whoever reaches it can open ports and cut connections", ln.Addr())
	}
	return ln, nil
}

// onlyHost is the name that requests may be for: the given one where nobody but
// this machine reaches the API, else any, which is said by none.
func onlyHost(ln net.Listener, given string) string {
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return given
	}
	return ""
}

// doorFlags choose what the door is opened with.
type doorFlags struct {
	onlyHost, state, config      string
	seed                         uint64
	proxyMetrics, runtimeMetrics bool
}

// openDoor makes the door with the proxies of its state and of its config file.
func (a *app) openDoor(ctx context.Context, g *ground, log *slog.Logger, f doorFlags) (*toxiproxy.Door, error) {
	ctx = experiment.WithActor(ctx, engine.OwnerToxiproxy)
	door := toxiproxy.New(toxiproxy.Config{
		Edges: g.engine, Faults: g.engine, Watch: g.engine, Seed: f.seed, Version: version().Chaosctl, OnlyHost: f.onlyHost,
		ProxyMetrics: f.proxyMetrics, RuntimeMetrics: f.runtimeMetrics, State: f.state, Log: log,
	})
	notes, err := door.Restore(ctx)
	for _, n := range notes {
		a.say("note: %s", n)
	}
	if err == nil && f.config != "" {
		var n int
		if n, err = a.populate(ctx, door, f.config); err == nil {
			log.Info("proxies of the config file are there", "config", f.config, "proxies", n)
		}
	}
	if err != nil {
		return nil, errors.Join(err, door.Close(ctx))
	}
	return door, nil
}

func (a *app) populate(ctx context.Context, door *toxiproxy.Door, file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, badInput("name a file in JSON: [{\"name\": ..., \"listen\": ..., \"upstream\": ...}]", "-config: %s", err)
	}
	n, err := door.Populate(ctx, file, data)
	if err != nil {
		return n, badInput("mend the file; nothing was started", "-config: %s", err)
	}
	return n, nil
}

// emptyTopology is served where proxies are all there is.
func emptyTopology() *experiment.Topology {
	return &experiment.Topology{
		APIVersion: experiment.APIVersion, Kind: experiment.KindTopology, Metadata: experiment.Meta{Name: "toxiproxy"},
	}
}

// stateOrSystem is the folder for state; a container may have no home. A folder for
// temporary files will not do: what others put there would be believed.
func (a *app) stateOrSystem() string {
	dir, err := a.state()
	if err != nil {
		return filepath.FromSlash("/var/lib/chaosctl")
	}
	return dir
}
