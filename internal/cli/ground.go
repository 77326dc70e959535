package cli

import (
	"context"
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/dns"
	"github.com/chaosctl/chaosctl/internal/driver/process"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// ground is an engine with everything it stands on.
type ground struct {
	relays *relay.Set
	engine *engine.Engine
	proxy  *proxyDoor
	// resolver is nil if the topology has none.
	resolver *dns.Resolver
}

// drivers are all that this build has, on the relays of set and a resolver. With
// nil ones they plan, and take out what is durable, but put nothing there in force.
func drivers(set *relay.Set, resolver *dns.Resolver) []driver.Driver {
	if set == nil {
		set = relay.NewSet(relay.Options{})
	}
	return []driver.Driver{driverrelay.New(set), process.New(), dns.New(resolver)}
}

// openGround opens the relays and the resolver of the topology and starts an engine on them,
// which first takes out what a killed process has left behind. c.Topology,
// StateDir and Version must be set. full, which may be nil, is told of relays that
// have no descriptors left. Without secure no relay speaks TLS. When it fails, nothing
// stays open.
func openGround(ctx context.Context, c engine.Config, full func(edge string), secure *certificates) (*ground, error) {
	if err := secure.prepare(&c.Topology.Spec); err != nil {
		return nil, err
	}
	set := relay.NewSet(relay.Options{Full: full, TLS: secure.failed})
	specs := relaySpecs(&c.Topology.Spec, secure)
	c.Topology, c.CalleeTLS, c.UsersTLS = withoutKeys(c.Topology), secure.service, secure.users
	if err := set.Open(ctx, specs...); err != nil {
		err = badInput("free that address, or give the edge another `listen`", "cannot %s", err)
		return nil, errors.Join(err, set.Shutdown(ctx))
	}
	resolver, err := openResolver(ctx, c.Topology.Spec.Resolver)
	if err != nil {
		return nil, errors.Join(err, set.Shutdown(ctx))
	}
	g := &ground{relays: set, resolver: resolver}
	c.Relays, c.Drivers, c.Resolver = set, drivers(set, resolver), resolverOf(resolver)
	if g.engine, err = engine.New(ctx, c); err != nil {
		return nil, errors.Join(err, g.closeResolver(), set.Shutdown(ctx))
	}
	if g.proxy, err = openProxy(ctx, c.Topology.Spec.Proxy, g.engine, secure.leaves()); err != nil {
		return nil, errors.Join(err, g.engine.Close(context.WithoutCancel(ctx)), g.closeResolver(), set.Shutdown(ctx))
	}
	return g, nil
}

// relaySpecs are the edges of a topology that have a relay.
func relaySpecs(t *experiment.TopologySpec, secure *certificates) []relay.Spec {
	var specs []relay.Spec
	for _, e := range t.Edges {
		if e.Listen == "" {
			continue
		}
		s := relay.Spec{From: e.From, To: e.To, Protocol: t.EdgeProtocol(e), Listen: e.Listen, WhenDown: string(e.WhenDown)}
		s.ClientFaults, s.Idle = e.ClientFaults, e.Idle.Std()
		s.SNI, s.TLS = e.SNI, secure.edge(t, e)
		for _, p := range t.Guard.Protect {
			if p.Service == e.To {
				s.Protect = append(s.Protect, fault.Match{Method: p.Method, Path: p.Path})
			}
		}
		for _, i := range t.Services[e.To].All() {
			if i.Address != "" {
				s.Upstreams = append(s.Upstreams, i.Address)
			}
		}
		specs = append(specs, s)
	}
	return specs
}

// lift aborts runs and lifts everything. The error has code CannotUndo when
// something is stuck.
func (g *ground) lift(ctx context.Context) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(g.engine.Close(end), g.proxy.close(), g.closeResolver())
}

// patience is how long connections through the relays may still end by
// themselves where nobody asked for more.
const patience = time.Second

// cut lifts everything and closes the relays without waiting for what is
// connected.
func (g *ground) cut(ctx context.Context) error {
	err := g.lift(ctx)
	now, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	_ = g.relays.Shutdown(now) // what had to be cut is no failure
	return err
}

// close lifts everything and closes the relays, with little patience for what
// is still connected.
func (g *ground) close(ctx context.Context) error {
	err := g.lift(ctx)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = g.relays.Shutdown(end) // what had to be cut is no failure
	return err
}
