package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// EdgeSpec is an edge that comes at run time, beside those of the topology.
type EdgeSpec struct {
	From, To string
	Protocol experiment.Protocol
	// Listen is where the caller is to call, host:port; port 0 picks one.
	Listen string
	// Upstreams are the callee's addresses, one or more; connections take turns.
	Upstreams []string
	// WhenDown is what a caller sees of a callee that cannot be reached: reset
	// (the default), close or refuse.
	WhenDown string
	// TLS is how the edge deals with TLS; nil passes bytes as they come.
	TLS *relay.TLS
	// Resolve finds the callee's addresses, for each connection anew; nil asks the
	// system.
	Resolve func(ctx context.Context, upstream string) ([]netip.AddrPort, error)
}

// guest is an edge that came at run time.
type guest struct {
	spec EdgeSpec
	hurt map[*injection]struct{} // what has a place on it
}

// OpenEdge opens an edge at run time and returns the address that it listens on.
// From then on it is an edge like those of the topology: it is in Status and
// Topology, and faults may be injected on it.
func (e *Engine) OpenEdge(ctx context.Context, s EdgeSpec) (listen string, err error) {
	name := fault.EdgeName(s.From, s.To)
	g := &guest{spec: s, hurt: map[*injection]struct{}{}}
	if err := e.admit(name, g); err != nil {
		return "", err
	}
	err = e.cfg.Relays.Open(ctx, relay.Spec{
		From: s.From, To: s.To, Protocol: s.Protocol, Listen: s.Listen, Upstreams: s.Upstreams, WhenDown: s.WhenDown,
		TLS: s.TLS, Resolve: s.Resolve,
	})
	if err != nil {
		e.dismiss(name)
		return "", err
	}
	edge, ok := e.cfg.Relays.Edge(name)
	if !ok {
		e.dismiss(name)
		return "", &experiment.Error{Code: experiment.Unavailable, Message: "chaosctl is shutting down"}
	}
	e.mu.Lock()
	g.spec.Listen = edge.Spec().Listen
	e.topology = nil
	e.mu.Unlock()
	e.events.publish(experiment.Event{Type: "edge-opened", Message: name + " on " + g.spec.Listen})
	return g.spec.Listen, nil
}

// admit enters a guest under its name, which must be free.
func (e *Engine) admit(name string, g *guest) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, taken := e.guests[name]
	for i := range e.spec.Edges {
		taken = taken || e.spec.Edges[i].From == g.spec.From && e.spec.Edges[i].To == g.spec.To
	}
	switch {
	case e.closed:
		return &experiment.Error{Code: experiment.Unavailable, Message: "chaosctl is shutting down"}
	case e.cfg.Relays == nil:
		return &experiment.Error{Code: experiment.Unsupported, Message: "this engine has no relays"}
	case taken:
		return &experiment.Error{Code: experiment.Conflict, Message: fmt.Sprintf("there is an edge %q already", name)}
	}
	e.guests[name] = g
	e.topology = nil
	return nil
}

// dismiss strikes a guest out and returns what hurts it.
func (e *Engine) dismiss(name string) (hurting []*injection, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, ok := e.guests[name]
	if !ok {
		return nil, false
	}
	for in := range g.hurt {
		if !slices.ContainsFunc(in.places, func(f fault.Fault) bool { return where(f) != name }) {
			hurting = append(hurting, in)
		}
	}
	delete(e.guests, name)
	e.topology = nil
	return hurting, true
}

// CloseEdge closes an edge that came at run time, with all that is in force on
// it alone, and cuts its connections: both ends see them closed. It does not
// wait for data.
func (e *Engine) CloseEdge(ctx context.Context, name string) error {
	hurting, ok := e.dismiss(name)
	if !ok {
		return &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no edge %q has been opened at run time", name)}
	}
	var errs []error
	for _, in := range hurting {
		if _, err := in.lift(ctx, experiment.Lifted); err != nil {
			errs = append(errs, err)
		}
	}
	now, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	if err := e.cfg.Relays.CloseEdge(now, name); err != nil && !errors.Is(err, context.Canceled) {
		errs = append(errs, fmt.Errorf("close %s: %w", name, err))
	}
	e.events.publish(experiment.Event{Type: "edge-closed", Message: name})
	return errors.Join(errs...)
}

// Carry gives a connection to an edge, as if it had been accepted there; it is the
// edge's from then on. False if there is no such edge.
func (e *Engine) Carry(edge string, c *net.TCPConn) bool {
	at, ok := e.cfg.Relays.Edge(edge)
	if ok {
		at.Take(c)
	}
	return ok
}

// Edges are all edges as they are served, without what is in force on them.
func (e *Engine) Edges() []experiment.EdgeStatus {
	if e.cfg.Relays == nil {
		return nil
	}
	return e.cfg.Relays.Status()
}

// guestsOf are the guests that an injection has a place on. It is called under mu.
func (e *Engine) guestsOf(in *injection) []*guest {
	if len(e.guests) == 0 {
		return nil
	}
	var all []*guest
	for i := range in.places {
		if at := in.places[i].At; at != nil && at.Relay != nil {
			if g, ok := e.guests[at.Relay.Name()]; ok {
				all = append(all, g)
			}
		}
	}
	return all
}

// served is the topology with the guests. It is called under mu, and is made
// anew only when somebody asks after a guest came or went.
func (e *Engine) served() *experiment.Topology {
	if len(e.guests) == 0 {
		return e.cfg.Topology
	}
	if e.topology != nil {
		return e.topology
	}
	t := *e.cfg.Topology
	t.Spec.Edges = slices.Clone(t.Spec.Edges)
	t.Spec.Services = maps.Clone(t.Spec.Services)
	if t.Spec.Services == nil {
		t.Spec.Services = map[string]experiment.Service{}
	}
	for _, name := range slices.Sorted(maps.Keys(e.guests)) {
		s := e.guests[name].spec
		edge := experiment.Edge{From: s.From, To: s.To, Listen: s.Listen, Protocol: s.Protocol}
		if s.TLS != nil && s.TLS.Certificate != nil {
			edge.TLS = &experiment.EdgeTLS{}
		}
		t.Spec.Edges = append(t.Spec.Edges, edge)
		if _, known := t.Spec.Services[s.To]; !known && s.To != experiment.Users {
			t.Spec.Services[s.To] = experiment.Service{Address: s.Upstreams[0], Protocol: s.Protocol}
		}
	}
	e.topology = &t
	return e.topology
}
