package peers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// identity is a certificate for localhost with a pool that trusts it.
func identity(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// udpTopology has one edge, whose callee is at an address.
func udpTopology(addr string) string {
	return fmt.Sprintf(`
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: peers}
spec:
  services:
    far: {address: %q, protocol: udp}
  edges:
    - {from: users, to: far, listen: "127.0.0.1:0", idle: 10s}
`, addr)
}

// quicEchoes starts a server that echoes each stream, and returns its address.
func quicEchoes(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: sock}
	l, err := tr.Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			all.Go(func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					all.Go(func() {
						io.Copy(s, s)
						s.Close()
					})
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		tr.Close()
		sock.Close()
		all.Wait()
	})
	return sock.LocalAddr().String()
}

// dialQUIC connects through the relay.
func dialQUIC(t *testing.T, addr string, roots *x509.CertPool) *quic.Conn {
	t.Helper()
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: sock}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := tr.Dial(ctx, to, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"echo"}},
		&quic.Config{HandshakeIdleTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.CloseWithError(0, "")
		tr.Close()
		sock.Close()
	})
	return c
}

// roundTrip sends bytes on a stream of their own and tells how long their echo took.
func roundTrip(t *testing.T, c *quic.Conn, size int) time.Duration {
	t.Helper()
	want := make([]byte, size)
	rand.Read(want)
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(start.Add(patience))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		s.Write(want)
		s.Close()
	})
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("of %d bytes %d came back, %v", size, len(got), err)
	}
	return time.Since(start)
}

// QUIC passes unhurt, through loss and through delay, byte for byte.
func TestQUIC(t *testing.T) {
	cert, roots := identity(t)
	s := serve(t, udpTopology(quicEchoes(t, cert)))
	c := dialQUIC(t, s.listens["users -> far"], roots)
	const size = 1 << 20
	roundTrip(t, c, size)
	unhurt := roundTrip(t, c, 100)

	id := s.inject("far", "--loss", "5%")
	roundTrip(t, c, size)
	if r := s.receipt(id); r.Unit != "datagram" || r.Injected == 0 || r.Skipped == 0 || r.Matched != r.Injected+r.Skipped {
		t.Errorf("loss: %+v", r)
	}
	dialQUIC(t, s.listens["users -> far"], roots) // the handshake loses packets, too
	s.lift(id)

	const delay = 300 * time.Millisecond
	id = s.inject("far", "--latency", delay.String())
	if took := roundTrip(t, c, 100); took < delay {
		t.Errorf("an echo took %s, %s without a fault", took, unhurt)
	}
	if r := s.receipt(id); r.Unit != "datagram" || r.Injected == 0 {
		t.Errorf("latency: %+v", r)
	}
	s.lift(id)
	roundTrip(t, c, size)
}

// Its packets survive being doubled, out of order and damaged, which QUIC takes as
// lost; and its connection that another port carries on (net.kill is a NAT that
// forgets).
func TestQUICSurvives(t *testing.T) {
	cert, roots := identity(t)
	s := serve(t, udpTopology(quicEchoes(t, cert)))
	c := dialQUIC(t, s.listens["users -> far"], roots)
	for _, fault := range [][]string{{"--duplicate", "20%"}, {"--reorder", "5%"}, {"--corrupt", "3%"}, {"--bandwidth", "2MB/s"}, {"--kind", "net.kill"}} {
		id := s.inject(append([]string{"far"}, fault...)...)
		roundTrip(t, c, 1<<20)
		if r := s.receipt(id); r.Injected == 0 {
			t.Errorf("%v: %+v", fault, r)
		}
		s.lift(id)
	}
}

// HTTP/3 passes, with a body each way and trailers.
func TestHTTP3(t *testing.T) {
	cert, roots := identity(t)
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http3.Server{
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}}),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			n, _ := io.Copy(w, r.Body)
			w.Header().Set("X-Sum", fmt.Sprint(n))
		}),
	}
	var served sync.WaitGroup
	served.Go(func() { srv.Serve(sock) })
	t.Cleanup(func() {
		srv.Close()
		sock.Close()
		served.Wait()
	})
	s := serve(t, udpTopology(sock.LocalAddr().String()))
	_, port, _ := net.SplitHostPort(s.listens["users -> far"])
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	t.Cleanup(func() { tr.Close() })
	client := &http.Client{Transport: tr, Timeout: patience}
	post := func() {
		t.Helper()
		want := make([]byte, 256<<10)
		rand.Read(want)
		resp, err := client.Post("https://127.0.0.1:"+port+"/", "application/octet-stream", bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, want) || resp.Proto != "HTTP/3.0" || resp.Trailer.Get("X-Sum") != fmt.Sprint(len(want)) {
			t.Errorf("%s: %d bytes, trailer %v, %v", resp.Proto, len(got), resp.Trailer, err)
		}
	}
	post()
	id := s.inject("far", "--loss", "5%")
	post()
	if r := s.receipt(id); r.Injected == 0 {
		t.Errorf("%+v", r)
	}
	s.lift(id)
	post()
}
