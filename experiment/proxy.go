package experiment

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Dependency is the prefix of the services that a forward proxy makes.
const Dependency = "dependency-"

// httpsPort is what a host without a port is called by.
const httpsPort = "443"

// Validate checks what the proxy says by itself.
func (p *Proxy) Validate() error {
	var errs []error
	switch err := checkAddress(p.Listen, 0); {
	case err != nil:
		errs = append(errs, at("listen", err))
	case !onLoopback(p.Listen):
		errs = append(errs, strict.Fieldf("listen", "must be on loopback, for example 127.0.0.1:3128: whoever reaches a forward proxy can call everything from this machine"))
	}
	if p.From == "" {
		errs = append(errs, strict.Fieldf("from", "is missing; it must name the service that calls through the proxy, or users"))
	}
	errs = append(errs, atMost("hosts", len(p.Hosts), maxEdges), atMost("intercept", len(p.Intercept), maxEdges), atMost("maxHosts", p.MaxHosts, maxEdges))
	if p.MaxHosts < 0 {
		errs = append(errs, strict.Fieldf("maxHosts", "must be 1 or more, not %d", p.MaxHosts))
	}
	taken := map[string]int{}
	for i, h := range p.Hosts {
		field := fmt.Sprintf("hosts[%d]", i)
		if err := checkAddress(withPort(h), 1); err != nil {
			errs = append(errs, at(field, fmt.Errorf("must be HOST or HOST:PORT, for example api.example.com, not %q", strict.Clip(h))))
			continue
		}
		if j, twice := taken[withPort(h)]; twice {
			errs = append(errs, strict.Fieldf(field, "is hosts[%d] once more", j))
		}
		taken[withPort(h)] = i
	}
	for i, s := range p.Intercept {
		name, port, err := net.SplitHostPort(s)
		if err != nil {
			name = s
		} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("intercept[%d]", i), "%q is not a port; write HOST:PORT with a port from 1 to 65535, or HOST for 443 and 8443", strict.Clip(port)))
			continue
		}
		if _, err := path.Match(name, ""); err != nil || name == "" || strings.ContainsAny(name, "/ ") {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("intercept[%d]", i), "must be a host or a pattern such as *.example.com, or *, not %q", strict.Clip(s)))
		}
	}
	return errors.Join(errs...)
}

// withPort is a host with the port that it is called by.
func withPort(h string) string {
	if host, port, err := net.SplitHostPort(h); err == nil {
		return strings.ToLower(net.JoinHostPort(strings.TrimSuffix(host, "."), port))
	}
	h = strings.TrimSuffix(h, ".")
	return strings.ToLower(net.JoinHostPort(strings.Trim(h, "[]"), httpsPort))
}

// DependencyName names the service that a forward proxy makes of a host, and takes the
// name: after the host; if that is taken, after host and port; if that is taken, too,
// with a number behind it.
func DependencyName(host, port string, taken map[string]bool) string {
	name := Dependency + host
	if taken[name] {
		name += "-" + port
	}
	return free(taken, name)
}

// onLoopback tells whether an address is one of this machine alone.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return host == "localhost" || isLoopback(host)
}

// checkProxy checks a proxy against the rest of the topology.
func (s *TopologySpec) checkProxy(c *edgeCheck) error {
	if s.Proxy == nil {
		return nil
	}
	var errs []error
	if _, ok := s.Services[s.Proxy.From]; !ok && s.Proxy.From != "" && s.Proxy.From != Users && len(s.Services) > 0 {
		errs = append(errs, strict.Fieldf("proxy.from", "there is no service %q%s", strict.Clip(s.Proxy.From), strict.Suggest(s.Proxy.From, append(s.names(), Users))))
	}
	if _, taken := c.listens.owner(s.Proxy.Listen); taken {
		errs = append(errs, strict.Fieldf("proxy.listen", "is the address of an edge already; take a free port"))
	}
	if name, taken := c.services.owner(s.Proxy.Listen); taken {
		errs = append(errs, strict.Fieldf("proxy.listen", "is the address of the service `%s`; take a free port", name))
	}
	return errors.Join(errs...)
}

// proxied is an edge that a proxy has from the start.
type proxied struct {
	edge    Edge
	service Service
}

// proxied are the edges of the proxy's hosts. A host that is called by several
// ports has its short name for the first.
func (s *TopologySpec) proxied() []proxied {
	if s.Proxy == nil {
		return nil
	}
	var all []proxied
	taken := map[string]bool{}
	for _, h := range s.Proxy.Hosts {
		address := withPort(h)
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			continue // reported by Validate
		}
		name := DependencyName(host, port, taken)
		// A connection that is not intercepted shows requests if it is in plain.
		p := proxied{
			Edge{From: s.Proxy.From, To: name, Listen: s.Proxy.Listen, Protocol: Auto},
			Service{Address: address, Protocol: Auto},
		}
		if Intercepted(s.Proxy.Intercept, host, port) {
			p.edge.Protocol, p.edge.TLS = HTTP, &EdgeTLS{}
		}
		all = append(all, p)
	}
	return all
}

// Intercepted tells whether one of the patterns of a proxy's intercept is for a host,
// in lower case, and its port. A pattern without a port means those that HTTPS is usual
// on.
func Intercepted(patterns []string, host, port string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		name, its, err := net.SplitHostPort(pattern)
		if err != nil {
			name, its = pattern, port
			if port != httpsPort && port != "8443" {
				return false
			}
		}
		ok, err := path.Match(strings.ToLower(name), host)
		return ok && err == nil && its == port
	})
}

// withoutHosts is a topology that is served without what its proxy has made, as far as
// a document does not speak of it.
func (s *TopologySpec) withoutHosts(doc *TopologySpec) *TopologySpec {
	if s.Proxy == nil || doc.Proxy == nil {
		return s
	}
	made := func(service string) bool {
		_, known := doc.Services[service]
		return !known && strings.HasPrefix(service, Dependency)
	}
	t := *s
	t.Services = maps.Clone(s.Services)
	maps.DeleteFunc(t.Services, func(name string, _ Service) bool { return made(name) })
	t.Edges = slices.DeleteFunc(slices.Clone(s.Edges), func(e Edge) bool { return e.From == s.Proxy.From && made(e.To) })
	return &t
}

// withHosts is the topology with the edges of the proxy's hosts.
func (s *TopologySpec) withHosts() *TopologySpec {
	more := s.proxied()
	if len(more) == 0 {
		return s
	}
	t := *s
	t.Edges, t.Services = slices.Clone(s.Edges), maps.Clone(s.Services)
	for _, p := range more {
		known := slices.ContainsFunc(t.Edges, func(e Edge) bool { return e.Name() == p.edge.Name() })
		if _, named := t.Services[p.edge.To]; !named {
			t.Services[p.edge.To] = p.service
		}
		if !known { // else it is open already
			t.Edges = append(t.Edges, p.edge)
		}
	}
	return &t
}
