//go:build linux

package compat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// scenario is something that happens on live connections. It runs on a server of
// each side, with both ends of the connections in the hands of the test, and
// notes what it sees in words that do not depend on the moment: bytes, order,
// how a connection ended, and whether that took as long as told.
type scenario struct {
	name string
	args []string // further flags of the server
	run  func(r *rig)
	// differs are the observations in which we are meant to differ.
	differs map[string]declared
}

// declared is a difference, asserted on both sides.
type declared struct{ why, original, ours string }

// rig is one run of a scenario.
type rig struct {
	*testing.T
	*server
	seen []observation
}

type observation struct{ name, value string }

// saw notes an observation.
func (r *rig) saw(name, value string) {
	r.seen = append(r.seen, observation{name, value})
}

func (r *rig) sawf(name, format string, args ...any) {
	r.saw(name, fmt.Sprintf(format, args...))
}

// TestLive runs all scenarios on both.
func TestLive(t *testing.T) {
	var n, observed, differ atomic.Int64
	t.Cleanup(func() { // when all have run
		tell(t, "live: %d scenarios on both, %d observations, %d of them differ on purpose", n.Load(), observed.Load(), differ.Load())
	})
	for _, s := range slices.Concat(connectionScenarios(), controlScenarios(), latencyScenarios(), bandwidthScenarios(), closingScenarios(),
		timeoutScenarios(), resetScenarios(), slicerScenarios(), limitScenarios(), chainScenarios(), stuckScenarios(), processScenarios(), randomScenarios()) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var seen [2][]observation
			t.Run("on", func(t *testing.T) {
				for i, who := range []side{original, ours} {
					t.Run(string(who), func(t *testing.T) {
						t.Parallel()
						r := &rig{T: t, server: start(t, who, s.args...)}
						defer func() { seen[i] = r.seen }()
						s.run(r)
					})
				}
			})
			n.Add(1)
			observed.Add(int64(len(seen[0])))
			differ.Add(int64(len(s.differs)))
			if !t.Failed() {
				for _, w := range compare(s, seen[0], seen[1]) {
					t.Error(w)
				}
			}
		})
	}
}

// compare returns what is wrong, in sentences.
func compare(s scenario, theirs, mine []observation) (wrong []string) {
	if len(theirs) == 0 {
		return []string{"nothing was observed"}
	}
	if len(theirs) != len(mine) {
		return []string{fmt.Sprintf("%d observations on the original, %d on ours:\n%v\n%v", len(theirs), len(mine), theirs, mine)}
	}
	met := map[string]bool{}
	for i, o := range theirs {
		m := mine[i]
		d, known := s.differs[o.name]
		switch {
		case o.name != m.name:
			return append(wrong, fmt.Sprintf("the original shows %q, ours %q", o.name, m.name))
		case !known || built.self:
			if o.value != m.value {
				wrong = append(wrong, fmt.Sprintf("%s: the original: %s; ours: %s", o.name, o.value, m.value))
			}
		case o.value != d.original:
			wrong = append(wrong, fmt.Sprintf("%s (%s): the original is declared to show %q; it shows %q", o.name, d.why, d.original, o.value))
		case m.value != d.ours:
			wrong = append(wrong, fmt.Sprintf("%s (%s): ours is declared to show %q; it shows %q", o.name, d.why, d.ours, m.value))
		}
		met[o.name] = true
	}
	for name := range s.differs {
		if !met[name] {
			wrong = append(wrong, fmt.Sprintf("declared, but never observed: %s", name))
		}
	}
	return wrong
}

// TestCompareBites proves that a difference, an undeclared one and a declared
// one that is gone are all found.
func TestCompareBites(t *testing.T) {
	if built.self {
		t.Skip("differences are not looked at when the original stands in for ours")
	}
	fin, rst := []observation{{"end", "FIN"}}, []observation{{"end", "RST"}}
	known := map[string]declared{"end": {"why", "FIN", "RST"}}
	for name, c := range map[string]struct {
		s            scenario
		theirs, mine []observation
		wrong        bool
	}{
		"equal":                   {scenario{}, fin, fin, false},
		"different":               {scenario{}, fin, rst, true},
		"declared":                {scenario{differs: known}, fin, rst, false},
		"declared, and equal":     {scenario{differs: known}, fin, fin, true},
		"declared, the other way": {scenario{differs: known}, rst, fin, true},
		"declared, not observed":  {scenario{differs: map[string]declared{"x": {}}}, fin, fin, true},
		"one missing":             {scenario{}, fin, nil, true},
		"nothing seen":            {scenario{}, nil, nil, true},
	} {
		if got := compare(c.s, c.theirs, c.mine); (len(got) > 0) != c.wrong {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// front is a proxy with the listener behind it.
type front struct {
	r        *rig
	name     string
	addr     string // where clients go
	upstream *net.TCPListener
}

// link is a connection through a proxy, both ends of it.
type link struct {
	client, server *net.TCPConn
}

// front makes a proxy in front of a listener of the test.
func (r *rig) front(name string) *front {
	r.Helper()
	l := r.listen()
	return &front{r: r, name: name, addr: r.proxy(r, name, l.Addr().String()), upstream: l}
}

func (r *rig) listen() *net.TCPListener {
	r.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = l.Close() }) // some scenarios close it themselves
	return l
}

// dial connects to an address as a client.
func (r *rig) dial(addr string) *net.TCPConn {
	r.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		r.Fatalf("%s: dial: %v", r.side, err)
	}
	r.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// connect opens a connection through the proxy, up to the server behind it.
func (f *front) connect() link {
	f.r.Helper()
	c := f.r.dial(f.addr)
	return link{c, f.accept()}
}

// open is connect where bytes have passed both ways, so that the connection is
// one that was there before what comes next.
func (f *front) open() link {
	f.r.Helper()
	l := f.connect()
	f.r.send(l.client, ">")
	f.r.receive(l.server, 1)
	f.r.send(l.server, "<")
	f.r.receive(l.client, 1)
	return l
}

func (f *front) accept() *net.TCPConn {
	f.r.Helper()
	if err := f.upstream.SetDeadline(time.Now().Add(patience)); err != nil {
		f.r.Fatal(err)
	}
	s, err := f.upstream.AcceptTCP()
	if err != nil {
		f.r.Fatalf("%s: nobody connects to the upstream: %v", f.r.side, err)
	}
	f.r.Cleanup(func() { _ = s.Close() })
	return s
}

// add puts a toxic on the proxy: the rest of a JSON object behind its type, for
// example `"attributes":{"latency":5}`.
func (f *front) add(kind, rest string) {
	f.r.Helper()
	if rest != "" {
		rest = "," + rest
	}
	f.r.do(f.r, "POST", "/proxies/"+f.name+"/toxics", fmt.Sprintf(`{"name":"t-%s","type":%q%s}`, kind, kind, rest))
}

func (f *front) update(kind, rest string) {
	f.r.Helper()
	f.r.do(f.r, "POST", "/proxies/"+f.name+"/toxics/t-"+kind, "{"+rest+"}")
}

func (f *front) remove(kind string) {
	f.r.Helper()
	f.r.do(f.r, "DELETE", "/proxies/"+f.name+"/toxics/t-"+kind, "")
}

// set changes the proxy.
func (f *front) set(body string) {
	f.r.Helper()
	f.r.do(f.r, "POST", "/proxies/"+f.name, body)
}

// send writes all of it, or fails the test.
func (r *rig) send(c *net.TCPConn, data string) {
	r.Helper()
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		r.Fatal(err)
	}
	if _, err := io.WriteString(c, data); err != nil {
		r.Fatalf("%s: write: %v", r.side, err)
	}
}

// receive reads n bytes, or what comes until the connection ends.
func (r *rig) receive(c *net.TCPConn, n int) string {
	r.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		r.Fatal(err)
	}
	b := make([]byte, n)
	got, err := io.ReadFull(c, b)
	if err != nil {
		return string(b[:got]) + "|" + ending(err)
	}
	return string(b)
}

// rest reads to the end and tells what came and how it ended.
func (r *rig) rest(c *net.TCPConn) (data, end string) {
	r.Helper()
	return r.restWithin(c, patience)
}

// restWithin gives up after a time; then the connection is open.
func (r *rig) restWithin(c *net.TCPConn, limit time.Duration) (data, end string) {
	r.Helper()
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		r.Fatal(err)
	}
	b, err := io.ReadAll(c)
	return string(b), ending(err)
}

// ending is how a read ended, in the words of the wire.
func ending(err error) string {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "FIN"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "RST"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "open"
	}
	return err.Error()
}

// quiet tells what a connection does for a time: nothing, or what came.
func (r *rig) quiet(c *net.TCPConn, d time.Duration) string {
	r.Helper()
	data, end := r.restWithin(c, d)
	if data == "" && end == "open" {
		return "nothing"
	}
	return fmt.Sprintf("%q %s", data, end)
}

// reached tells whether somebody listens at an address.
func (r *rig) reached(addr string) string {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "refused"
		}
		return err.Error()
	}
	_ = c.Close()
	return "accepted"
}

// took compares the time since begin with the time that was told: it may not be
// less; on a busy machine it may be a good deal more.
func took(begin time.Time, want time.Duration) string {
	switch d := time.Since(begin); {
	case d < want*95/100:
		return fmt.Sprintf("less than %v", want)
	case d > 3*want+2*time.Second:
		return fmt.Sprintf("much more than %v", want)
	}
	return fmt.Sprintf("at least %v", want)
}

// before tells whether something came well before a time that is long.
func before(begin time.Time, long time.Duration) string {
	if time.Since(begin) < long*7/10 {
		return "before its time"
	}
	return fmt.Sprintf("only after %v", long)
}

// payload is n bytes that nobody mistakes for others.
func payload(n int) string {
	b := make([]byte, n)
	src := rand.NewChaCha8(sha256.Sum256([]byte(fmt.Sprint(n))))
	_, _ = src.Read(b) // it never fails
	return string(b)
}

// same tells whether all bytes arrived, in order.
func same(got, want string) string {
	switch {
	case got == want:
		return "all bytes in order"
	case strings.HasPrefix(want, got):
		return fmt.Sprintf("the first %d of %d bytes", len(got), len(want))
	case len(got) == len(want):
		return "as many bytes, but others"
	}
	return fmt.Sprintf("%d bytes for %d, not the first of them", len(got), len(want))
}

// carry sends data through a link in one direction while it is read.
func (r *rig) carry(from, to *net.TCPConn, data string) string {
	r.Helper()
	failed := make(chan error, 1)
	go func() {
		_ = from.SetWriteDeadline(time.Now().Add(patience)) // a failed write tells
		_, err := io.Copy(from, bytes.NewReader([]byte(data)))
		failed <- err
	}()
	got := r.receive(to, len(data))
	if err := <-failed; err != nil {
		return "write: " + ending(err)
	}
	return same(got, data)
}

// reset closes a connection with RST.
func (r *rig) reset(c *net.TCPConn) {
	r.Helper()
	if err := c.SetLinger(0); err != nil {
		r.Fatal(err)
	}
	r.shut(c)
}

func (r *rig) shut(c *net.TCPConn) {
	r.Helper()
	if err := c.Close(); err != nil {
		r.Fatal(err)
	}
}
