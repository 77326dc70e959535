// Package engine is the only thing that lets a driver act on a fault.
//
// It resolves faults through the topology, guards what may be hurt, puts faults
// in force under leases, takes them out again whatever happens, recovers what a
// killed process left behind, and executes experiments stage by stage. Every
// front door says the same words to it; every result is data of package
// experiment.
package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// Relays are the edges that carry traffic; *relay.Set is one.
type Relays interface {
	Open(ctx context.Context, specs ...relay.Spec) error
	CloseEdge(ctx context.Context, name string) error
	Edge(name string) (*relay.Edge, bool)
	Status() []experiment.EdgeStatus
	// Listen has to be told of each exchange as it ends; see relay.Set.
	Listen(to func(*experiment.Exchange))
}

// Resolver is the topology's DNS resolver.
type Resolver interface {
	Status() experiment.ResolverStatus
}

// Config is what an engine needs of the world.
type Config struct {
	// Topology that is served.
	Topology *experiment.Topology
	// Drivers that may act; the placement and the kind pick one.
	Drivers []driver.Driver
	// Relays of the topology's edges, open already.
	Relays Relays
	// Resolver of the topology, open already; nil if it has none.
	Resolver Resolver
	// CalleeTLS is how traffic of runs calls a service that is called by TLS; nil, or a
	// nil result, is plain.
	CalleeTLS func(service string) *tls.Config
	// UsersTLS is how traffic of runs calls a relay that answers it by TLS.
	UsersTLS func(edge experiment.Edge) *tls.Config
	// StateDir holds journals/, runs/ and audit.log.
	StateDir string
	// Version is recorded with every run.
	Version experiment.Version
	// Env looks up ${env:NAME} references of traffic; nil refuses them.
	Env func(string) (string, bool)
	// AllowCommands permits command probes.
	AllowCommands bool

	// checkpoint is called between the steps of a durable change; tests kill the
	// process there.
	checkpoint func(at string)
}

// Time limits of single steps; a driver that hangs is given up after them.
const (
	applyTimeout  = 15 * time.Second
	revertTimeout = 15 * time.Second
	minLease      = 100 * time.Millisecond
	keepEnded     = 1000 // injections that are over and still remembered
)

// Engine holds the faults in force and the runs of one process.
type Engine struct {
	cfg     Config
	spec    *experiment.TopologySpec
	since   time.Time
	book    *book
	audit   *audit
	events  *events
	ctx     context.Context // ends with Close; runs and leases hang on it
	stop    context.CancelFunc
	waiting sync.WaitGroup // runs and lease timers

	recovered []string
	debts     []string
	halts     atomic.Uint64

	mu         sync.Mutex
	closed     bool
	injections map[string]*injection
	guests     map[string]*guest
	topology   *experiment.Topology // with the guests; nil when it has to be made
	ended      []experiment.Injection
	run        *run            // under way, at most one
	runs       map[string]*run // of this process
	order      []string        // of runs
}

// New makes an engine. Before anything else it reverts what processes that were
// killed have left in force; Recovered and Status tell what it found.
func New(ctx context.Context, c Config) (*Engine, error) {
	if c.checkpoint == nil {
		c.checkpoint = func(string) {}
	}
	e := &Engine{
		cfg: c, spec: &c.Topology.Spec, since: time.Now(),
		book:       &book{dir: journalDir(c.StateDir)},
		audit:      &audit{path: auditPath(c.StateDir)},
		events:     newEvents(),
		injections: map[string]*injection{}, runs: map[string]*run{},
		guests: map[string]*guest{},
	}
	e.ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	swept, err := Sweep(experiment.WithActor(ctx, "start"), c.StateDir, c.Drivers)
	if err != nil {
		return nil, fmt.Errorf("recover what was left behind: %w", err)
	}
	e.recovered, e.debts = swept.Reverted, swept.Stuck
	for _, what := range swept.Reverted {
		e.events.publish(experiment.Event{Type: "recovered", Message: what})
	}
	return e, nil
}

// Recovered says, in words, what New has reverted.
func (e *Engine) Recovered() []string { return slices.Clone(e.recovered) }

// Debts says, in words, what New could not revert.
func (e *Engine) Debts() []string { return slices.Clone(e.debts) }

// Topology is the one that is served, with the edges that have come at run time.
// It must not be changed.
func (e *Engine) Topology() *experiment.Topology {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.served()
}

// Ended lists the injections that are over and still remembered, oldest first.
func (e *Engine) Ended() []experiment.Injection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ended)
}

// Subscribe streams events after a sequence number until ctx or the engine
// ends; then the channel is closed. A reader that is too slow loses events,
// which it sees as a gap in the numbers.
func (e *Engine) Subscribe(ctx context.Context, after uint64) <-chan experiment.Event {
	return e.events.subscribe(ctx, after)
}

// Status is everything in force.
func (e *Engine) Status(ctx context.Context) experiment.Status {
	s := experiment.Status{
		Topology: e.cfg.Topology.Metadata.Name, Environment: e.spec.Environment,
		Version: e.cfg.Version.Chaosctl, Since: e.since, Now: time.Now(), Debts: slices.Clone(e.debts),
		Injections: []experiment.Injection{}, Edges: []experiment.EdgeStatus{},
	}
	e.mu.Lock()
	live := slices.Collect(maps.Values(e.injections))
	if e.run != nil {
		s.Runs = append(s.Runs, e.run.summary())
	}
	e.mu.Unlock()
	faults := map[string][]string{}
	for _, in := range live {
		snap := in.snapshot(ctx)
		if len(snap.Armed) == 0 {
			continue // still being planned
		}
		s.Injections = append(s.Injections, snap)
		for _, a := range snap.Armed {
			if !slices.Contains(faults[a.Where], snap.ID) {
				faults[a.Where] = append(faults[a.Where], snap.ID)
			}
		}
	}
	slices.SortFunc(s.Injections, func(a, b experiment.Injection) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if e.cfg.Relays != nil {
		s.Edges = append(s.Edges, e.cfg.Relays.Status()...)
	}
	for i := range s.Edges {
		s.Edges[i].Faults = faults[s.Edges[i].Name]
		slices.Sort(s.Edges[i].Faults)
	}
	if e.cfg.Resolver != nil {
		r := e.cfg.Resolver.Status()
		at := fault.Placed{Resolver: &fault.Resolver{Listen: e.spec.Resolver.Listen}}
		r.Faults = faults[at.String()]
		slices.Sort(r.Faults)
		s.Resolver = &r
	}
	return s
}

// Close aborts the run, lifts everything and returns when all is quiet. The
// error is an *experiment.Error with code CannotUndo when something stays in
// force.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	result := e.halt(experiment.WithActor(context.WithoutCancel(ctx), "shutdown"), "chaosctl shuts down")
	e.stop()
	e.waiting.Wait()
	e.events.close()
	var err error
	if len(result.Stuck) > 0 {
		err = stuckError(result.Stuck)
	} else if cerr := e.book.close(); cerr != nil {
		err = fmt.Errorf("close the journal: %w", cerr)
	}
	return errors.Join(err, e.audit.close())
}

func stuckError(what []string) error {
	return &experiment.Error{
		Code:    experiment.CannotUndo,
		Message: "could not roll back: " + strings.Join(what, "; "),
		Hint:    "mend the cause, then run `chaosctl sweep`, or lift it again",
	}
}

// driverFor finds the driver of a placed fault.
func (e *Engine) driverFor(f fault.Fault) (driver.Driver, error) {
	return pick(e.cfg.Drivers, f)
}

func pick(drivers []driver.Driver, f fault.Fault) (driver.Driver, error) {
	for _, d := range drivers {
		target, kinds := d.Serves()
		if target != f.At.Target() {
			continue
		}
		for _, k := range kinds {
			if k.Name == f.Kind {
				return d, nil
			}
		}
	}
	return nil, &experiment.Error{
		Code:    experiment.Unsupported,
		Message: fmt.Sprintf("%s cannot act on %s here", f.Kind, f.At),
		Hint:    "`chaosctl explain " + f.Kind + "` names the grounds it acts on",
	}
}

func byName(drivers []driver.Driver, name string) (driver.Driver, bool) {
	i := slices.IndexFunc(drivers, func(d driver.Driver) bool { return d.Name() == name })
	if i < 0 {
		return nil, false
	}
	return drivers[i], true
}
