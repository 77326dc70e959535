// Package shop is a small web shop made to be hurt: four services over real
// sockets, written for chaosctl's demo, its examples and its tests.
//
//	users -> api-service -> auth-service      HTTP  GET /verify
//	                     -> catalog-service   HTTP  GET /items
//	                     -> db-service        TCP   GET key
//	         catalog-service -> db-service    TCP   GET key
//
// The api-service defends itself: a timeout for every try, three tries with
// exponential back-off and jitter, a circuit breaker, and the last good answer
// for what it cannot get. Each of these is a switch in [Options], so that a
// test can take one away and watch what an experiment says.
//
// Start runs all services on free ports. Every edge has a route, the address
// that its caller dials; [Shop.Route] changes it while the shop runs, so that
// relays can be put between once everybody's address is known.
//
// The package uses nothing but the standard library and knows nothing of
// chaosctl.
package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
)

// The services.
const (
	API     = "api-service"
	Auth    = "auth-service"
	Catalog = "catalog-service"
	DB      = "db-service"
)

// The edges, named as topologies name them.
const (
	APIToAuth    = API + " -> " + Auth
	APIToCatalog = API + " -> " + Catalog
	APIToDB      = API + " -> " + DB
	CatalogToDB  = Catalog + " -> " + DB
)

// Services lists the services in the order in which they start.
func Services() []string { return []string{DB, Auth, Catalog, API} }

// Edges lists who calls whom.
func Edges() []string { return []string{APIToAuth, APIToCatalog, APIToDB, CatalogToDB} }

// callees maps each edge to the service at its far end.
func callees() map[string]string {
	return map[string]string{APIToAuth: Auth, APIToCatalog: Catalog, APIToDB: DB, CatalogToDB: DB}
}

// Config says where the services listen, what their callers dial, and how weak
// the shop is.
type Config struct {
	// Listen maps services to listen addresses, host:port; port 0 takes a free
	// one. The default is 127.0.0.1:0.
	Listen map[string]string
	// Routes maps edges to the addresses that their callers dial; the default
	// is the callee itself.
	Routes map[string]string
	// Options are the weaknesses; the zero value has none.
	Options Options
}

// Fixed is the configuration that examples/shop/topology.yaml describes: fixed
// ports, every caller dialling a relay, and the weakness of [AsShipped].
func Fixed() Config {
	listen, routes := map[string]string{}, map[string]string{}
	for name, addr := range fixed() {
		if _, isEdge := callees()[name]; isEdge {
			routes[name] = addr
		} else {
			listen[name] = addr
		}
	}
	return Config{Listen: listen, Routes: routes, Options: AsShipped()}
}

// fixed are the ports of the documents, by service and by edge: 180xx is a
// service, 190xx the relay in front of it.
func fixed() map[string]string {
	return map[string]string{
		API: "127.0.0.1:18080", Auth: "127.0.0.1:18001", Catalog: "127.0.0.1:18002", DB: "127.0.0.1:18003",
		APIToAuth: "127.0.0.1:19001", APIToCatalog: "127.0.0.1:19002",
		APIToDB: "127.0.0.1:19003", CatalogToDB: "127.0.0.1:19004",
	}
}

// Shop is a running shop.
type Shop struct {
	cancel    context.CancelFunc
	addresses map[string]string
	routes    map[string]*route
	closers   []func() error // called from the last to the first
	closeOnce sync.Once
	closeErr  error
}

// Start opens all listeners, then serves. An address that cannot be opened and
// a service or edge that does not exist are errors, and nothing is left running
// then. Requests in flight end with ctx; Close ends the rest.
func Start(ctx context.Context, cfg Config) (*Shop, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Shop{cancel: cancel, addresses: map[string]string{}, routes: map[string]*route{}}
	listeners := map[string]net.Listener{}
	for _, name := range Services() {
		addr := cfg.Listen[name]
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			cancel()
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		listeners[name] = l
		s.addresses[name] = l.Addr().String()
	}
	for edge, callee := range callees() {
		addr := cfg.Routes[edge]
		if addr == "" {
			addr = s.addresses[callee]
		}
		s.routes[edge] = newRoute(addr)
	}
	s.serve(ctx, listeners, cfg.Options)
	return s, nil
}

func (s *Shop) serve(ctx context.Context, listeners map[string]net.Listener, o Options) {
	db := serveDB(listeners[DB])
	auth := serveHTTP(ctx, listeners[Auth], authHandler())
	books := newPool(s.routes[CatalogToDB])
	catalog := serveHTTP(ctx, listeners[Catalog], catalogHandler(books, o))
	front := newAPI(s.routes, o)
	api := serveHTTP(ctx, listeners[API], front.handler())
	s.closers = []func() error{db.Close, auth.Close, books.Close, catalog.Close, front.Close, api.Close}
	for _, r := range s.routes {
		s.closers = append(s.closers, r.Close)
	}
}

func (c Config) check() error {
	var errs []error
	for name := range c.Listen {
		if !slices.Contains(Services(), name) {
			errs = append(errs, fmt.Errorf("listen: there is no service %q", name))
		}
	}
	for name := range c.Routes {
		if _, ok := callees()[name]; !ok {
			errs = append(errs, fmt.Errorf("routes: there is no edge %q", name))
		}
	}
	return errors.Join(errs...)
}

// Addresses maps every service to the address it listens on.
func (s *Shop) Addresses() map[string]string { return maps.Clone(s.addresses) }

// URL is the address of the api-service as a URL, without a path.
func (s *Shop) URL() string { return "http://" + s.addresses[API] }

// Route makes the caller of an edge dial another address from now on. Idle
// connections to the old one are closed; calls under way end where they are.
func (s *Shop) Route(edge, address string) error {
	r, ok := s.routes[edge]
	if !ok {
		return fmt.Errorf("route: there is no edge %q", edge)
	}
	r.set(address)
	return nil
}

// Close stops everything and returns once every goroutine has ended. It may be
// called more than once.
func (s *Shop) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		for _, c := range slices.Backward(s.closers) {
			s.closeErr = errors.Join(s.closeErr, c())
		}
	})
	return s.closeErr
}
