// Command bench measures chaosctl, Toxiproxy, HAProxy, a bare io.Copy proxy and
// a direct connection side by side in one run, prints ratios, and writes
// RESULTS.md and results.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/bench/figure"
	"github.com/chaosctl/chaosctl/bench/machine"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A reader of ours that is gone must not leave files and processes behind.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	rounds   int
	only     string
	targets  string
	quick    bool
	chaosctl string
	out      string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 0, "how often each figure is taken of each peer (default 5, with -quick 2)")
	f.StringVar(&o.only, "only", "", "take these `figures` only, with commas: "+strings.Join(figureNames(), ","))
	f.StringVar(&o.targets, "targets", "", "measure these `peers` only, with commas: "+strings.Join(peer.Names(), ","))
	f.BoolVar(&o.quick, "quick", false, "measure for a third of the time: a look, no result")
	f.StringVar(&o.chaosctl, "chaosctl", "", "`path` of the chaosctl to measure (default: built from the repository)")
	f.StringVar(&o.out, "out", "", "`folder` for RESULTS.md and results.json (default: this one after a whole run, none after part of it)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: there are only flags", f.Arg(0))
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	if whole := o.only == "" && o.targets == "" && !o.quick; o.out == "" && whole {
		o.out = "."
	}
	if o.rounds < 0 {
		return o, fmt.Errorf("-rounds %d: want at least 1", o.rounds)
	}
	return o, nil
}

func figureNames() []string {
	var names []string
	for _, f := range figure.All() {
		names = append(names, f.Name)
	}
	return names
}

// chosen turns a list with commas into names, all of which must be known;
// empty means all.
func chosen(flagName, list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("-%s %s: no such name; there are %s", flagName, n, strings.Join(known, ", "))
		}
	}
	return names, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	figures, err := chosen("only", o.only, figureNames())
	if err != nil {
		return err
	}
	targets, err := chosen("targets", o.targets, peer.Names())
	if err != nil {
		return err
	}
	if files, err := machine.AllowFiles(); err != nil || files < 15_000 {
		return errors.Join(fmt.Errorf("%d descriptors are allowed: 5,000 connections need 15,000 (ulimit -n)", files), err)
	}
	// Loops poll on locked threads: enough processors in Go's sense that none
	// waits for another, and no collection in the middle of a measurement.
	runtime.GOMAXPROCS(8 + runtime.NumCPU())
	debug.SetGCPercent(-1)

	dir, err := os.MkdirTemp("", "chaosctl-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	peers, err := peer.All(ctx, dir, o.chaosctl, say)
	if err != nil {
		return err
	}
	peers = slices.DeleteFunc(peers, func(p *peer.Peer) bool { return !slices.Contains(targets, p.Name) })
	s := session{peers: peers, say: say, began: time.Now(), scale: 1}
	if o.quick {
		s.scale = 1.0 / 3
	}
	for _, f := range figure.All() {
		if slices.Contains(figures, f.Name) {
			s.figures = append(s.figures, f)
		}
	}
	results, err := s.run(ctx, o.rounds)
	if err != nil {
		return err
	}
	results.Text(os.Stdout)
	if o.out == "" {
		say("part of a run: RESULTS.md and results.json are left as they are")
		return nil
	}
	return save(results, o.out)
}

// save writes the two files.
func save(r *report.Run, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	write := func(name string, f func(io.Writer) error) error {
		var text strings.Builder
		if err := f(&text); err != nil {
			return err
		}
		return root.WriteFile(name, []byte(text.String()), 0o644)
	}
	return errors.Join(
		write("RESULTS.md", func(w io.Writer) error { r.Markdown(w); return nil }),
		write("results.json", r.JSON))
}
