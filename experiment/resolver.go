package experiment

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// maxUpstreams bounds the upstreams of a resolver.
const maxUpstreams = 16

// Transport is how an upstream of the resolver is asked.
type Transport string

// The transports.
const (
	PlainDNS Transport = "dns" // UDP, or TCP
	DoT      Transport = "tls"
	DoH      Transport = "https"
)

// Upstream is an upstream of the resolver, taken apart.
type Upstream struct {
	Transport Transport
	// Address is host:port, for all transports; URL is that of DoH.
	Address, URL string
	// Host of the address, which certificates are verified for.
	Host string
}

// ParseUpstream takes one of Resolver.Upstreams apart: host:port, an IP address
// (port 53), tls://host:port (853 by default) or https://host/path.
func ParseUpstream(s string) (Upstream, error) {
	bad := func(why string) (Upstream, error) {
		return Upstream{}, fmt.Errorf("%s; an upstream is IP, host:port, tls://host:port or https://host/dns-query, not %q", why, strict.Clip(s))
	}
	if a, err := netip.ParseAddr(s); err == nil && !a.IsUnspecified() {
		return Upstream{Transport: PlainDNS, Address: netip.AddrPortFrom(a, 53).String(), Host: a.String()}, nil
	}
	if !strings.Contains(s, "://") {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return bad("must have a port, as a host name does not say that it answers DNS")
		}
		if err := checkAddress(s, 1); err != nil {
			return Upstream{}, err
		}
		host, _, _ := net.SplitHostPort(s)
		if plainHost(host) == anyHost {
			return bad("is no address of anybody")
		}
		return Upstream{Transport: PlainDNS, Address: s, Host: host}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return bad("cannot be read")
	}
	up := Upstream{Transport: Transport(u.Scheme), Host: u.Hostname()}
	port := u.Port()
	switch {
	case u.User != nil || u.Fragment != "":
		return bad("must bear neither a user nor a fragment")
	case up.Transport == DoT && (u.Path != "" || u.RawQuery != ""):
		return bad("DNS over TLS has no path")
	case up.Transport == DoT && port == "":
		port = "853"
	case up.Transport == DoH && len(u.Path) < 2:
		return bad("DNS over HTTPS needs a path")
	case up.Transport == DoH:
		up.URL = s
		if port == "" {
			port = "443"
		}
	case up.Transport != DoT:
		return bad("the scheme must be tls or https")
	}
	if plainHost(up.Host) == anyHost {
		return bad("is no address of anybody")
	}
	up.Address = net.JoinHostPort(up.Host, port)
	if err := checkAddress(up.Address, 1); err != nil {
		return Upstream{}, err
	}
	return up, nil
}

// Validate checks what a resolver says by itself.
func (r *Resolver) Validate() error {
	errs := []error{at("listen", checkAddress(r.Listen, 0)), atMost("upstreams", len(r.Upstreams), maxUpstreams)}
	host, port, ok := splitAddress(r.Listen)
	secure := false
	for i, s := range r.Upstreams {
		path := fmt.Sprintf("upstreams[%d]", i)
		u, err := ParseUpstream(s)
		if err != nil {
			errs = append(errs, at(path, err))
			continue
		}
		secure = secure || u.Transport != PlainDNS
		h, p, _ := splitAddress(u.Address)
		if ok && p == port && (h == host || host == anyHost && isLoopback(h)) {
			errs = append(errs, strict.Fieldf(path, "is the resolver itself, which would ask itself for ever; name another one"))
		}
		if slices.Contains(r.Upstreams[:i], s) {
			errs = append(errs, strict.Fieldf(path, "%q stands there already", strict.Clip(s)))
		}
	}
	if r.CA != "" && !secure {
		errs = append(errs, strict.Fieldf("ca", "verifies upstreams that are tls:// or https://, and there is none; leave it out"))
	}
	return errors.Join(append(errs, at("ca", checkRoots(r.CA)))...)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// checkRoots refuses what is neither PEM with a certificate nor file:PATH.
func checkRoots(text string) error {
	if path, ok := strings.CutPrefix(text, FilePrefix); ok {
		if path == "" {
			return errors.New("names no file; write file:PATH")
		}
		return nil
	}
	if text != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
		return errors.New("holds no certificate; give PEM, or file:PATH")
	}
	return nil
}

// checkResolver refuses a resolver on the address of a relay or of a service.
func (s *TopologySpec) checkResolver(c *edgeCheck) error {
	if s.Resolver == nil {
		return nil
	}
	edge, taken := c.listens.owner(s.Resolver.Listen)
	if !taken { // it answers by both
		edge, taken = c.datagrams.owner(s.Resolver.Listen)
	}
	if taken {
		for i := range s.Edges {
			if fmt.Sprint(i) == edge {
				edge = s.Edges[i].Name()
				break
			}
		}
		return strict.Fieldf("resolver.listen", "is the address of the edge %s already; the resolver needs its own", edge)
	}
	if name, taken := c.services.owner(s.Resolver.Listen); taken {
		return strict.Fieldf("resolver.listen", "is the address of the service `%s`; take a free port", name)
	}
	return nil
}

// onNames places a fault on the topology's resolver.
func (g ground) onNames(f *fault.Fault) ([]fault.Fault, error) {
	r := g.spec.Resolver
	t := f.Target
	var own []string
	if n, ok := f.Params.(fault.Named); ok {
		own = n.DNSNames()
	}
	switch {
	case t.Edge != "" || len(t.From) > 0 || len(t.To) > 0:
		return nil, &Error{Code: BadInput, Message: f.Kind + " acts on the names of a service: the resolver does not know which caller asks",
			Hint: "write target: {service: NAME} alone"}
	case r == nil:
		return nil, &Error{Code: Unsupported, Message: fmt.Sprintf("%s needs a resolver, and the topology has none", f.Kind),
			Hint: "add `resolver: {listen: \"127.0.0.1:5353\"}` to the topology's spec, and point the callers at it"}
	case len(own) == 0:
		own = g.spec.Services[t.Service].Names
	}
	if len(own) == 0 {
		return nil, &Error{Code: Unsupported, Message: fmt.Sprintf("the topology does not say by which DNS names %s is called", t.Service),
			Hint: fmt.Sprintf("give `%s` its `names: [auth.example.com]` in the topology, or the fault `names` in its params", t.Service)}
	}
	c := *f
	c.At = &fault.Placed{Resolver: &fault.Resolver{Listen: r.Listen, Service: t.Service, Names: slices.Clone(own)}}
	return []fault.Fault{c}, nil
}

// Named lists the services that are called by one of some names or patterns,
// sorted.
func (s *TopologySpec) Named(names []string) []string {
	var services []string
	for _, service := range s.names() {
		if slices.ContainsFunc(s.Services[service].Names, func(own string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return fault.NamesMeet(own, n) })
		}) {
			services = append(services, service)
		}
	}
	return services
}
