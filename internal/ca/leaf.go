package ca

import (
	"container/list"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Wrong is what is wrong with a certificate.
type Wrong string

// The certificates that an authority makes.
const (
	Sound     Wrong = ""           // nothing
	Expired   Wrong = "expired"    // its time was over an hour ago
	WrongName Wrong = "wrong-name" // it is for another name
	Untrusted Wrong = "untrusted"  // an authority signed it that nobody knows
)

// otherName is what a certificate for the wrong name is for. Nobody can own it.
const otherName = "wrong-name.chaosctl.invalid"

// mostLeaves is how many certificates an authority keeps.
const mostLeaves = 1000

// leaves are the certificates that were made last.
type leaves struct {
	mu    sync.Mutex
	order *list.List // of *leaf, the one that was used last in front
	all   map[string]*list.Element
	key   *ecdsa.PrivateKey // of all of them
	other *Authority        // signs what nobody is to trust; made on first use
}

type leaf struct {
	key  string
	cert *tls.Certificate
}

// Leaf returns a certificate for names, DNS names and IP addresses, with the
// authority's own behind it. The same names are given the same one for about half of
// its life.
func (a *Authority) Leaf(names []string, wrong Wrong) (*tls.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("make a certificate: it needs a name")
	}
	key := string(wrong) + " " + strings.Join(names, " ")
	a.made.mu.Lock()
	defer a.made.mu.Unlock()
	if c := a.made.recent(key, a.now().Add(LeafLifetime/2), wrong); c != nil {
		return c, nil
	}
	c, err := a.mint(names, wrong)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", strings.Join(names, ", "), err)
	}
	a.made.keep(key, c)
	return c, nil
}

// recent returns a certificate that is good until then at least, or that is not to be
// good.
func (l *leaves) recent(key string, until time.Time, wrong Wrong) *tls.Certificate {
	at, ok := l.all[key]
	if !ok {
		return nil
	}
	c := at.Value.(*leaf).cert
	if wrong != Expired && c.Leaf.NotAfter.Before(until) {
		return nil
	}
	l.order.MoveToFront(at)
	return c
}

// keep remembers a certificate and forgets the one that was not used for longest.
func (l *leaves) keep(key string, c *tls.Certificate) {
	if l.all == nil {
		l.all, l.order = map[string]*list.Element{}, list.New()
	}
	if at, ok := l.all[key]; ok {
		l.order.Remove(at)
	}
	l.all[key] = l.order.PushFront(&leaf{key, c})
	if len(l.all) > mostLeaves {
		last := l.order.Back()
		delete(l.all, l.order.Remove(last).(*leaf).key)
	}
}

// mint makes a certificate. It is called under the lock of the leaves.
func (a *Authority) mint(names []string, wrong Wrong) (*tls.Certificate, error) {
	from, signer := a.now(), a
	switch wrong {
	case Sound:
	case Expired:
		from = from.Add(-LeafLifetime - backdate)
	case WrongName:
		names = []string{otherName}
	case Untrusted:
		other, err := a.stranger()
		if err != nil {
			return nil, err
		}
		signer = other
	default:
		return nil, fmt.Errorf("there is no certificate that is %q", wrong)
	}
	if a.made.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		a.made.key = key
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: fmt.Sprintf("%.64s", names[0])},
		NotBefore: from.Add(-backdate), NotAfter: from.Add(LeafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if t.NotAfter.After(signer.cert.NotAfter) {
		t.NotAfter = signer.cert.NotAfter
	}
	for _, n := range names {
		if ip, err := netip.ParseAddr(n); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.Unmap().AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, signer.cert, a.made.key.Public(), signer.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, signer.cert.Raw}, PrivateKey: a.made.key, Leaf: parsed}, nil
}

// stranger is an authority that nobody trusts, with the same name as this one, so
// that it differs in nothing else.
func (a *Authority) stranger() (*Authority, error) {
	if a.made.other == nil {
		other, err := newAuthority(a.cert.Subject.CommonName, a.now())
		if err != nil {
			return nil, err
		}
		a.made.other = other
	}
	return a.made.other, nil
}
