// Command chaosctl finds out how an API fails before its users do.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/chaosctl/chaosctl/internal/cli"
)

func main() {
	log.SetOutput(cli.Quiet(os.Stderr))
	stop := []os.Signal{os.Interrupt, syscall.SIGTERM}
	// SIGQUIT by itself would exit with 2, which stands for bad input, and lift
	// nothing. What is ignored is so on purpose: nohup wants us to stay.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			stop = append(stop, s)
		}
	}
	// A reader of ours that is gone must not kill us with faults in force.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	stopped := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return signal.NotifyContext(ctx, stop...)
	}
	ctx, cancel := stopped(context.Background())
	defer cancel() // not before the exit: one more signal must not cut it short
	os.Exit(cli.Main(ctx, cli.Env{Program: os.Args[0], Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Hurry: stopped}))
}
