package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// errFull says that no more edges are made.
var errFull = errors.New("too many hosts")

type edgeKey struct {
	host
	intercepted bool
}

// edge is one that the door has made.
type edge struct {
	ready  chan struct{} // closed once it is open, or has failed
	name   string        // of the edge
	listen string
	err    error
}

// edge returns the edge of a host; the first call makes it.
func (d *Door) edge(ctx context.Context, k edgeKey) (*edge, error) {
	d.mu.Lock()
	e, ok := d.edges[k]
	if !ok {
		if len(d.edges) >= d.cfg.MaxHosts {
			d.mu.Unlock()
			return nil, fmt.Errorf("%w: there are edges to %d hosts already, which is the limit (maxHosts)", errFull, d.cfg.MaxHosts)
		}
		e = &edge{ready: make(chan struct{})}
		d.edges[k] = e
		service := d.service(k.host)
		d.mu.Unlock()
		d.open(context.WithoutCancel(ctx), k, e, service)
		return e, e.err
	}
	d.mu.Unlock()
	select {
	case <-e.ready:
		return e, e.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// service names what is called: after its host; if that is called by several
// ports, after host and port, but for the first. It is called under mu.
func (d *Door) service(h host) string {
	return experiment.DependencyName(h.name, strconv.Itoa(int(h.port)), d.names)
}

// open opens the edge. One that cannot be opened is forgotten, so that the next
// call tries again.
func (d *Door) open(ctx context.Context, k edgeKey, e *edge, service string) {
	defer close(e.ready)
	s := engine.EdgeSpec{
		From: d.cfg.From, To: service, Protocol: experiment.Auto, Listen: "127.0.0.1:0",
		Upstreams: []string{k.String()}, Resolve: d.resolve,
	}
	if k.intercepted {
		s.Protocol = experiment.HTTP
		s.TLS = &relay.TLS{Certificate: d.cfg.Leaf, Upstream: &tls.Config{ServerName: k.name, RootCAs: d.cfg.Roots, MinVersion: tls.VersionTLS12}}
	}
	e.name = fault.EdgeName(s.From, s.To)
	e.listen, e.err = d.cfg.Edges.OpenEdge(ctx, s)
	if e.err != nil {
		d.mu.Lock()
		delete(d.edges, k)
		delete(d.names, service)
		d.mu.Unlock()
		return
	}
	d.cfg.Log.Info("edge made", "edge", e.name, "host", k.String(), "intercepted", k.intercepted)
}
