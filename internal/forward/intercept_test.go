package forward

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// secure is an HTTPS server for a.example, with the authority that vouches for it.
func secure(t *testing.T) (host string, roots *x509.CertPool) {
	t.Helper()
	a, _, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Leaf([]string{"a.example"}, ca.Sound)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.Method, r.Host, r.RequestURI)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(a.Certificate())
	return s.Listener.Addr().String(), roots
}

// TestIntercepted: what real clients get through an edge whose TLS is answered by
// us, and what a fault on requests does there; other hosts keep their TLS.
func TestIntercepted(t *testing.T) {
	host, roots := secure(t)
	_, port, _ := net.SplitHostPort(host)
	ours, _, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(pem, ours.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, func(c *Config) {
		c.Roots, c.Intercept = roots, []string{"*.example:" + port}
		c.Leaf = func(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
			return ours.Leaf([]string{h.ServerName}, ca.Wrong(leaf))
		}
	})
	p.resolves("a.example", "127.0.0.1")
	target := "https://a.example:" + port + "/z?q"
	clients := map[string][]string{
		"curl h2":    {"curl", "-sS", "-m", "20", "--noproxy", "", "--cacert", pem, "-w", " %{http_code}", "-x", "http://" + p.addr, "--http2", target},
		"curl h1":    {"curl", "-sS", "-m", "20", "--noproxy", "", "--cacert", pem, "-w", " %{http_code}", "-x", "http://" + p.addr, "--http1.1", target},
		"curl socks": {"curl", "-sS", "-m", "20", "--noproxy", "", "--cacert", pem, "-w", " %{http_code}", "-x", "socks5h://" + p.addr, target},
		"requests":   {"python3", "-c", "import requests,sys\nr=requests.get(sys.argv[1],timeout=20)\nprint(r.text,r.status_code,end='')", target},
	}
	ask := func(t *testing.T, args []string) string {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://"+p.addr, "REQUESTS_CA_BUNDLE="+pem, "no_proxy=", "NO_PROXY=")
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		b, err := cmd.Output()
		if err != nil && strings.Contains(complaint.String(), "No module named") {
			t.Skip("python3-requests is not installed")
		}
		if err != nil {
			t.Fatalf("%v: %s", err, &complaint)
		}
		return string(b)
	}
	for name, args := range clients {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skip(args[0] + " is not installed")
			}
			proto := "HTTP/1.1"
			if name == "curl h2" || name == "curl socks" {
				proto = "HTTP/2.0"
			}
			want := proto + " GET a.example:" + port + " /z?q 200"
			if got := ask(t, args); got != want {
				t.Errorf("unhurt: %q, not %q", got, want)
			}
			in, err := p.engine.Inject(t.Context(), experiment.InjectRequest{Owner: "cli", Faults: []fault.Fault{
				{Kind: "http.status", Params: &fault.Status{Code: 429, Body: new(string)}, Target: fault.Target{Service: "dependency-a.example"}, Match: &fault.Match{Path: "/z"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(t, args); got != " 429" {
				t.Errorf("hurt: %q", got)
			}
			if _, err := p.engine.Lift(t.Context(), in.ID); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, args); got != want {
				t.Errorf("healed: %q", got)
			}
		})
	}
	t.Run("certificate", func(t *testing.T) {
		roots := x509.NewCertPool()
		roots.AddCert(ours.Certificate())
		shake := func() error {
			c, _, _ := p.connect("a.example:" + port)
			return tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "a.example"}).HandshakeContext(t.Context())
		}
		if err := shake(); err != nil {
			t.Fatal(err)
		}
		in, err := p.engine.Inject(t.Context(), experiment.InjectRequest{Owner: "cli", Faults: []fault.Fault{
			{Kind: "tls.certificate", Params: &fault.Certificate{Wrong: "expired"}, Target: fault.Target{Service: "dependency-a.example"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("hurt: %v", err)
		}
		over, err := p.engine.Lift(t.Context(), in.ID)
		if r := over.Receipt(); err != nil || r.Matched != 1 || r.Injected != 1 {
			t.Errorf("%+v %v", r, err)
		}
		if err := shake(); err != nil {
			t.Errorf("healed: %v", err)
		}
	})
	t.Run("another host", func(t *testing.T) { // passes through: the caller sees who it is
		c, status, _ := p.connect("127.0.0.1:" + port)
		if status != 200 {
			t.Fatal(status)
		}
		s := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "a.example"})
		if err := s.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A host that is intercepted is verified: what it is not, the caller does not get.
func TestInterceptedStranger(t *testing.T) {
	host, _ := secure(t)
	_, port, _ := net.SplitHostPort(host)
	ours, _, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, func(c *Config) {
		c.Roots, c.Intercept = x509.NewCertPool(), []string{"*:" + port}
		c.Leaf = func(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
			return ours.Leaf([]string{h.ServerName}, ca.Wrong(leaf))
		}
	})
	p.resolves("a.example", "127.0.0.1")
	c, status, _ := p.connect("a.example:" + port)
	if status != 200 {
		t.Fatal(status)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ours.Certificate())
	s := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "a.example"})
	if err := s.HandshakeContext(t.Context()); err == nil {
		req, _ := http.NewRequest("GET", "https://a.example/", nil)
		if err := req.Write(s); err == nil {
			b := make([]byte, 100)
			if n, err := s.Read(b); err == nil {
				t.Errorf("%q came from a host that nobody vouches for", b[:n])
			}
		}
	}
}
