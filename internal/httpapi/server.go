// Package httpapi is our API: one table of routes in front of the engine,
// OpenAPI 3.1 derived from it, and the guards that keep strangers out.
//
// Handlers decode, call and encode; every decision is the engine's. Every
// refusal has one shape, application/problem+json with the members of
// experiment.Error. Serve runs it on a listener and ends with its context;
// CheckBind says beforehand whether an address may be served without a token.
//
// What is refused before any handler runs: requests with a Host that is not
// ours (DNS rebinding), requests that a page of another site caused (Origin,
// Sec-Fetch-Site), requests without the token if there is one, bodies that are
// too large or not JSON. Without a token only connections over loopback are
// answered, whatever the listener is bound to.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chaosctl/chaosctl/experiment"
)

// Faults is what the API needs of the engine to hurt and to heal.
type Faults interface {
	Status(ctx context.Context) experiment.Status
	Topology() *experiment.Topology
	Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error)
	Lift(ctx context.Context, id string) (experiment.Injection, error)
	Halt(ctx context.Context, why string) (experiment.HaltResult, error)
	Connections
}

// Runs is what the API needs of the engine to run experiments.
type Runs interface {
	Plan(ctx context.Context, r experiment.RunRequest) (experiment.Plan, error)
	StartRun(ctx context.Context, r experiment.RunRequest) (experiment.RunSummary, error)
	// Run is the record, also while it runs.
	Run(id string) (*experiment.Run, error)
	Runs() []experiment.RunSummary
	AbortRun(ctx context.Context, id, why string) error
	// KeepAlive: the client of a run is still there.
	KeepAlive(id string) error
	Ledgers
}

// Events streams what happens. The channel is closed when ctx ends or the
// server shuts down.
type Events interface {
	Subscribe(ctx context.Context, after uint64) <-chan experiment.Event
}

// Config is what the API stands on. Faults, Runs, Events and Render are
// required.
type Config struct {
	Faults Faults
	Runs   Runs
	Events Events
	// Render writes a run as html, junit, markdown, json or text.
	Render func(format string, w io.Writer, r *experiment.Run) error
	// Ended lists injections that are over and still remembered; with it the
	// metrics count what they did since the last scrape, too. May be nil.
	Ended func() []experiment.Injection
	// Token that every request but those for health must bear; empty demands
	// that client and server are on the loopback interface.
	Token string
	// Hosts are further values of the Host header that are answered, each a name
	// or name:port. Loopback names and the address that was dialled always are.
	Hosts []string
	// Actor stands in the audit log where a request names nobody; "api" if empty.
	Actor string
	// Version is shown in the metrics.
	Version experiment.Version
	// Log takes what goes wrong inside; nil drops it. It is never given tokens,
	// headers, bodies or queries.
	Log *slog.Logger
}

// Limits of the server.
const (
	maxHeader     = 32 << 10
	maxBody       = 1 << 20
	maxDocuments  = 4 << 20 // an experiment and a topology, escaped as JSON
	maxStreams    = 128
	headerTimeout = 5 * time.Second
	bodyTimeout   = 15 * time.Second
	answerTimeout = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	streamWrite   = 10 * time.Second
	pingEvery     = 15 * time.Second
	graceTime     = 10 * time.Second
)

type server struct {
	cfg      Config
	log      *slog.Logger
	mux      *http.ServeMux
	table    []route
	document []byte // OpenAPI, JSON
	yaml     []byte
	metrics  *prometheus.Registry
	streams  chan struct{} // a slot for each open stream of events
	ledgers  chan struct{} // a slot for each ledger that is read
	closing  chan struct{}
	close    sync.Once
	bodyTime time.Duration // for a body to arrive; tests shorten it
}

// New returns the API as a handler. Streams of events end with their request's
// context or when the engine closes them; Serve also ends them by itself.
func New(c Config) http.Handler { return newServer(c) }

func newServer(c Config) *server {
	s := &server{
		cfg: c, log: c.Log, mux: http.NewServeMux(),
		streams: make(chan struct{}, maxStreams), ledgers: make(chan struct{}, maxLedgers), closing: make(chan struct{}), bodyTime: bodyTimeout,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.metrics = newMetrics(c)
	s.table = s.routes()
	s.mount()
	return s
}

// endStreams makes every stream of events end.
func (s *server) endStreams() { s.close.Do(func() { close(s.closing) }) }

// Serve answers requests on ln until ctx ends; then it ends the streams, lets
// the requests under way finish for up to 10 s and returns nil, or an error if
// some had to be cut off. It closes ln in every case. Off loopback it refuses
// to start without a token.
func Serve(ctx context.Context, ln net.Listener, c Config) error {
	if err := checkListener(ln.Addr(), c.Token); err != nil {
		return errors.Join(err, ln.Close())
	}
	s := newServer(c)
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	srv.RegisterOnShutdown(s.endStreams)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		s.endStreams()
		return errors.Join(fmt.Errorf("serve the API: %w", err), srv.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("drain the API: %w", err), srv.Close())
	}
	<-served
	return err
}
