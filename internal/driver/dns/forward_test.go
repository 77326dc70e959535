package dns_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	driverdns "github.com/chaosctl/chaosctl/internal/driver/dns"
)

// queries are all sorts, as bytes.
func queries(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	add := func(what, qname string, qtype uint16, more ...func(*dns.Msg)) {
		m := new(dns.Msg)
		m.SetQuestion(qname, qtype)
		for _, f := range more {
			f(m)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		all[what] = b
	}
	add("A", name, dns.TypeA)
	add("AAAA in another case", "AuTh.TeSt.", dns.TypeAAAA)
	add("MX", name, dns.TypeMX)
	add("truncated", "big.test.", dns.TypeTXT)
	add("big", "big.test.", dns.TypeTXT, edns(4096, false))
	add("truncated later", "big.test.", dns.TypeTXT, edns(1232, true))
	add("DNSSEC", name, dns.TypeA, edns(1232, true), func(m *dns.Msg) { m.CheckingDisabled, m.AuthenticatedData = true, true })
	add("unknown type", name, 65280)
	add("nothing of that type", name, dns.TypeSRV)
	add("NXDOMAIN", "missing.test.", dns.TypeA)
	add("class CHAOS", "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })
	add("the root", ".", dns.TypeNS)
	add("no recursion", name, dns.TypeA, func(m *dns.Msg) { m.RecursionDesired = false })
	add("cookie", name, dns.TypeA, edns(1232, false), func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Cookie: "0123456789abcdef"})
	})
	add("a dot in a label", `a\.b.test.`, dns.TypeA)
	all["something behind"] = append(bytes.Clone(all["A"]), 1, 2, 3)
	return all
}

// Unhurt, what comes through the resolver is what the upstream says, byte for byte.
func TestForwardsByteTrue(t *testing.T) {
	p := newPlace(t)
	p.arm(p.fault(fault.DNSFail, func(q fault.Params) { q.(*fault.DNSFailure).Types = []fault.QueryType{"NAPTR"} }))
	for what, q := range queries(t) {
		for _, network := range []string{"udp", "tcp"} {
			direct, through := raw(t, network, p.up.addr, q), raw(t, network, p.addr, q)
			if !bytes.Equal(direct, through) {
				t.Errorf("%s by %s:\nupstream %x\nresolver %x", what, network, direct, through)
			}
		}
	}
	if s := p.resolver.Status(); s.Queries != uint64(2*len(queries(t))) || s.Unanswered != 0 || s.Lost != 0 || s.Upstreams[0] != p.up.addr {
		t.Errorf("%+v", s)
	}
}

// ca makes a certificate for 127.0.0.1 with the PEM that verifies it.
func ca(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// newDoT and newDoH are upstreams by TLS and by HTTPS.
func newDoT(t *testing.T, c tls.Certificate) (url string, u *upstream) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}})
	if err != nil {
		t.Fatal(err)
	}
	u = &upstream{}
	serveDNS(t, u, &dns.Server{Listener: l})
	return "tls://" + l.Addr().String(), u
}

func newDoH(t *testing.T, c tls.Certificate) (url string, u *upstream) {
	t.Helper()
	u = &upstream{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.seen.Add(1)
		b, _ := io.ReadAll(r.Body)
		var req dns.Msg
		if r.URL.Path != "/dns-query" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/dns-message" || r.ProtoMajor != 2 || req.Unpack(b) != nil {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		a, _ := truthFor(&req).Pack()
		w.Header().Set("Content-Type", "application/dns-message")
		w.Write(a)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/dns-query", u
}

func TestEncryptedUpstreams(t *testing.T) {
	cert, roots := ca(t)
	for what, start := range map[string]func(*testing.T, tls.Certificate) (string, *upstream){"DoT": newDoT, "DoH": newDoH} {
		t.Run(what, func(t *testing.T) {
			url, up := start(t, cert)
			p := placeOn(t, up, driverdns.Options{Upstreams: []string{url}, Roots: roots})
			plain := newUpstream(t)
			for about, q := range queries(t) {
				if about == "something behind" {
					continue // it is not passed on by HTTP of this test
				}
				if direct, through := raw(t, "tcp", plain.addr, q), raw(t, "tcp", p.addr, q); !bytes.Equal(direct, through) {
					t.Errorf("%s:\nupstream %x\nresolver %x", about, direct, through)
				}
			}
			a := p.ask("udp", "big.test.", dns.TypeTXT, patience)
			if !a.Truncated {
				t.Errorf("%d bytes by UDP", a.Len())
			}
			a = p.ask("udp", "big.test.", dns.TypeTXT, patience, edns(8192, false))
			if a.Truncated || len(a.Answer) != 40 {
				t.Errorf("truncated %t with %d answers, for a caller that takes them", a.Truncated, len(a.Answer))
			}
			stranger := placeOn(t, up, driverdns.Options{Upstreams: []string{url}})
			before := up.seen.Load()
			if a := stranger.ask("udp", name, dns.TypeA, patience); a.Rcode != dns.RcodeServerFailure || up.seen.Load() != before {
				t.Errorf("an upstream that is not verified is asked:\n%s", a)
			}
		})
	}
}

// deaf is an upstream that takes queries and never answers; nowhere refuses them.
func deaf(t *testing.T) string {
	u := newUpstream(t)
	u.mute.Store(true)
	return u.addr
}

// nowhere is a UDP address that refuses: a socket that is connected elsewhere
// holds it.
func nowhere(t *testing.T) string {
	t.Helper()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	c, err := net.Dial("udp", other.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

func TestFailover(t *testing.T) {
	t.Parallel()
	for what, first := range map[string]string{"deaf": deaf(t), "refuses": nowhere(t)} {
		t.Run(what, func(t *testing.T) {
			up := newUpstream(t)
			p := placeOn(t, up, driverdns.Options{Upstreams: []string{first, up.addr}})
			for range 3 {
				if a := p.ask("udp", name, dns.TypeA, patience); a == nil || len(addresses(a)) != 1 {
					t.Fatalf("no answer from the second upstream:\n%v", a)
				}
			}
		})
	}
	t.Run("an error is an answer", func(t *testing.T) {
		first, second := newUpstream(t), newUpstream(t)
		p := placeOn(t, first, driverdns.Options{Upstreams: []string{first.addr, second.addr}})
		if a := p.ask("udp", "missing.test.", dns.TypeA, patience); a.Rcode != dns.RcodeNameError || second.seen.Load() != 0 {
			t.Errorf("the second is asked %d times:\n%s", second.seen.Load(), a)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		p := placeOn(t, nil, driverdns.Options{Upstreams: []string{nowhere(t), deaf(t)}, Patience: delay})
		for _, network := range []string{"udp", "tcp"} {
			a := p.ask(network, name, dns.TypeA, patience, edns(1232, false))
			if a.Rcode != dns.RcodeServerFailure || !strings.Contains(a.String(), "no upstream answers") {
				t.Errorf("%s", a)
			}
		}
		if s := p.resolver.Status(); s.Unanswered != 2 || !strings.Contains(s.Problem, "upstream 127.0.0.1:") {
			t.Errorf("%+v", s)
		}
	})
}

// A caller by TCP is served by an upstream that speaks UDP alone, as long as its
// answers fit.
func TestUpstreamWithoutTCP(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{}
	serveDNS(t, up, &dns.Server{PacketConn: pc})
	p := placeOn(t, up, driverdns.Options{Upstreams: []string{pc.LocalAddr().String()}})
	if a := p.ask("tcp", name, dns.TypeA, patience); len(addresses(a)) != 1 {
		t.Errorf("%s", a)
	}
	if a := p.ask("tcp", "big.test.", dns.TypeTXT, patience); a.Rcode != dns.RcodeServerFailure {
		t.Errorf("half an answer by TCP:\n%s", a)
	}
}

// An upstream that sends more than the caller takes is passed on all the same.
func TestLongAnswersByUDP(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{long: true}
	serveDNS(t, up, &dns.Server{PacketConn: pc})
	p := placeOn(t, up, driverdns.Options{Upstreams: []string{pc.LocalAddr().String()}})
	q := queries(t)["truncated"]
	direct, through := raw(t, "udp", pc.LocalAddr().String(), q), raw(t, "udp", p.addr, q)
	if len(direct) <= dns.MinMsgSize || !bytes.Equal(direct, through) {
		t.Errorf("upstream %x\nresolver %x", direct, through)
	}
}

// Forged answers, of another id or question, are not taken.
func TestForgedAnswersAreNotTaken(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var req dns.Msg
			if req.Unpack(buf[:n]) != nil {
				continue
			}
			other := truthFor(&req)
			other.Id++
			strange := truthFor(&req)
			strange.Question[0].Name = "evil.test."
			for _, m := range []*dns.Msg{other, strange, truthFor(&req)} {
				if m != other && m != strange {
					m.Answer = m.Answer[:0]
				}
				b, _ := m.Pack()
				pc.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-over
	})
	p := placeOn(t, nil, driverdns.Options{Upstreams: []string{pc.LocalAddr().String()}})
	if a := p.ask("udp", name, dns.TypeA, patience); len(a.Answer) != 0 || a.Question[0].Name != name {
		t.Errorf("a forged answer came through:\n%s", a)
	}
}

// The system's file is read again when it changes, and never leads to ourselves.
func TestSystemResolvers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# nothing\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n")
	p := placeOn(t, nil, driverdns.Options{System: file})
	if s := p.resolver.Status(); fmt.Sprint(s.Upstreams) != "[192.0.2.1:53 [2001:db8::1]:53]" {
		t.Errorf("%v", s.Upstreams)
	}
	write("nameserver 192.0.2.7\n")
	for start := time.Now(); p.resolver.Status().Upstreams[0] != "192.0.2.7:53"; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("a change is not noticed: %v", p.resolver.Status().Upstreams)
		}
	}
	for text, says := range map[string]string{
		"":          "names no resolver",
		"search x":  "names no resolver",
		"(no file)": "find the system's resolvers",
	} {
		write(text)
		path := file
		if text == "(no file)" {
			path += ".not"
		}
		_, err := driverdns.Open(context.Background(), driverdns.Options{Listen: listenOn, System: path})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "upstreams") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A system that asks us is not asked in its turn.
func TestNeverAsksItself(t *testing.T) {
	const own = "127.77.53.1"
	file := filepath.Join(t.TempDir(), "resolv.conf")
	for text, says := range map[string]string{
		"nameserver " + own + "\n":                         "ask itself for ever",
		"nameserver 0.0.0.0\n":                             "ask itself for ever",
		"nameserver " + own + "\nnameserver 127.77.53.2\n": "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := driverdns.Open(context.Background(), driverdns.Options{Listen: own + ":53", System: file})
		if err != nil && (errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "assign")) {
			t.Skip(err)
		}
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); fmt.Sprint(s.Upstreams) != "[127.77.53.2:53]" {
			t.Errorf("%v", s.Upstreams)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An upstream that turns out to be ourselves, by a name, is not asked either.
func TestNeverAsksItselfByName(t *testing.T) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		l.Close()
		r, err := driverdns.Open(context.Background(), driverdns.Options{Listen: "127.0.0.1:" + port, Upstreams: []string{"localhost:" + port}})
		if err != nil {
			continue // somebody else has the port by now
		}
		p := &place{t, nil, r, driverdns.New(r), r.Addr()}
		for _, network := range []string{"udp", "tcp"} {
			if a := p.ask(network, name, dns.TypeA, patience); a == nil || a.Rcode != dns.RcodeServerFailure {
				t.Errorf("%v", a)
			}
		}
		if n := r.Status().Queries; n != 2 {
			t.Errorf("2 queries became %d", n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		return
	}
}

func TestOpenRefuses(t *testing.T) {
	p := newPlace(t)
	for about, o := range map[string]driverdns.Options{
		"address already in use": {Listen: p.addr, Upstreams: []string{p.up.addr}},
		"holds no certificate":   {Listen: listenOn, Upstreams: []string{"tls://127.0.0.1"}, Roots: []byte("x")},
		"an upstream is":         {Listen: listenOn, Upstreams: []string{"ftp://x/y"}},
	} {
		if _, err := driverdns.Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%v, not %q", err, about)
		}
	}
}
