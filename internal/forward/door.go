package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// Edges is what the door needs of the engine.
type Edges interface {
	// OpenEdge opens an edge and returns the address that it listens on.
	OpenEdge(ctx context.Context, s engine.EdgeSpec) (listen string, err error)
	// Carry gives a connection to an edge as if it had been accepted there; it is
	// the edge's from then on. False if there is no such edge any more.
	Carry(edge string, c *net.TCPConn) bool
}

// Config is what a door is made of.
type Config struct {
	Edges Edges
	// From is the service that calls through the proxy.
	From string
	// Hosts have their edges from the start: names with a port, 443 by default.
	Hosts []string
	// Intercept are hosts whose TLS is answered with Leaf: patterns (*.example.com,
	// *), with a port or for 443 and 8443.
	Intercept []string
	// MaxHosts bounds the edges; 100 by default.
	MaxHosts int
	// Leaf makes certificates for Intercept; nil intercepts nothing.
	Leaf func(hello *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error)
	// Roots verify the hosts that are intercepted; the system's if nil.
	Roots *x509.CertPool
	// LookUp finds the addresses of a name; the system's resolver if nil.
	LookUp func(ctx context.Context, name string) ([]netip.Addr, error)
	// Log is told of edges that are made, and of what is refused.
	Log *slog.Logger
}

// DefaultMaxHosts is how many edges a door makes at most unless told otherwise.
const DefaultMaxHosts = 100

// Times that a caller has.
const (
	headTime  = 30 * time.Second // for what it asks
	graceTime = 2 * time.Second  // for answers under way when the door closes
)

// Door is a forward proxy.
type Door struct {
	cfg    Config
	ln     *net.TCPListener
	own    netip.AddrPort
	lookUp func(ctx context.Context, name string) ([]netip.Addr, error)

	mu    sync.Mutex
	edges map[edgeKey]*edge
	names map[string]bool // of edges that are taken

	http *http.Transport
}

// New makes a door that will answer on ln, which must be on loopback, and opens the
// edges of its hosts. When it fails, ln is closed.
func New(ctx context.Context, ln *net.TCPListener, c Config) (door *Door, err error) {
	defer func() {
		if err != nil {
			ln.Close()
		}
	}()
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	if !at.Addr().Unmap().IsLoopback() {
		return nil, &experiment.Error{Code: experiment.Guarded, Message: fmt.Sprintf("the forward proxy may listen on loopback only, not on %s", at), Hint: "for example 127.0.0.1:3128"}
	}
	if c.MaxHosts <= 0 {
		c.MaxHosts = DefaultMaxHosts
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{cfg: c, ln: ln, own: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), lookUp: c.LookUp, edges: map[edgeKey]*edge{}, names: map[string]bool{}}
	if d.lookUp == nil {
		d.lookUp = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	d.http = d.transport()
	for _, s := range c.Hosts {
		h, err := parseHost(s, 443)
		if a, no := netip.ParseAddr(h.name); err == nil && no == nil {
			err = permitted(a)
		}
		if err == nil {
			_, err = d.edge(ctx, edgeKey{h, d.intercepts(h)})
		}
		if err != nil {
			return nil, fmt.Errorf("open the edge of host %s: %w", clip(s), err)
		}
	}
	return d, nil
}

// Serve answers until ctx ends; it returns when all is quiet but the edges, which
// stay.
func (d *Door) Serve(ctx context.Context) error {
	ln := d.ln
	f := &feeder{addr: ln.Addr(), conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{
		Handler: d, ReadHeaderTimeout: headTime, IdleTimeout: time.Minute,
		ErrorLog:    slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(f) }()
	greeting, stop := context.WithCancel(ctx)
	var greeters sync.WaitGroup
	accepting := make(chan error, 1)
	go func() { accepting <- d.accept(greeting, ln, f, &greeters) }()
	var err error
	select {
	case <-ctx.Done():
		ln.Close()
		<-accepting
	case err = <-accepting:
	}
	stop()
	greeters.Wait()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		srv.Close()
	}
	<-served
	d.http.CloseIdleConnections()
	return err
}

// accept greets connections until ln is closed.
func (d *Door) accept(ctx context.Context, ln *net.TCPListener, f *feeder, greeters *sync.WaitGroup) error {
	backoff := time.Duration(0)
	for {
		c, err := ln.AcceptTCP()
		switch {
		case err == nil:
			backoff = 0
			greeters.Go(func() { d.greet(ctx, c, f) })
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		default: // no descriptors: later there may be some
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			t := time.NewTimer(backoff)
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
	}
}

// greet tells SOCKS from HTTP by the first byte.
func (d *Door) greet(ctx context.Context, c *net.TCPConn, f *feeder) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	c.SetDeadline(time.Now().Add(headTime))
	var first [1]byte
	if _, err := c.Read(first[:]); err != nil {
		stop()
		c.Close()
		return
	}
	if first[0] == socksVersion {
		d.socks(ctx, c, stop)
		return
	}
	stop()
	c.SetDeadline(time.Time{})
	select {
	case f.conns <- &peeked{TCPConn: c, first: first[:]}:
	case <-f.done:
		c.Close()
	}
}

type connKey struct{}

// peeked is a connection of which the first byte was read.
type peeked struct {
	*net.TCPConn
	first []byte
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) > 0 && len(b) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.TCPConn.Read(b)
}

// feeder is a listener whose connections come from elsewhere.
type feeder struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (f *feeder) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feeder) Close() error   { f.once.Do(func() { close(f.done) }); return nil }
func (f *feeder) Addr() net.Addr { return f.addr }
