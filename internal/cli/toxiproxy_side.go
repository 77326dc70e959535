package cli

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/compat/toxiproxy"
)

// sideDoor is Toxiproxy's API beside our own; a nil one is none.
type sideDoor struct {
	door   *toxiproxy.Door
	addr   net.Addr
	stop   context.CancelFunc
	failed chan error    // gets what broke it
	ended  chan struct{} // closed when it answers no more
}

// checkToxiproxy finds mistakes in the flags before anything is opened.
func checkToxiproxy(f *serveFlags, top *experiment.Topology) error {
	switch {
	case f.toxiproxy == "" && f.proxies != "":
		return badInput("add --toxiproxy 127.0.0.1:8474, or leave it out", "--state keeps what was made through Toxiproxy's API, which is not served")
	case f.toxiproxy != "" && top.Spec.Environment == "production":
		return refusal(experiment.Guarded, "serve it from a topology of another environment, or run `chaosctl toxiproxy` by itself",
			"--toxiproxy hurts without asking, and the topology's environment is production")
	}
	return nil
}

// openSide serves Toxiproxy's API if it is asked for.
func (a *app) openSide(ctx context.Context, g *ground, f *serveFlags) (*sideDoor, error) {
	if f.toxiproxy == "" {
		return nil, nil
	}
	ln, err := a.listenToxiproxy(ctx, f.toxiproxy, experiment.BadInput, "--toxiproxy")
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(a.env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	host, _, _ := net.SplitHostPort(f.toxiproxy) // it is good: we listen there
	door, err := a.openDoor(ctx, g, log, doorFlags{onlyHost: onlyHost(ln, host), state: f.proxies, seed: uint64(time.Now().UnixNano())})
	if err != nil {
		_ = ln.Close() // nothing was served on it
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &sideDoor{door: door, addr: ln.Addr(), stop: stop, failed: make(chan error, 1), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		if err := door.Serve(serving, ln); err != nil {
			s.failed <- err
		}
	}()
	return s, nil
}

// broken gets an error when the API ends by itself.
func (s *sideDoor) broken() <-chan error {
	if s == nil {
		return nil
	}
	return s.failed
}

// url is where the API is; empty if it is not served.
func (s *sideDoor) url() string {
	if s == nil {
		return ""
	}
	return "http://" + s.addr.String()
}

// close ends the API, and writes down what is kept over a restart.
func (s *sideDoor) close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.stop()
	<-s.ended
	return s.door.Close(ctx)
}
