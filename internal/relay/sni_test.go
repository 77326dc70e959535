package relay_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// named is a callee that says its name by TLS and then echoes.
func named(t *testing.T, a *authority, name string) string {
	return server(t, func(raw *net.TCPConn) {
		c := tls.Server(raw, a.server(t))
		if _, err := io.WriteString(c, name); err == nil {
			io.Copy(c, c)
			c.CloseWrite()
		}
	})
}

func TestSNI(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	first := w.openSpec(relay.Spec{To: "exact", Protocol: experiment.TCP, Upstreams: []string{named(t, a, "exact")}, SNI: []string{"Pay.Example.com"}})
	addr := first.Spec().Listen
	plain := server(t, func(c *net.TCPConn) { io.WriteString(c, "plain"); io.Copy(c, c) })
	edges := map[string]*relay.Edge{"exact": first}
	for name, sni := range map[string][]string{"wide": {"*.com"}, "narrow": {"*.example.com"}} {
		edges[name] = w.openSpec(relay.Spec{To: name, Protocol: experiment.TCP, Listen: addr, Upstreams: []string{named(t, a, name)}, SNI: sni})
	}
	call := func(name string) (string, error) {
		c, err := dialTLS(t, addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		defer c.NetConn().Close() // edges are closed below, and wait for it
		if err != nil {
			return "", err
		}
		b := make([]byte, 6)
		n, err := c.Read(b)
		return string(b[:n]), err
	}
	for name, want := range map[string]string{"pay.example.com": "exact", "PAY.example.com": "exact", "x.example.com": "narrow", "a.b.example.com": "narrow", "example.com": "wide"} {
		if got, err := call(name); got != want {
			t.Errorf("%s went to %q (%v), not to %s", name, got, err, want)
		}
	}
	if got, err := call("example.org"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that nobody has: %q, %v", got, err)
	}
	// Now there is one for all others, and for those that speak no TLS.
	w.openSpec(relay.Spec{To: "rest", Protocol: experiment.TCP, Listen: addr, Upstreams: []string{plain}})
	c := dial(t, addr)
	c.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "plain" {
		t.Errorf("without TLS: %q %v", b, err)
	}
	c.Close()
	if err := w.set.CloseEdge(t.Context(), "a -> wide"); err != nil {
		t.Fatal(err)
	}
	if got, err := call("example.com"); err == nil {
		t.Errorf("the edge for example.com is closed, and %q answers", got)
	}
	if got, err := call("pay.example.com"); got != "exact" {
		t.Errorf("after another edge was closed: %q (%v)", got, err)
	}
	until(t, "the names are reported", func() bool {
		for _, x := range w.exchanges() {
			if x.Edge == "a -> narrow" && x.Host == "a.b.example.com" && x.BytesIn > 0 {
				return true
			}
		}
		return false
	})
	for _, name := range []string{"a -> exact", "a -> narrow", "a -> rest"} {
		if err := w.set.CloseEdge(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("all edges are closed and their address is not free: %v", err)
	}
	l.Close()
}

// What was read to see the name is delayed and counted with all else, and bytes pass
// unchanged.
func TestSNIPassesBytes(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.TCP, Upstreams: []string{tlsEcho(t, a.server(t), nil)}, SNI: []string{"localhost"}})
	conf := &tls.Config{RootCAs: a.roots, ServerName: "localhost"}
	c := mustTLS(t, e.Spec().Listen, conf)
	sent := make([]byte, 8<<20)
	rand.Read(sent)
	var all sync.WaitGroup
	all.Go(func() { c.Write(sent); c.CloseWrite() })
	got, err := io.ReadAll(c)
	all.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back (%v)", len(got), len(sent), err)
	}
	c.Close()
	arm(t, e, "slow", slow(150*time.Millisecond, relay.Up))
	start := time.Now()
	mustTLS(t, e.Spec().Listen, conf)
	if took := time.Since(start); took < 140*time.Millisecond {
		t.Errorf("the ClientHello was not delayed: %s", took)
	}
	lift(t, e, "slow")
	arm(t, e, "cut", cut{true, true})
	shook := make(chan error, 1)
	raw := dial(t, e.Spec().Listen)
	go func() { shook <- tls.Client(raw, conf).Handshake() }()
	until(t, "it is held", func() bool { return receipt(t, e, "cut").Injected == 1 })
	lift(t, e, "cut")
	if err := <-shook; err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

// An edge that shares its listener refuses by turning its own callers away.
func TestSNIRefuses(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	one := w.openSpec(relay.Spec{To: "one", Protocol: experiment.TCP, Upstreams: []string{tlsEcho(t, a.server(t), nil)}, SNI: []string{"localhost"}})
	addr := one.Spec().Listen
	w.openSpec(relay.Spec{To: "two", Protocol: experiment.TCP, Listen: addr, Upstreams: []string{tlsEcho(t, a.server(t), nil)}, SNI: []string{"callee.test"}})
	arm(t, one, "refuse", refuser{})
	if _, err := dialTLS(t, addr, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}); !isReset(err) {
		t.Errorf("not turned away: %v", err)
	}
	ping(t, mustTLS(t, addr, &tls.Config{RootCAs: a.roots, ServerName: "callee.test"}))
	lift(t, one, "refuse")
	ping(t, mustTLS(t, addr, &tls.Config{RootCAs: a.roots, ServerName: "localhost"}))
	err := one.Arm(relay.Armed{ID: "deaf", Name: "deaf", Effect: deaf{}})
	if err == nil {
		t.Error("a listener that others share was made deaf")
	}
}

type deaf struct{}

func (deaf) Deafens() {}

// Opening is all or nothing for edges that share a listener, too, in any order.
func TestSNIOpen(t *testing.T) {
	w := newWorld(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	named := relay.Spec{From: "a", To: "b", Protocol: experiment.TCP, Listen: addr, Upstreams: []string{"127.0.0.1:1"}, SNI: []string{"x.test"}}
	rest := relay.Spec{From: "a", To: "c", Protocol: experiment.TCP, Listen: addr, Upstreams: []string{"127.0.0.1:1"}}
	if err := w.set.Open(t.Context(), rest, named); err == nil {
		t.Error("opened on an address that is taken")
	}
	free.Close()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	bad := relay.Spec{From: "a", To: "d", Protocol: experiment.TCP, Listen: busy.Addr().String(), Upstreams: []string{"127.0.0.1:1"}}
	if err := w.set.Open(t.Context(), rest, named, bad); err == nil || len(w.set.Status()) > 0 {
		t.Errorf("opened in part: %v", w.set.Status())
	}
	if err := w.set.Open(t.Context(), rest, named); err != nil {
		t.Error(err)
	}
	if e, ok := w.set.Edge(fault.EdgeName("a", "c")); !ok || e.Spec().Listen != addr {
		t.Error("the edge for the rest is not there")
	}
}

// On one listener some are passed on and the rest is answered, requests and all.
func TestSNIBesideHTTPS(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Host) }))
	t.Cleanup(srv.Close)
	one := w.openSpec(relay.Spec{To: "one", Protocol: experiment.TCP, Upstreams: []string{named(t, a, "one")}, SNI: []string{"one.test"}})
	addr := one.Spec().Listen
	w.openSpec(relay.Spec{To: "rest", Protocol: experiment.HTTP, Listen: addr, Upstreams: []string{srv.Listener.Addr().String()}, TLS: &relay.TLS{Certificate: a.show}})
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots, ServerName: "two.test"}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != addr {
		t.Errorf("answered %q %v", b, err)
	}
}
