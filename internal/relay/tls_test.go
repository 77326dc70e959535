package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// authority is a CA of a test with the file that trusts it.
type authority struct {
	*ca.Authority
	roots *x509.CertPool
	file  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a, err := ca.Create(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	file := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(file, a.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return &authority{a, roots, file}
}

// show is what a relay shows to callers.
func (a *authority) show(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
	name := h.ServerName
	if name == "" {
		name = "127.0.0.1"
	}
	return a.Leaf([]string{name}, ca.Wrong(leaf))
}

// server is a configuration with a certificate for localhost.
func (a *authority) server(t testing.TB) *tls.Config {
	t.Helper()
	c, err := a.Leaf([]string{"localhost", "callee.test", "127.0.0.1"}, ca.Sound)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*c}}
}

// tlsEcho echoes what comes by TLS, and tells of each handshake.
func tlsEcho(t testing.TB, conf *tls.Config, told func(tls.ConnectionState)) string {
	return server(t, func(raw *net.TCPConn) {
		c := tls.Server(raw, conf)
		if c.Handshake() != nil {
			return
		}
		if told != nil {
			told(c.ConnectionState())
		}
		io.Copy(c, c)
		c.CloseWrite()
	})
}

func (w *world) openSpec(s relay.Spec) *relay.Edge {
	w.Helper()
	if s.Listen == "" {
		s.Listen = "127.0.0.1:0"
	}
	if s.From == "" {
		s.From = "a"
	}
	if err := w.set.Open(w.Context(), s); err != nil {
		w.Fatal(err)
	}
	e, _ := w.set.Edge(fault.EdgeName(s.From, s.To))
	return e
}

func dialTLS(t testing.TB, addr string, conf *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw := dial(t, addr)
	c := tls.Client(raw, conf)
	return c, c.Handshake()
}

func mustTLS(t testing.TB, addr string, conf *tls.Config) *tls.Conn {
	t.Helper()
	c, err := dialTLS(t, addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sides are the ways to have TLS on a TCP edge: with the caller, the callee, or both.
func sides(t *testing.T, run func(t *testing.T, w *world, e *relay.Edge, call func() net.Conn)) {
	for _, way := range []string{"caller", "callee", "both"} {
		t.Run(way, func(t *testing.T) {
			w, a := newWorld(t), newAuthority(t)
			s := relay.Spec{To: "b", Protocol: experiment.TCP, TLS: &relay.TLS{}}
			if way == "caller" {
				s.Upstreams = []string{echo(t)}
			} else {
				s.Upstreams = []string{tlsEcho(t, a.server(t), nil)}
				s.TLS.Upstream = &tls.Config{RootCAs: a.roots}
			}
			if way != "callee" {
				s.TLS.Certificate = a.show
			}
			e := w.openSpec(s)
			run(t, w, e, func() net.Conn {
				if way == "callee" {
					return dial(t, e.Spec().Listen)
				}
				return mustTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost"})
			})
		})
	}
}

func TestTLSBytes(t *testing.T) {
	sides(t, func(t *testing.T, w *world, e *relay.Edge, call func() net.Conn) {
		c := call()
		ping(t, c)
		// Much, both ways at once, and then a half-close.
		sent := make([]byte, 3<<20)
		rand.Read(sent)
		var all sync.WaitGroup
		all.Go(func() {
			c.Write(sent)
			c.(interface{ CloseWrite() error }).CloseWrite()
		})
		got, err := io.ReadAll(c)
		all.Wait()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back (%v)", len(got), len(sent), err)
		}
		c.Close()
		until(t, "the connection is reported", func() bool { return len(w.exchanges()) == 1 })
		x := w.exchanges()[0]
		if want := uint64(len(sent) + 1); x.BytesIn != want || x.BytesOut != want || x.EndedBy != "caller" {
			t.Errorf("reported %+v; %d bytes each way", x, want)
		}
		if _, plain := c.(*net.TCPConn); !plain && x.Host != "localhost" {
			t.Errorf("the host is %q", x.Host)
		}
	})
}

// What delays, holds and ends bytes does so with TLS as without.
func TestTLSEffects(t *testing.T) {
	sides(t, func(t *testing.T, w *world, e *relay.Edge, call func() net.Conn) {
		c := call()
		ping(t, c)
		arm(t, e, "slow", slow(200*time.Millisecond, relay.Down))
		if took := ping(t, c); took < 190*time.Millisecond {
			t.Errorf("answered after %s", took)
		}
		lift(t, e, "slow")
		arm(t, e, "cut", cut{true, true})
		c.Write([]byte{42})
		if !silent(t, c, 100*time.Millisecond) {
			t.Error("held bytes went on")
		}
		lift(t, e, "cut")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatalf("after the lift: %v", err)
		}
		arm(t, e, "reset", ender{0, relay.Reset})
		if _, err := c.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("not reset: %v", err)
		}
		lift(t, e, "reset")
		ping(t, call())
	})
}

// A callee that does not answer, or that cannot be trusted, is seen as one that is
// down: a reset.
func TestTLSCalleeFails(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	var said sync.Map // of edges, why
	set := relay.NewSet(relay.Options{TLS: func(edge string, err error) { said.Store(edge, err) }})
	t.Cleanup(func() { set.Shutdown(context.Background()) })
	for _, way := range []string{"wrong CA", "wrong name", "down"} {
		up := &tls.Config{RootCAs: other.roots}
		addr := tlsEcho(t, other.server(t), nil)
		switch way {
		case "wrong CA":
			up.RootCAs = a.roots
		case "wrong name":
			up.ServerName = "somebody.test"
		case "down":
			addr = nowhere(t)
		}
		for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
			spec := relay.Spec{From: way, To: string(p), Protocol: p, Listen: "127.0.0.1:0", Upstreams: []string{addr}, TLS: &relay.TLS{Certificate: a.show, Upstream: up}}
			if err := set.Open(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			e, _ := set.Edge(fault.EdgeName(way, string(p)))
			if c, err := dialTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}); !isReset(err) {
				t.Errorf("%s, %s: not reset but %v", way, p, err)
				c.Close()
			}
			if why, ok := said.Load(e.Name()); way != "down" && (!ok || !strings.Contains(why.(error).Error(), "certificate")) {
				t.Errorf("%s, %s: nobody was told why: %v", way, p, why)
			}
		}
	}
}

// Versions, protocols and names pass through as if there were no relay.
func TestTLSKept(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	conf := a.server(t)
	conf.NextProtos = []string{"two", "three"}
	var mu sync.Mutex
	var seen tls.ConnectionState
	seenBy := func() tls.ConnectionState { mu.Lock(); defer mu.Unlock(); return seen }
	callee := tlsEcho(t, conf, func(s tls.ConnectionState) { mu.Lock(); defer mu.Unlock(); seen = s })
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{callee}, TLS: &relay.TLS{Certificate: a.show, Upstream: &tls.Config{RootCAs: a.roots}}})
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := mustTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "callee.test", NextProtos: []string{"one", "three", "two"}, MinVersion: v, MaxVersion: v})
		ping(t, c)
		mine := c.ConnectionState()
		if its := seenBy(); mine.Version != v || its.Version != v || mine.NegotiatedProtocol != its.NegotiatedProtocol || mine.NegotiatedProtocol != "two" || its.ServerName != "callee.test" {
			t.Errorf("%x: the caller has %x %q, the callee %x %q %q", v, mine.Version, mine.NegotiatedProtocol, its.Version, its.NegotiatedProtocol, its.ServerName)
		}
	}
	// A callee that speaks 1.2 only.
	conf2 := a.server(t)
	conf2.MaxVersion = tls.VersionTLS12
	e = w.openSpec(relay.Spec{To: "old", Protocol: experiment.TCP, Upstreams: []string{tlsEcho(t, conf2, nil)}, TLS: &relay.TLS{Certificate: a.show, Upstream: &tls.Config{RootCAs: a.roots}}})
	c := mustTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost"})
	ping(t, c)
	if v := c.ConnectionState().Version; v != tls.VersionTLS12 {
		t.Errorf("version %x with a callee of 1.2", v)
	}
	if c, err := dialTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}); err == nil {
		t.Errorf("1.3 with a callee of 1.2: %x", c.ConnectionState().Version)
	}
}

// The callee is shown the client certificate of the topology.
func TestTLSClientCertificate(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	conf := a.server(t)
	conf.ClientAuth, conf.ClientCAs = tls.RequestClientCert, a.roots
	shown := make(chan []*x509.Certificate, 2)
	callee := tlsEcho(t, conf, func(s tls.ConnectionState) { shown <- s.PeerCertificates })
	mine, err := a.Leaf([]string{"the-relay"}, ca.Sound)
	if err != nil {
		t.Fatal(err)
	}
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{callee}, TLS: &relay.TLS{Upstream: &tls.Config{RootCAs: a.roots, ServerName: "localhost", Certificates: []tls.Certificate{*mine}}}})
	ping(t, dial(t, e.Spec().Listen))
	if certs := <-shown; len(certs) == 0 || certs[0].Subject.CommonName != "the-relay" {
		t.Errorf("the callee was shown %v", certs)
	}
}

func TestTLSCertificateWrong(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{echo(t)}, TLS: &relay.TLS{Certificate: a.show}})
	conf := &tls.Config{RootCAs: a.roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	ping(t, mustTLS(t, e.Spec().Listen, conf)) // has a ticket now
	until(t, "a session is resumed", func() bool {
		c := mustTLS(t, e.Spec().Listen, conf)
		ping(t, c)
		return c.ConnectionState().DidResume
	})
	for leaf, want := range map[relay.Leaf]any{
		relay.Expired: &x509.CertificateInvalidError{}, relay.WrongName: &x509.HostnameError{}, relay.Untrusted: &x509.UnknownAuthorityError{},
	} {
		id := string(leaf)
		arm(t, e, id, shaker{relay.Handshake{Leaf: leaf}})
		_, err := dialTLS(t, e.Spec().Listen, conf)
		if !errors.As(err, want) {
			t.Errorf("%s: %v", leaf, err)
		}
		c := mustTLS(t, e.Spec().Listen, &tls.Config{InsecureSkipVerify: true})
		ping(t, c) // who does not verify goes on
		until(t, "both were counted", func() bool { r := receipt(t, e, id); return r.Matched == 2 && r.Injected == 2 })
		lift(t, e, id)
		c, err = dialTLS(t, e.Spec().Listen, conf)
		if err != nil {
			t.Fatalf("after %s: %v", leaf, err)
		}
		ping(t, c)
	}
	until(t, "all are reported", func() bool {
		n := 0
		for _, x := range w.exchanges() {
			if slices.Contains(x.Faults, "expired") {
				n++
			}
		}
		return n >= 1
	})
}

// shaker hurts handshakes.
type shaker struct{ how relay.Handshake }

func (s shaker) Handshake() relay.Handshake { return s.how }

func TestTLSHandshakeHurt(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		t.Run(string(p), func(t *testing.T) {
			w, a := newWorld(t), newAuthority(t)
			e := w.openSpec(relay.Spec{To: "b", Protocol: p, Upstreams: []string{echo(t)}, TLS: &relay.TLS{Certificate: a.show}})
			handshakeHurt(t, e, &tls.Config{RootCAs: a.roots, ServerName: "localhost"})
		})
	}
	t.Run("sni", func(t *testing.T) {
		w, a := newWorld(t), newAuthority(t)
		e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{tlsEcho(t, a.server(t), nil)}, SNI: []string{"localhost"}})
		handshakeHurt(t, e, &tls.Config{RootCAs: a.roots, ServerName: "localhost"})
	})
}

func handshakeHurt(t *testing.T, e *relay.Edge, conf *tls.Config) {
	addr := e.Spec().Listen
	mustTLS(t, addr, conf)
	arm(t, e, "reset", shaker{relay.Handshake{End: relay.Reset}})
	if _, err := dialTLS(t, addr, conf); !isReset(err) {
		t.Errorf("not reset: %v", err)
	}
	lift(t, e, "reset")
	arm(t, e, "close", shaker{relay.Handshake{End: relay.Close}})
	if _, err := dialTLS(t, addr, conf); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("not closed: %v", err)
	}
	lift(t, e, "close")
	arm(t, e, "stall", shaker{relay.Handshake{Stall: true}})
	gone := dial(t, addr)
	shook := make(chan error, 1)
	go func() { _, err := dialTLS(t, addr, conf); shook <- err }()
	until(t, "it waits", func() bool { return receipt(t, e, "stall").Injected == 1 })
	gone.Close()
	select {
	case err := <-shook:
		t.Errorf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	lift(t, e, "stall")
	if err := <-shook; err != nil {
		t.Errorf("after the lift: %v", err)
	}
	for id, want := range map[string]uint64{"reset": 1, "close": 1, "stall": 1} {
		if r := receipt(t, e, id); r.Injected != want || r.Unit != fault.Connection {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// Callers that say little, or nonsense, keep nobody else waiting.
func TestTLSManyCallers(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		w, a := newWorld(t), newAuthority(t)
		s := relay.Spec{To: "b", Protocol: p, Upstreams: []string{echo(t)}, TLS: &relay.TLS{Certificate: a.show}}
		if p == experiment.TCP {
			s.Upstreams = []string{tlsEcho(t, a.server(t), nil)}
			s.TLS.Upstream = &tls.Config{RootCAs: a.roots}
		}
		e := w.openSpec(s)
		addr := e.Spec().Listen
		for i := range 50 {
			c := dial(t, addr)
			switch i % 4 {
			case 0:
				c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			case 1:
				c.Write([]byte{22, 3, 1, 0, 200, 1, 0})
			case 2:
				c.Write([]byte{22, 3, 1, 0, 5, 2, 0, 0, 1, 0})
			}
		}
		c := dial(t, addr)
		c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		if got, err := io.ReadAll(c); err != nil || len(got) == 0 || got[0] != 21 {
			t.Errorf("plain bytes are answered by %q (%v), not by an alert", got, err)
		}
		var all sync.WaitGroup
		var bad atomic.Int32
		for range 200 {
			all.Go(func() {
				raw, err := net.Dial("tcp", addr)
				if err != nil {
					bad.Add(1)
					return
				}
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(patience))
				if c := tls.Client(raw, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}); c.Handshake() != nil {
					bad.Add(1)
				}
			})
		}
		all.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%s: %d of 200 handshakes failed", p, n)
		}
	}
}

// What stops a connection before its callee is dialled stops its handshake, too.
func TestTLSBeforeTheHandshake(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{echo(t)}, TLS: &relay.TLS{Certificate: a.show}})
	addr, conf := e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}
	begin := func() (net.Conn, chan error) {
		raw, shook := dial(t, addr), make(chan error, 1)
		go func() { shook <- tls.Client(raw, conf).Handshake() }()
		return raw, shook
	}
	arm(t, e, "cut", cut{true, true})
	_, shook := begin()
	until(t, "it is held", func() bool { return receipt(t, e, "cut").Injected == 1 })
	select {
	case err := <-shook:
		t.Errorf("a handshake through a partition: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	lift(t, e, "cut")
	if err := <-shook; err != nil {
		t.Errorf("after the heal: %v", err)
	}
	// Swallowed: nothing comes, and the connection ends at the lift.
	arm(t, e, "hole", hole{})
	_, shook = begin()
	until(t, "it is swallowed", func() bool { return receipt(t, e, "hole").Injected > 0 })
	lift(t, e, "hole")
	if err := <-shook; err == nil {
		t.Error("a handshake whose first bytes were lost")
	}
}

// Callers that leave in the middle of a stalled handshake are noticed.
func TestTLSStalledCallerLeaves(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		w, a := newWorld(t), newAuthority(t)
		e := w.openSpec(relay.Spec{To: "b", Protocol: p, Upstreams: []string{echo(t)}, TLS: &relay.TLS{Certificate: a.show}})
		arm(t, e, "stall", shaker{relay.Handshake{Stall: true}})
		raw := dial(t, e.Spec().Listen)
		shook := make(chan error, 1)
		go func() {
			shook <- tls.Client(raw, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}).Handshake()
		}()
		until(t, "it stalls", func() bool { return receipt(t, e, "stall").Injected == 1 })
		if c := w.set.Connections(""); len(c) != 1 {
			t.Errorf("listed: %+v", c)
		}
		raw.Close()
		<-shook
		until(t, "it is gone", func() bool { return len(w.set.Connections("")) == 0 })
		// One can be ended from outside, too.
		raw = dial(t, e.Spec().Listen)
		go func() {
			shook <- tls.Client(raw, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}).Handshake()
		}()
		until(t, "the next stalls", func() bool { return receipt(t, e, "stall").Injected == 2 })
		if !w.set.CloseConnection(w.set.Connections("")[0].ID, true) {
			t.Error("it cannot be closed")
		}
		if err := <-shook; !isReset(err) {
			t.Errorf("not reset: %v", err)
		}
	}
}

// Nothing stays open of connections that are over, however they ended.
func TestTLSDescriptors(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	callee := tlsEcho(t, a.server(t), nil)
	conf := &tls.Config{RootCAs: a.roots, ServerName: "localhost"}
	edges := []*relay.Edge{
		w.openSpec(relay.Spec{To: "tcp", Protocol: experiment.TCP, Upstreams: []string{callee}, TLS: &relay.TLS{Certificate: a.show, Upstream: conf}}),
		w.openSpec(relay.Spec{To: "http", Protocol: experiment.HTTP, Upstreams: []string{callee}, TLS: &relay.TLS{Certificate: a.show, Upstream: conf}}),
		w.openSpec(relay.Spec{To: "sni", Protocol: experiment.TCP, Upstreams: []string{callee}, SNI: []string{"localhost"}}),
	}
	round := func(n int) {
		var all sync.WaitGroup
		for i := range n {
			for _, e := range edges {
				all.Go(func() {
					raw, err := net.Dial("tcp", e.Spec().Listen)
					if err != nil {
						t.Error(err)
						return
					}
					defer raw.Close()
					raw.SetDeadline(time.Now().Add(patience))
					own := conf
					if i%3 == 1 {
						own = &tls.Config{ServerName: "localhost"} // it does not trust
					}
					if i%3 == 2 {
						raw.Write([]byte{22, 3, 1, 2})
						raw.(*net.TCPConn).SetLinger(0)
						return
					}
					_ = tls.Client(raw, own).Handshake()
				})
			}
		}
		all.Wait()
		until(t, "all connections have ended", func() bool { return len(w.set.Connections("")) == 0 })
	}
	round(6)
	before := openFiles()
	round(40)
	until(t, "descriptors are given back", func() bool { return openFiles() <= before+4 })
}
