package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// shakeTime is how long the rest of a handshake may take once its ClientHello is
// there, with the caller as with the callee.
const shakeTime = 30 * time.Second

// terminates tells whether the edge answers TLS itself.
func (s *Spec) terminates() bool { return s.TLS != nil && s.TLS.Certificate != nil }

// originates tells whether the edge calls its callee by TLS.
func (s *Spec) originates() bool { return s.TLS != nil && s.TLS.Upstream != nil }

// tlsSide is what an edge that speaks TLS with its callers or its callee keeps.
type tlsSide struct {
	edge *Edge
	base *tls.Config // of the caller's side: it holds the keys of session tickets

	mu    sync.Mutex
	known map[string]choice // what the callee chose, by what was offered
}

// choice is what a callee chose in a handshake.
type choice struct {
	proto   string
	version uint16
}

// mostChoices bounds what an edge remembers of its callee; beyond, it forgets all.
const mostChoices = 64

func newTLSSide(e *Edge) *tlsSide {
	return &tlsSide{
		edge:  e,
		known: map[string]choice{},
		// Each connection brings its own; the tickets are of the edge.
		base: &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			return h.Conn.(*knock).config, nil
		}},
	}
}

// answer completes a caller's handshake. c is what the callee chose, nil if it has
// no say. The caller sees the certificate that bad, which may be nil, wants.
func (t *tlsSide) answer(ctx context.Context, k *knock, c *choice, bad *hit) (*tls.Conn, error) {
	k.stop()
	conf := &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: bad != nil}
	conf.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := Sound
		if bad != nil && bad.once(false) {
			leaf = bad.Effect.(Handshaker).Handshake().Leaf
		}
		return t.edge.spec.TLS.Certificate(h, leaf)
	}
	if c != nil {
		if c.proto != "" {
			conf.NextProtos = []string{c.proto}
		}
		if c.version != 0 {
			conf.MinVersion, conf.MaxVersion = c.version, c.version
		}
	}
	k.config = conf
	conn := tls.Server(k, t.base)
	ctx, cancel := context.WithTimeout(ctx, shakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with the caller: %w", err)
	}
	return conn, nil
}

// call connects to an address of the callee and completes the handshake. h is what
// the caller has offered, nil for one that speaks plain; protos are offered then.
func (t *tlsSide) call(ctx context.Context, addr string, h *hello, protos []string) (*tls.Conn, error) {
	raw, err := t.edge.dialTo(ctx, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, t.upstream(addr, h, protos))
	ctx, cancel := context.WithTimeout(ctx, shakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		err = fmt.Errorf("TLS handshake with %s: %w", addr, err)
		t.edge.distrust(err)
		return nil, err
	}
	return conn, nil
}

// upstream is how the callee is called: with the name, the protocols and the
// versions of the caller, unless the topology says otherwise.
func (t *tlsSide) upstream(addr string, h *hello, protos []string) *tls.Config {
	c := t.edge.spec.TLS.Upstream.Clone()
	c.NextProtos = protos
	if h != nil {
		c.NextProtos = h.protos
		if n := len(h.versions); n > 0 {
			c.MinVersion, c.MaxVersion = h.versions[0], h.versions[n-1]
		}
		if c.ServerName == "" {
			c.ServerName = h.name
		}
	}
	if c.ServerName == "" {
		c.ServerName = addr
		if host, _, err := net.SplitHostPort(addr); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// chosen is what a callee chose on a connection.
func chosen(c *tls.Conn) choice {
	s := c.ConnectionState()
	return choice{s.NegotiatedProtocol, s.Version}
}

// offer is what the callee's choice hangs on.
func (h *hello) offer() string { return fmt.Sprintf("%q %q %x", h.name, h.protos, h.versions) }

// remember keeps what a callee chose.
func (t *tlsSide) remember(h *hello, c choice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= mostChoices {
		clear(t.known)
	}
	t.known[h.offer()] = c
}

// recall returns what the callee chose when it was last offered the same.
func (t *tlsSide) recall(h *hello) (choice, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.known[h.offer()]
	return c, ok
}

// plainChoice is what is chosen where the callee speaks plain: HTTP/1.1 on an edge
// that sees requests, or HTTP/2 for callers that offer nothing else; else nothing,
// since nobody knows what the callee speaks.
func plainChoice(p experiment.Protocol, h *hello) *choice {
	if !p.SeesRequests() {
		return nil
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		if slices.Contains(h.protos, proto) {
			return &choice{proto: proto}
		}
	}
	return nil
}

// errHurt says that an effect has ended the handshake.
var errHurt = errors.New("the handshake was ended by a fault")

// calleeError is why the callee could not be reached.
type calleeError struct{ err error }

func (e *calleeError) Error() string { return e.err.Error() }
func (e *calleeError) Unwrap() error { return e.err }

// handshakeHurts is what a connection does when its handshake is hurt.
type handshakeHurts struct {
	drawn func(*hit)              // keeps a hit until the handshake is over
	end   func(*hit, Ending) bool // ends the connection on an effect's word
}

// hurt does to a handshake, whose ClientHello is there, what the armed effects want.
// It returns the hit that wants another certificate, nil if none does.
func (e *Edge) hurt(ctx context.Context, k *knock, to handshakeHurts) (bad *hit, err error) {
	for _, a := range e.armed() {
		shaker, ok := a.Effect.(Handshaker)
		if !ok || !a.match.fitsClient(remote(k.TCPConn).Addr()) {
			continue
		}
		h := a.draw("", false)
		if h == nil {
			continue
		}
		to.drawn(h)
		what := shaker.Handshake()
		switch {
		case what.End != GoesOn:
			if to.end(h, what.End) {
				return nil, errHurt
			}
		case what.Stall:
			h.act()
			select {
			case <-h.gone:
			case <-k.left:
				return nil, io.ErrUnexpectedEOF
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		case what.Leaf != Sound:
			bad = h
		}
	}
	return bad, nil
}

// refuse tells a caller why there will be no handshake, if it spoke something else.
func refuse(k *knock, why error) {
	if errors.Is(why, errNotTLS) || errors.Is(why, errBadHello) {
		alert(k.TCPConn, alertUnexpected)
	}
}

// The alert records of an edge that does not come as far as a handshake.
var (
	alertUnexpected   = []byte{21, 3, 1, 0, 2, 2, 10}
	alertUnrecognized = []byte{21, 3, 1, 0, 2, 2, 112}
)

// alert sends a record, without waiting for a caller that reads nothing.
func alert(c net.Conn, record []byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(record)
}

// tlsSocket is TLS as the wire of a connection. A stream that its peer ends without
// saying so ends here in the same way: other is the socket that the bytes go to.
type tlsSocket struct {
	*tls.Conn
	tcp   *net.TCPConn
	other *tlsSocket
	rude  atomic.Bool
}

func newTLSSocket(c *tls.Conn) *tlsSocket {
	s := &tlsSocket{Conn: c}
	switch raw := c.NetConn().(type) {
	case *net.TCPConn:
		s.tcp = raw
	case *knock:
		s.tcp = raw.TCPConn
	}
	return s
}

func (s *tlsSocket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err == io.ErrUnexpectedEOF {
		s.rude.Store(true)
		err = io.EOF
	}
	return n, err
}

func (s *tlsSocket) CloseWrite() error {
	if s.other != nil && s.other.rude.Load() {
		return s.tcp.CloseWrite()
	}
	return s.Conn.CloseWrite()
}

func (s *tlsSocket) SetLinger(sec int) error { return s.tcp.SetLinger(sec) }

// Close closes what is beneath: a farewell would have to wait for the peer.
func (s *tlsSocket) Close() error { return s.tcp.Close() }

// said tells of failing handshakes, not too often.
type said struct {
	say  func(edge string, err error)
	mu   sync.Mutex
	last time.Time
}

// once tells of an error, unless one was told of lately.
func (s *said) once(edge string, err error) {
	s.mu.Lock()
	again := time.Since(s.last) >= fullEvery
	if again {
		s.last = time.Now()
	}
	s.mu.Unlock()
	if again {
		s.say(edge, err)
	}
}

// distrust tells that the callee could not be agreed with, unless it was not asked to
// the end.
func (e *Edge) distrust(err error) {
	if e.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		e.sayTLS(err)
	}
}
