package cli

import (
	"context"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver/dns"
	"github.com/chaosctl/chaosctl/internal/engine"
)

// openResolver opens the topology's resolver; nil if it has none.
func openResolver(ctx context.Context, r *experiment.Resolver) (*dns.Resolver, error) {
	if r == nil {
		return nil, nil
	}
	o := dns.Options{Listen: r.Listen, Upstreams: r.Upstreams, Roots: []byte(r.CA)}
	if file, ok := strings.CutPrefix(r.CA, experiment.FilePrefix); ok {
		pem, err := readSmall(file)
		if err != nil {
			return nil, badInput("", "resolver.ca: %s", err)
		}
		o.Roots = pem
	}
	open, err := dns.Open(ctx, o)
	if err != nil {
		return nil, badInput("see `resolver` in the topology: its listen address must be free for UDP and TCP, and its upstreams others than itself", "the resolver cannot be opened: %s", err)
	}
	return open, nil
}

// resolverOf is a resolver as the engine takes it: nil for none.
func resolverOf(r *dns.Resolver) engine.Resolver {
	if r == nil {
		return nil
	}
	return r
}

// closeResolver closes the resolver, if there is one.
func (g *ground) closeResolver() error {
	if g.resolver == nil {
		return nil
	}
	return g.resolver.Close()
}
