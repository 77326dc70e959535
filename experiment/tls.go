package experiment

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// FilePrefix begins a value that stands for the content of a file. The command line
// reads it; nobody else opens a path that a document names.
const FilePrefix = "file:"

// Validate checks what a service's TLS settings say by themselves.
func (t *ServiceTLS) Validate() error {
	errs := []error{at("ca", checkRoots(t.CA))}
	if t.ServerName != "" && !IsHost(t.ServerName) {
		errs = append(errs, strict.Fieldf("serverName", "must be a DNS name or an IP address, without a port, not %q", strict.Clip(t.ServerName)))
	}
	if t.Insecure && t.CA != "" {
		errs = append(errs, strict.Fieldf("insecure", "verifies nothing, so that `ca` is of no use; leave one of them out"))
	}
	switch {
	case t.Certificate != "" && t.Key == "":
		errs = append(errs, strict.Fieldf("key", "is missing; a client certificate needs its key"))
	case t.Key != "" && t.Certificate == "":
		errs = append(errs, strict.Fieldf("certificate", "is missing; `key` is that of a client certificate"))
	}
	errs = append(errs, at("certificate", checkPEM(t.Certificate, "CERTIFICATE")), at("key", checkPEM(t.Key, "PRIVATE KEY")))
	if inline(t.Certificate) && inline(t.Key) && errors.Join(errs...) == nil {
		if _, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key)); err != nil {
			errs = append(errs, strict.Fieldf("key", "does not go with the certificate: %s", strings.TrimPrefix(err.Error(), "tls: ")))
		}
	}
	return errors.Join(errs...)
}

// inline tells whether a value is what it stands for, rather than saying where that
// is.
func inline(s string) bool {
	return s != "" && !strings.HasPrefix(s, FilePrefix) && !strings.Contains(s, openEnv)
}

// checkPEM refuses what is neither PEM with a block of a type nor tells where it is.
// It quotes nothing of it.
func checkPEM(text, kind string) error {
	if text == FilePrefix {
		return errors.New("names no file; write file:PATH")
	}
	if !inline(text) {
		return nil
	}
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return fmt.Errorf("holds no PEM block `%s`; give PEM, or file:PATH", kind)
		}
		if strings.HasSuffix(b.Type, kind) {
			return nil
		}
	}
}

// IsHost tells whether s is a DNS name or an IP address.
func IsHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return isDNSName(s)
}

// isDNSName tells whether s can be a name in a certificate: labels of letters,
// digits, dashes and underscores.
func isDNSName(s string) bool {
	if s = strings.TrimSuffix(s, "."); s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, letters+digits+"-_") != "" {
			return false
		}
	}
	return true
}

// checkTLS checks what an edge says about TLS against its callee and its relay.
func (c *edgeCheck) checkTLS(i int, path string) []error {
	e := c.s.Edges[i]
	var errs []error
	callee, known := c.s.Services[e.To]
	protocol := c.s.EdgeProtocol(e)
	if known && callee.TLS != nil && protocol == UDP {
		errs = append(errs, strict.Fieldf(path+".protocol", "is udp, and `%s` is called by TLS, which needs tcp or http", e.To))
	}
	if e.TLS != nil {
		switch {
		case e.Listen == "":
			errs = append(errs, strict.Fieldf(path+".tls", "is about a relay; give the edge a `listen`, or leave it out"))
		case len(e.SNI) > 0:
			errs = append(errs, strict.Fieldf(path+".tls", "answers TLS, and `sni` passes it through; leave one of them out"))
		case known && protocol == UDP:
			errs = append(errs, strict.Fieldf(path+".tls", "goes with protocol http, tcp or auto, not udp"))
		}
		for j, n := range e.TLS.Names {
			if !IsHost(n) {
				errs = append(errs, strict.Fieldf(fmt.Sprintf("%s.tls.names[%d]", path, j), "must be a DNS name or an IP address, not %q", strict.Clip(n)))
			}
		}
	}
	return append(errs, c.checkSNI(i, path)...)
}

// checkSNI checks the names by which an edge takes connections.
func (c *edgeCheck) checkSNI(i int, path string) []error {
	e := c.s.Edges[i]
	if len(e.SNI) == 0 {
		return nil
	}
	var errs []error
	if e.Listen == "" {
		errs = append(errs, strict.Fieldf(path+".sni", "is about a relay; give the edge a `listen`, or leave it out"))
	}
	if _, known := c.s.Services[e.To]; known && c.s.EdgeProtocol(e) != TCP {
		errs = append(errs, strict.Fieldf(path+".sni", "passes TLS through, unseen; give the edge `protocol: tcp`"))
	}
	for j, n := range e.SNI {
		at := fmt.Sprintf("%s.sni[%d]", path, j)
		if name, _ := strings.CutPrefix(n, "*."); !isDNSName(name) {
			errs = append(errs, strict.Fieldf(at, "must be a DNS name or a pattern such as *.example.com, not %q", strict.Clip(n)))
			continue
		}
		if slices.ContainsFunc(e.SNI[:j], func(o string) bool { return strings.EqualFold(o, n) }) {
			errs = append(errs, strict.Fieldf(at, "%q stands there already", n))
		}
		for k, o := range c.s.Edges[:i] {
			if o.Listen == e.Listen && slices.ContainsFunc(o.SNI, func(s string) bool { return strings.EqualFold(s, n) }) {
				errs = append(errs, strict.Fieldf(at, "%q is taken by the edge %s%s", n, o.Name(), onLine(c.line, fmt.Sprintf("edges[%d].sni", k))))
			}
		}
	}
	return errs
}

// mayShare tells whether an edge may have the listen of another: where names tell the
// callers apart. One edge without names takes what is left.
func (c *edgeCheck) mayShare(i, j int) bool {
	listen := c.s.Edges[i].Listen
	if listen != c.s.Edges[j].Listen { // spelled in another way, or all addresses
		return false
	}
	named, rest := 0, 0
	for k, e := range c.s.Edges {
		switch {
		case e.Listen != listen:
		case len(e.SNI) > 0:
			named++
		case k <= i:
			rest++
		}
	}
	return named > 0 && (rest < 2 || len(c.s.Edges[i].SNI) > 0)
}
