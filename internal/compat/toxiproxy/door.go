package toxiproxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/engine"
)

// Edges is what the door needs of the engine to open and close proxies.
type Edges interface {
	OpenEdge(ctx context.Context, s engine.EdgeSpec) (listen string, err error)
	CloseEdge(ctx context.Context, name string) error
	Edges() []experiment.EdgeStatus
}

// Faults is what the door needs of the engine to put toxics in force.
type Faults interface {
	Arm(ctx context.Context, f fault.Fault, seed uint64) (id string, err error)
	Replace(ctx context.Context, id string, f fault.Fault, seed uint64) error
	Lift(ctx context.Context, id string) (experiment.Injection, error)
	InForce(id string) bool
}

// Watch is how the door learns what others have lifted.
type Watch interface {
	Halts() uint64
	Subscribe(ctx context.Context, after uint64) <-chan experiment.Event
}

// Config is what a door stands on. Edges, Faults and Watch are required; an
// engine is all three.
type Config struct {
	Edges  Edges
	Faults Faults
	Watch  Watch
	// Seed of all draws.
	Seed uint64
	// Version of chaosctl, shown in a header beside the API's.
	Version string
	// OnlyHost is a name that requests may be for, beside addresses and names that
	// nobody has in the public DNS; any name will do if it is empty. It keeps web
	// pages away from an API on loopback.
	OnlyHost string
	// ProxyMetrics and RuntimeMetrics choose what /metrics shows; without either
	// there is no such route.
	ProxyMetrics, RuntimeMetrics bool
	// State is the file that proxies and toxics are kept in; none if empty.
	State string
	// Log takes what happens; nil drops it.
	Log *slog.Logger
}

// Door is the API with its proxies.
type Door struct {
	cfg     Config
	log     *slog.Logger
	table   map[string]map[string]named
	metrics *metrics // nil without
	saver   *saver   // nil without a state file; set before anything is served
	armings atomic.Uint64
	limits  limits

	mu    sync.Mutex // held for looking up and entering, never for anything that waits
	slots map[string]*slot
}

// slot is the place of a proxy, by its name. Whoever changes the proxy holds mu;
// whoever reads it does not.
type slot struct {
	mu   sync.Mutex
	now  atomic.Pointer[proxy] // nil if there is none
	refs int                   // who holds mu or waits for it; under Door.mu
}

// New makes a door without proxies.
func New(c Config) *Door {
	d := &Door{cfg: c, log: c.Log, slots: map[string]*slot{}, limits: usualLimits}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.table = d.routes()
	if c.ProxyMetrics || c.RuntimeMetrics {
		d.metrics = newMetrics(c)
	}
	return d
}

// acquire takes the slot of a name for a change; release gives it back.
func (d *Door) acquire(name string) *slot {
	d.mu.Lock()
	s, ok := d.slots[name]
	if !ok {
		s = &slot{}
		d.slots[name] = s
	}
	s.refs++
	d.mu.Unlock()
	s.mu.Lock()
	return s
}

func (d *Door) release(name string, s *slot) {
	s.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.refs--; s.refs == 0 && s.now.Load() == nil {
		delete(d.slots, name)
	}
}

// show makes a proxy, which may be nil for none, what a slot holds. From then on it
// does not change.
func (d *Door) show(s *slot, p *proxy) {
	if p == s.now.Load() {
		return
	}
	if p != nil {
		p.write()
	}
	s.now.Store(p)
	if d.saver != nil {
		d.saver.touch()
	}
}

// stale tells whether others have lifted something of a proxy.
func (d *Door) stale(p *proxy) bool {
	if len(p.toxics) == 0 {
		return false
	}
	return p.halts != d.cfg.Watch.Halts() || slices.ContainsFunc(p.toxics, d.lost)
}

// lost tells whether others have lifted a toxic.
func (d *Door) lost(x *toxic) bool { return x.injection != "" && !d.cfg.Faults.InForce(x.injection) }

// fresh is the proxy of a slot that is held, without what others have lifted; nil
// if there is none.
func (d *Door) fresh(ctx context.Context, s *slot) *proxy {
	p := s.now.Load()
	if p == nil || !d.stale(p) {
		return p
	}
	left := slices.DeleteFunc(slices.Clone(p.toxics), d.lost)
	halts := d.cfg.Watch.Halts()
	if p.halts != halts { // a halt lifts all there are, those of disabled proxies, too
		_ = d.lift(ctx, left)
		left = nil
	}
	p = p.with(left)
	p.halts = halts
	d.show(s, p)
	return p
}

// get is a proxy as it is now.
func (d *Door) get(ctx context.Context, name string) (*proxy, error) {
	d.mu.Lock()
	s, ok := d.slots[name]
	d.mu.Unlock()
	if !ok {
		return nil, errProxyNotFound
	}
	p := s.now.Load()
	if p != nil && d.stale(p) {
		s = d.acquire(name)
		p = d.fresh(ctx, s)
		d.release(name, s)
	}
	if p == nil {
		return nil, errProxyNotFound
	}
	return p, nil
}

// names are those of all slots, sorted; some may be without a proxy.
func (d *Door) names() []string {
	d.mu.Lock()
	all := slices.Collect(maps.Keys(d.slots))
	d.mu.Unlock()
	slices.Sort(all)
	return all
}

// all are the proxies as they are now, by name.
func (d *Door) all(ctx context.Context) []*proxy {
	names := d.names()
	all := make([]*proxy, 0, len(names))
	for _, name := range names {
		if p, err := d.get(ctx, name); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// start opens the edge of a proxy and puts its toxics in force; when it fails,
// nothing is open. The proxy must not be shown yet.
func (d *Door) start(ctx context.Context, p *proxy) error {
	p.halts = d.cfg.Watch.Halts()
	whenDown := p.whenDown
	if whenDown == "" {
		whenDown = "close"
	}
	listen, err := d.cfg.Edges.OpenEdge(ctx, engine.EdgeSpec{
		From: caller, To: p.name, Protocol: experiment.TCP, Listen: p.listen, Upstreams: p.addresses(), WhenDown: whenDown,
	})
	if err != nil {
		return err
	}
	armed := make([]*toxic, 0, len(p.toxics))
	for _, x := range p.toxics {
		on := *x
		if on.injection, err = d.arm(ctx, p.name, &on); err != nil {
			return errors.Join(err, d.cfg.Edges.CloseEdge(ctx, fault.EdgeName(caller, p.name)))
		}
		armed = append(armed, &on)
	}
	p.listen, p.toxics, p.enabled = listen, armed, true
	d.tell(ctx, "proxy started", p)
	return nil
}

// tell logs what became of a proxy.
func (d *Door) tell(ctx context.Context, what string, p *proxy) {
	d.log.LogAttrs(ctx, slog.LevelInfo, what, slog.String("name", p.name), slog.String("listen", p.listen), slog.String("upstream", p.upstream))
}

// stopped closes the edge of a proxy and returns it as it is then; its toxics
// stay, and are in force again when it is started.
func (d *Door) stopped(ctx context.Context, p *proxy) *proxy {
	off := make([]*toxic, len(p.toxics))
	for i, x := range p.toxics {
		copied := *x
		copied.injection = ""
		off[i] = &copied
	}
	if p.enabled {
		if err := d.cfg.Edges.CloseEdge(ctx, fault.EdgeName(caller, p.name)); err != nil {
			d.log.ErrorContext(ctx, "closing a proxy", "name", p.name, "error", err.Error())
		}
		d.tell(ctx, "proxy stopped", p)
	}
	fresh := p.with(off)
	fresh.enabled = false
	return fresh
}

// arm puts a toxic in force, unless it is for nobody.
func (d *Door) arm(ctx context.Context, proxy string, x *toxic) (injection string, err error) {
	if x.toxicity == 0 {
		return "", nil
	}
	return d.cfg.Faults.Arm(ctx, x.fault(proxy), d.seed(proxy, x))
}

// seed is another for every arming, so that who is hit is drawn anew. Armings are
// numbered in the order of requests; what is made side by side has its numbers
// before.
func (d *Door) seed(proxy string, x *toxic) uint64 {
	n := x.number
	if x.number = 0; n == 0 {
		n = d.armings.Add(1)
	}
	return fault.Hash(d.cfg.Seed, proxy, x.name, strconv.FormatUint(n, 10)) >> 12 // fits a JavaScript number
}

// lift takes toxics out.
func (d *Door) lift(ctx context.Context, list []*toxic) error {
	var errs []error
	for _, x := range list {
		if x.injection == "" {
			continue
		}
		if _, err := d.cfg.Faults.Lift(ctx, x.injection); err != nil && d.cfg.Faults.InForce(x.injection) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
