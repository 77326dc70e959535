package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// certificates are what relays show to callers and to callees. A nil one has none:
// with it, topologies that speak of TLS are refused.
type certificates struct {
	folder  string // of the certificate authority
	getenv  func(name string) (string, bool)
	say     func(format string, args ...any)
	out     string // where the authority's certificate is written; empty is nowhere
	own     *ca.Authority
	callees map[string]*tls.Config // of the services that are called by TLS, by name
}

// certificates are those of a state directory; out, if not empty, is where the
// certificate of the authority is to be written.
func (a *app) certificates(state, out string) *certificates {
	return &certificates{folder: caFolder(state), getenv: a.env.Getenv, say: a.say, out: out}
}

// prepare reads what the topology names, and makes the authority if relays need one
// and there is none. Everything that can go wrong with TLS before a caller comes goes
// wrong here.
func (c *certificates) prepare(t *experiment.TopologySpec) error {
	answers := t.Proxy != nil && len(t.Proxy.Intercept) > 0
	for _, e := range t.Edges {
		answers = answers || e.TLS != nil
	}
	if c == nil {
		if answers {
			return badInput("", "this command answers no callers by TLS; leave out `tls` of the edges and `intercept` of the proxy")
		}
		return nil
	}
	c.callees = map[string]*tls.Config{}
	for _, name := range slices.Sorted(maps.Keys(t.Services)) {
		s := t.Services[name].TLS
		if s == nil {
			continue
		}
		conf, err := c.callee(s)
		if err != nil {
			return badInput("", "services.%s.tls.%s", name, err)
		}
		c.callees[name] = conf
	}
	if answers || c.out != "" {
		return c.openAuthority()
	}
	return nil
}

func (c *certificates) openAuthority() error {
	own, made, err := ca.Open(c.folder)
	if err != nil {
		return badInput("see `chaosctl ca --help`", "%s", err)
	}
	c.own = own
	if made {
		c.say("made a certificate authority: %s; callers of relays that answer TLS have to trust it: chaosctl ca show", own.Path())
	}
	if c.out != "" {
		return writeCertificate(c.out, own)
	}
	return nil
}

// callee is how a service is called.
func (c *certificates) callee(s *experiment.ServiceTLS) (*tls.Config, error) {
	conf := &tls.Config{ServerName: s.ServerName, InsecureSkipVerify: s.Insecure}
	var err error
	if conf.RootCAs, err = rootsOf(s.CA); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if s.Certificate == "" {
		return conf, nil
	}
	cert, err := c.text(s.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := c.text(s.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %s and key do not go together: %s", origin(s.Certificate), strings.TrimPrefix(err.Error(), "tls: "))
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf, nil
}

// rootsOf are the certificates of a text, or of the file it names; nil, the system's,
// for none.
func rootsOf(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	pem := []byte(text)
	if path, ok := strings.CutPrefix(text, experiment.FilePrefix); ok {
		var err error
		if pem, err = readSmall(path); err != nil {
			return nil, err
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", origin(text))
	}
	return roots, nil
}

// origin names where a value comes from, without quoting a value.
func origin(value string) string {
	if strings.HasPrefix(value, experiment.FilePrefix) {
		return value
	}
	return "the text"
}

// text is a value, or what it stands for: a file's content, or variables.
func (c *certificates) text(value string) ([]byte, error) {
	if path, ok := strings.CutPrefix(value, experiment.FilePrefix); ok {
		return readSmall(path)
	}
	var missing []string
	text, err := experiment.ExpandEnv(value, func(name string) string {
		v, set := c.getenv(name)
		if !set {
			missing = append(missing, name)
		}
		return v
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the environment variable %s is not set", strings.Join(missing, ", "))
	}
	return []byte(text), err
}

// edge is how a relay deals with TLS; nil if it speaks none.
func (c *certificates) edge(t *experiment.TopologySpec, e experiment.Edge) *relay.TLS {
	if c == nil || len(e.SNI) > 0 { // passed through as it is
		return nil
	}
	r := &relay.TLS{Upstream: c.callees[e.To]}
	if e.TLS != nil {
		names := e.TLS.Names
		if len(names) == 0 {
			names = append(slices.Clone(t.Services[e.To].Names), "localhost")
		}
		r.Certificate = c.leaf(names)
	}
	if r.Upstream == nil && r.Certificate == nil {
		return nil
	}
	return r
}

// leaf makes what is shown to a caller: for the name it gives, else for names and the
// address it has called.
func (c *certificates) leaf(names []string) leafMaker {
	return func(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
		wanted := []string{strings.ToLower(strings.TrimSuffix(h.ServerName, "."))}
		if !experiment.IsHost(wanted[0]) { // none, or none that a certificate can have
			wanted = slices.Clone(names)
			if host, _, err := net.SplitHostPort(h.Conn.LocalAddr().String()); err == nil && !slices.Contains(wanted, host) {
				wanted = append(wanted, host)
			}
		}
		return c.own.Leaf(wanted, ca.Wrong(leaf))
	}
}

// leaves is leaf for a door that has no names of its own; nil without an authority.
func (c *certificates) leaves() leafMaker {
	if c == nil || c.own == nil {
		return nil
	}
	return c.leaf([]string{"localhost"})
}

// users is how a run's own users call an edge that answers by TLS: they trust it.
func (c *certificates) users(e experiment.Edge) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.own.Certificate())
	conf := &tls.Config{RootCAs: roots}
	if len(e.TLS.Names) > 0 {
		conf.ServerName = e.TLS.Names[0]
	}
	return conf
}

// service is how a service is called; nil is plain.
func (c *certificates) service(service string) *tls.Config {
	if c == nil {
		return nil
	}
	return c.callees[service]
}

// failed tells of a callee that a relay cannot agree with.
func (c *certificates) failed(edge string, err error) {
	if c != nil {
		c.say("note: %s: %s; callers see a callee that is down (see `tls` of the service in the topology)", edge, err)
	}
}

// withoutKeys is a topology that may be shown: keys that it spells out are masked.
func withoutKeys(t *experiment.Topology) *experiment.Topology {
	shown := *t
	shown.Spec.Services = maps.Clone(t.Spec.Services)
	for name, s := range shown.Spec.Services {
		if s.TLS == nil || strings.HasPrefix(s.TLS.Key, experiment.FilePrefix) || s.TLS.Key == "" {
			continue
		}
		own := *s.TLS
		own.Key = "(secret)"
		s.TLS = &own
		shown.Spec.Services[name] = s
	}
	return &shown
}
