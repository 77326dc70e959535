package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/forward"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// leafMaker makes certificates for callers whose TLS we answer.
type leafMaker = func(hello *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error)

// proxyDoor is the forward proxy of a topology; a nil one is none.
type proxyDoor struct {
	addr  string
	stop  context.CancelFunc
	ended chan error
}

// openProxy serves the topology's forward proxy, if it has one.
func openProxy(ctx context.Context, p *experiment.Proxy, e *engine.Engine, leaf leafMaker) (*proxyDoor, error) {
	if p == nil {
		return nil, nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", p.Listen)
	if err != nil {
		return nil, badInput("free that address, or give the topology's proxy another `listen`", "the forward proxy cannot listen on %s: %s", p.Listen, cause(err))
	}
	c := forward.Config{Edges: e, From: p.From, Hosts: p.Hosts, Intercept: p.Intercept, MaxHosts: p.MaxHosts, Leaf: leaf}
	if c.Roots, err = rootsOf(p.CA); err != nil {
		return nil, errors.Join(badInput("", "proxy.ca: %s", err), ln.Close())
	}
	door, err := forward.New(ctx, ln.(*net.TCPListener), c)
	if err != nil {
		return nil, fmt.Errorf("open the forward proxy: %w", err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	d := &proxyDoor{addr: ln.Addr().String(), stop: stop, ended: make(chan error, 1)}
	go func() { d.ended <- door.Serve(serving) }()
	return d, nil
}

// url is where it answers; empty if there is none.
func (d *proxyDoor) url() string {
	if d == nil {
		return ""
	}
	return "http://" + d.addr
}

// close ends it; the connections that it gave to edges go on.
func (d *proxyDoor) close() error {
	if d == nil {
		return nil
	}
	d.stop()
	err := <-d.ended
	d.ended <- nil // for another call
	return err
}
