package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// place is a proxy with the engine behind it.
type place struct {
	*testing.T
	engine *engine.Engine
	set    *relay.Set
	addr   string
	names  atomic.Pointer[map[string]string] // what names resolve to
}

func newPlace(t *testing.T, change func(*Config)) *place {
	t.Helper()
	p := &place{T: t, set: relay.NewSet(relay.Options{})}
	p.names.Store(&map[string]string{})
	top := &experiment.Topology{Spec: experiment.TopologySpec{
		Environment: "development", Services: map[string]experiment.Service{"api": {Address: "127.0.0.1:1"}},
	}}
	eng, err := engine.New(t.Context(), engine.Config{
		Topology: top, StateDir: t.TempDir(), Relays: p.set, Drivers: []driver.Driver{driverrelay.New(p.set)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.engine = eng
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	c := Config{Edges: eng, From: "api", LookUp: func(_ context.Context, name string) ([]netip.Addr, error) {
		if a, ok := (*p.names.Load())[name]; ok {
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}}
	if change != nil {
		change(&c)
	}
	d, err := New(t.Context(), ln.(*net.TCPListener), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := eng.Close(context.Background()); err != nil {
			t.Error(err)
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.set.Shutdown(now) // what it had to cut
	})
	return p
}

// resolves makes a name known.
func (p *place) resolves(name, to string) { p.names.Store(&map[string]string{name: to}) }

// server answers with its name, the target and the body that it was sent.
func (p *place) server(name string) (host string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %s%s", name, r.Method, r.Host, r.RequestURI, b, r.Header.Get("X-Forwarded-For"))
	}))
	p.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func (p *place) client() *http.Client {
	u, _ := url.Parse("http://" + p.addr)
	t := &http.Transport{Proxy: http.ProxyURL(u)}
	p.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: patience}
}

func (p *place) dial() *net.TCPConn {
	p.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// connect asks for a tunnel and returns the status.
func (p *place) connect(to string) (*net.TCPConn, int, string) {
	p.Helper()
	c := p.dial()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	req, _ := http.NewRequest("CONNECT", "http://x", nil)
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		p.Fatal(err)
	}
	b := []byte{}
	if resp.StatusCode != 200 {
		b, _ = io.ReadAll(resp.Body)
	}
	return c, resp.StatusCode, string(b)
}

// echo sends back what it gets, and a last word after the end of it.
func (p *place) echo() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
				io.WriteString(c, "bye")
			}()
		}
	}()
	return ln.Addr().String()
}

func TestPlainRequests(t *testing.T) {
	p := newPlace(t, nil)
	a, b := p.server("a"), p.server("b")
	client := p.client()
	for range 3 { // by turns on the same connections to the proxy
		for name, host := range map[string]string{"a": a, "b": b} {
			resp, err := client.Post("http://"+host+"/x//y?q=%41;r&s=%zz", "text/plain", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := name + " POST " + host + " /x//y?q=%41;r&s=%zz body"; string(got) != want {
				t.Errorf("%q, not %q", got, want)
			}
		}
	}
	var names []string
	for _, e := range p.engine.Edges() {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, ", "); got != "api -> dependency-127.0.0.1, api -> dependency-127.0.0.1-"+a[len("127.0.0.1:"):] &&
		got != "api -> dependency-127.0.0.1, api -> dependency-127.0.0.1-"+b[len("127.0.0.1:"):] {
		t.Error(got)
	}
}

func TestTunnelIsByteTrue(t *testing.T) {
	p := newPlace(t, nil)
	to := p.echo()
	open := map[string]func() *net.TCPConn{
		"connect": func() *net.TCPConn {
			c, status, _ := p.connect(to)
			if status != 200 {
				t.Fatal(status)
			}
			return c
		},
		"socks": func() *net.TCPConn { return p.socks(to, 0) },
	}
	for name, open := range open {
		t.Run(name, func(t *testing.T) {
			c := open()
			sent := bytes.Repeat([]byte("\x16\x03\x01 bytes "), 100_000)
			go func() {
				c.Write(sent)
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, append(sent, "bye"...)) {
				t.Errorf("%d bytes of %d, %v", len(got), len(sent)+3, err)
			}
		})
	}
}

// A caller that does not wait for the answer to CONNECT loses nothing.
func TestTunnelWithBytesAhead(t *testing.T) {
	p := newPlace(t, nil)
	to := p.echo()
	c := p.dial()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nahead", to, to)
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if want := "HTTP/1.1 200 Connection established\r\n\r\naheadbye"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// socks opens a tunnel by SOCKS5 and returns it; the answer must have code.
func (p *place) socks(to string, code byte) *net.TCPConn {
	p.Helper()
	c := p.dial()
	h, err := parseHost(to, 0)
	if err != nil {
		p.Fatal(err)
	}
	ask := []byte{5, 2, 1, 0, 5, 1, 0}
	if a, err := netip.ParseAddr(h.name); err == nil {
		ask = append(ask, map[bool]byte{true: addrIPv4, false: addrIPv6}[a.Is4()])
		ask = append(ask, a.AsSlice()...)
	} else {
		ask = append(append(ask, addrName, byte(len(h.name))), h.name...)
	}
	c.Write(append(ask, byte(h.port>>8), byte(h.port)))
	var answer [12]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		p.Fatal(err)
	}
	if want := [12]byte{5, 0, 5, code, 0, 1}; answer != want {
		p.Fatalf("answered %v, not %v", answer, want)
	}
	return c
}

func TestNeverCalled(t *testing.T) {
	p := newPlace(t, func(c *Config) { c.MaxHosts = 1 })
	for _, to := range []string{"169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "[64:ff9b:1::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80", "[2001:0:4136:e378:8000:63bf:5601:5601]:80", "[::169.254.169.254]:80", "[::ffff:0:169.254.169.254]:80", "[fd00:ec2::254]:80", "100.100.100.200:80", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "255.255.255.255:80", p.addr} {
		if _, status, body := p.connect(to); status != 403 || !strings.Contains(body, "never called") {
			t.Errorf("%s: %d %s", to, status, body)
		}
		p.socks(to, socksForbidden)
		resp, err := p.client().Get("http://" + to)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Errorf("GET %s: %s", to, resp.Status)
		}
	}
	p.resolves("sly.example", "169.254.169.254")
	if _, status, _ := p.connect("sly.example:80"); status != 403 {
		t.Errorf("a name that resolves there: %d", status)
	}
	if _, status, _ := p.connect("nowhere.example:80"); status != 502 {
		t.Errorf("a name that is unknown: %d", status)
	}
	p.socks("nowhere.example:80", socksUnreachable)
	if n := len(p.engine.Edges()); n != 0 {
		t.Errorf("%d edges were made", n)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), ln.(*net.TCPListener), Config{Edges: p.engine, From: "api", Hosts: []string{"169.254.169.254:80"}}); !errors.Is(err, errDenied) {
		t.Errorf("one that is named beforehand: %v", err)
	}
	p.connect(p.echo())
	if _, status, body := p.connect(p.echo()); status != 503 || !strings.Contains(body, "maxHosts") {
		t.Errorf("one host too many: %d %s", status, body)
	}
}

// What a name resolved to once says nothing about the next call.
func TestNameThatTurns(t *testing.T) {
	p := newPlace(t, nil)
	to := p.echo()
	_, port, _ := net.SplitHostPort(to)
	p.resolves("turns.example", "127.0.0.1")
	c, status, _ := p.connect("turns.example:" + port)
	c.CloseWrite()
	if b, err := io.ReadAll(c); status != 200 || err != nil || string(b) != "bye" {
		t.Fatalf("%d %q %v", status, b, err)
	}
	p.resolves("turns.example", "169.254.169.254")
	c, status, _ = p.connect("turns.example:" + port)
	c.CloseWrite()
	if b, err := io.ReadAll(c); status != 200 || len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d %q %v", status, b, err)
	}
}

func TestNoProxyRequests(t *testing.T) {
	p := newPlace(t, nil)
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET https://x.example/ HTTP/1.1\r\nHost: x.example\r\n\r\n",
		"CONNECT x.example HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT x.example:0 HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT ../etc:80 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := p.dial()
		io.WriteString(c, head)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("%q: %v %v", head, resp, err)
		}
	}
	for _, ask := range []string{"\x05", "\x05\x01", "\x05\x01\x02", "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x01\x00\x05\x01\x00\x09", "\x05\x01\x00\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x04\x01\x00\x50"} {
		c := p.dial()
		io.WriteString(c, ask)
		c.CloseWrite()
		io.ReadAll(c) // it ends
	}
	p.connect(p.echo()) // and goes on
}

// A fault on the edge is felt through the proxy, by every way in.
func TestFaultOnDependency(t *testing.T) {
	p := newPlace(t, nil)
	host := p.server("a")
	get := func() int {
		resp, err := p.client().Get("http://" + host + "/")
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(); got != 200 {
		t.Fatal(got)
	}
	in, err := p.engine.Inject(t.Context(), experiment.InjectRequest{Owner: "cli", Faults: []fault.Fault{
		{Kind: "http.status", Params: &fault.Status{Code: 503}, Target: fault.Target{Service: "dependency-127.0.0.1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(); got != 503 {
		t.Errorf("%d with the fault in force", got)
	}
	c, _, _ := p.connect(host)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 503 {
		t.Errorf("in a tunnel: %v %v", resp, err)
	}
	if _, err := p.engine.Lift(t.Context(), in.ID); err != nil {
		t.Fatal(err)
	}
	if got := get(); got != 200 {
		t.Errorf("%d after the lift", got)
	}
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	p := newPlace(t, nil)
	host := p.server("a")
	p.resolves("a.example", "127.0.0.1")
	_, port, _ := net.SplitHostPort(host)
	for _, args := range [][]string{
		{"-x", "http://" + p.addr}, {"-p", "-x", "http://" + p.addr}, {"-x", "socks5h://" + p.addr}, {"-x", "socks5://" + p.addr, "--resolve", "a.example:" + port + ":127.0.0.1"},
	} {
		b, err := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "-m", "20", "--noproxy", ""}, append(args, "http://a.example:"+port+"/z")...)...).CombinedOutput()
		if want := "a GET a.example:" + port + " /z "; err != nil || string(b) != want {
			t.Errorf("%q: %q, %v", args, b, err)
		}
	}
}

func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x03\x01a\x00\x50"))
	f.Add([]byte("\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"))
	f.Add([]byte("\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, code, err := readRequest(r)
		if err != nil {
			return
		}
		if again, aerr := parseHost(h.String(), 0); code != socksDone || aerr != nil || again != h {
			t.Errorf("%q gives %v with code %d, which is read as %v, %v", b, h, code, again, aerr)
		}
	})
}
