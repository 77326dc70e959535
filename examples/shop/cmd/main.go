// Command cmd runs the example shop on the ports of examples/shop/topology.yaml
// until it is interrupted:
//
//	go run ./examples/shop/cmd             # callers dial the relays: start chaosctl serve as well
//	go run ./examples/shop/cmd -direct     # callers dial each other
//	go run ./examples/shop/cmd -help       # the shop's weaknesses
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

	"github.com/chaosctl/chaosctl/examples/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	cfg := shop.Fixed()
	fs := flag.NewFlagSet("shop", flag.ContinueOnError)
	fs.SetOutput(errs)
	direct := fs.Bool("direct", false, "call the services themselves, not the relays")
	free := fs.Bool("free", false, "listen on free ports instead of the fixed ones; implies -direct")
	cfg.Options.Flags(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *free {
		cfg.Listen = nil
	}
	if *direct || *free {
		cfg.Routes = nil
	}
	s, err := shop.Start(ctx, cfg)
	if err != nil {
		fmt.Fprintln(errs, "shop:", err)
		return 1
	}
	for _, name := range shop.Services() {
		fmt.Fprintf(out, "%-16s %s\n", name, s.Addresses()[name])
	}
	fmt.Fprintf(out, "ready: %s/checkout\n", s.URL())
	<-ctx.Done()
	if err := s.Close(); err != nil {
		fmt.Fprintln(errs, "shop:", err)
		return 1
	}
	return 0
}
