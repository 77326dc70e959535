// Command cmd runs one of the flawed systems on the ports of its experiment until
// it is interrupted:
//
//	go run ./examples/flawed/cmd -flaw retries-without-delay         # as it should not be
//	go run ./examples/flawed/cmd -flaw retries-without-delay -fixed  # as it should
//	go run ./examples/flawed/cmd                                     # all flaws
//
// and in another terminal
//
//	chaosctl run examples/flawed/retries-without-delay.yaml
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/chaosctl/chaosctl/examples/flawed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	o := flawed.Options{}
	fs := flag.NewFlagSet("flawed", flag.ContinueOnError)
	fs.SetOutput(errs)
	name := fs.String("flaw", "", "the flaw; without it all are listed")
	ids := fs.String("ids", string(flawed.Trace), "what services pass on: trace or none")
	free := fs.Bool("free", false, "listen on free ports and call each other, without relays")
	fs.BoolVar(&o.Fixed, "fixed", false, "start the version in which nothing is wrong")
	fs.Uint64Var(&o.Seed, "seed", 1, "of all that is random")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *name == "" {
		for _, c := range flawed.Cases() {
			fmt.Fprintf(out, "%-26s %s\n%-26s fixed: %s\n", c.Name, c.Flawed, "", c.Fixed)
		}
		return 0
	}
	c, err := flawed.Find(*name)
	if err != nil {
		fmt.Fprintln(errs, "flawed:", err)
		return 2
	}
	o.IDs = flawed.IDs(*ids)
	if !*free {
		o.Addresses = c.Ports()
	}
	s, err := flawed.Start(ctx, c, o)
	if err != nil {
		fmt.Fprintln(errs, "flawed:", err)
		return 1
	}
	for _, service := range c.Services {
		fmt.Fprintf(out, "%-10s %s\n", service, s.Addresses()[service])
	}
	fmt.Fprintf(out, "ready: chaosctl run examples/flawed/%s.yaml\n", c.Name)
	<-ctx.Done()
	if err := s.Close(); err != nil {
		fmt.Fprintln(errs, "flawed:", err)
		return 1
	}
	return 0
}
