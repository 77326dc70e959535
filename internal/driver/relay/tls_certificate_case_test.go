package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// securePlace is an edge that answers TLS, with how a caller who trusts it calls.
func securePlace(t *testing.T) (*place, *tls.Config) {
	t.Helper()
	own, err := ca.Create(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.Certificate())
	set := relay.NewSet(relay.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		set.Shutdown(ctx)
	})
	err = set.Open(t.Context(), relay.Spec{
		From: "api", To: "auth", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{tcpPlace(t).edge.Spec().Listen},
		TLS: &relay.TLS{Certificate: func(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
			return own.Leaf([]string{h.ServerName}, ca.Wrong(leaf))
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := set.Edge("api -> auth")
	return &place{t, driverrelay.New(set), set, e, e.Spec().Listen, nil, nil}, &tls.Config{RootCAs: roots, ServerName: "auth.test"}
}

// shake tries a handshake.
func (p *place) shake(conf *tls.Config) error {
	c := p.dial()
	defer c.Close()
	c.SetDeadline(deadline())
	return tls.Client(c, conf).Handshake()
}

var _ = contract(fault.TLSCertificate, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p, conf := securePlace(t)
	return p.world(p.fault(fault.TLSCertificate, nil), func(t *testing.T) bool {
		var bad *tls.CertificateVerificationError
		err := p.shake(conf)
		if err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
		return err != nil
	})
}})

// Each wrong certificate is seen as what it is; the receipt counts callers.
func TestCertificates(t *testing.T) {
	p, conf := securePlace(t)
	for wrong, want := range map[fault.WrongCertificate]func(error) bool{
		fault.CertificateExpired: func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		},
		fault.CertificateWrongName: func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) },
		fault.CertificateUntrusted: func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) },
	} {
		c := p.arm(p.fault(fault.TLSCertificate, func(q fault.Params) { q.(*fault.Certificate).Wrong = wrong }))
		if err := p.shake(conf); !want(err) {
			t.Errorf("%s: %v", wrong, err)
		}
		p.lift(c)
		s, err := p.driver.Inspect(t.Context(), c)
		if want := (fault.Receipt{Unit: fault.Connection, Matched: 1, Injected: 1}); err != nil || s.Receipt != want {
			t.Errorf("%s: receipt %+v (%v), want %+v", wrong, s.Receipt, err, want)
		}
	}
	if err := p.shake(conf); err != nil {
		t.Errorf("after all of them: %v", err)
	}
}

// An edge that sees no handshakes is refused.
func TestTLSNeedsHandshakes(t *testing.T) {
	p := tcpPlace(t)
	for _, k := range []*fault.Kind{fault.TLSCertificate, fault.TLSHandshake} {
		if _, err := p.driver.Plan(t.Context(), p.fault(k, nil)); !errors.Is(err, driver.ErrUnsupported) {
			t.Errorf("%s on a plain edge: %v", k.Name, err)
		}
	}
}
