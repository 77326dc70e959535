// Command chaosctl finds out how an API fails before its users do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/chaosctl/chaosctl/internal/cli"
)

func main() {
	stopped := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	}
	ctx, cancel := stopped(context.Background())
	code := cli.Main(ctx, cli.Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Hurry: stopped})
	cancel()
	os.Exit(code)
}
