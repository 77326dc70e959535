package relay_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cases has one entry per kind, added by the kind's own file.
var cases = map[string]drivertest.Case{}

func contract(k *fault.Kind, c drivertest.Case) bool {
	cases[k.Name] = c
	return true
}

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Suite{
		New:   func(t *testing.T) driver.Driver { return driverrelay.New(relay.NewSet(relay.Options{})) },
		Cases: cases,
	})
}

// patience bounds waits; delay is the size of effects, and more than a relay
// without any takes on a loaded machine.
const (
	patience = 20 * time.Second
	delay    = 300 * time.Millisecond
)

// place is an edge with a callee and the driver of its relay.
type place struct {
	*testing.T
	driver *driverrelay.Driver
	set    *relay.Set
	edge   *relay.Edge
	addr   string
	ended  chan experiment.Exchange // as they end; those that nobody reads are dropped
	roots  *x509.CertPool           // of the edge's own certificates; nil without TLS
}

func newPlace(t *testing.T, p experiment.Protocol, upstream string) *place {
	t.Helper()
	return specPlace(t, relay.Spec{From: "api", To: "auth", Protocol: p, Listen: "127.0.0.1:0", Upstreams: []string{upstream}})
}

func specPlace(t *testing.T, s relay.Spec) *place {
	t.Helper()
	ended := make(chan experiment.Exchange, 16)
	set := relay.NewSet(relay.Options{Exchange: func(x experiment.Exchange) {
		select {
		case ended <- x:
		default:
		}
	}})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		set.Shutdown(ctx)
	})
	if err := set.Open(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	e, _ := set.Edge("api -> auth")
	return &place{t, driverrelay.New(set), set, e, e.Spec().Listen, ended, nil}
}

// tcpPlace has a callee that echoes bytes.
func tcpPlace(t *testing.T) *place {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(all.Wait) // after the relay has shut down
	t.Cleanup(func() { l.Close() })
	return newPlace(t, experiment.TCP, l.Addr().String())
}

// httpPlace has a callee that answers "hello" to GET and echoes POST.
func httpPlace(t *testing.T) *place {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.Copy(w, r.Body)
			return
		}
		io.WriteString(w, "hello")
	}))
	t.Cleanup(srv.Close)
	return newPlace(t, experiment.HTTP, srv.Listener.Addr().String())
}

// fault makes the fault of a case, placed on the edge.
func (p *place) fault(k *fault.Kind, set func(fault.Params)) fault.Fault {
	params := k.New()
	if set != nil {
		set(params)
	}
	return fault.Fault{
		Kind: k.Name, Target: fault.Target{Edge: "api -> auth"}, Params: params,
		At: &fault.Placed{Relay: &fault.RelayEdge{From: "api", To: "auth"}},
	}
}

func (p *place) world(f fault.Fault, felt func(t *testing.T) bool) *drivertest.World {
	return &drivertest.World{Driver: p.driver, Fault: f, Felt: felt}
}

// deadline is when what is read or written has to be done.
func deadline() time.Time { return time.Now().Add(patience) }

// arm puts a fault in force.
func (p *place) arm(f fault.Fault) driver.Change {
	p.Helper()
	c, err := p.driver.Plan(p.Context(), f)
	if err != nil {
		p.Fatal(err)
	}
	c.ID, c.Seed = rand.Text(), 7
	if err := p.driver.Apply(p.Context(), c); err != nil {
		p.Fatal(err)
	}
	return c
}

func (p *place) lift(c driver.Change) {
	p.Helper()
	if err := p.driver.Revert(p.Context(), c); err != nil {
		p.Fatal(err)
	}
}

// ends waits for the end of a connection and tells whether it was a reset.
func ends(t *testing.T, c net.Conn) (reset bool) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	if isTimeout(err) {
		t.Fatal("the connection goes on")
	}
	return err != nil
}

// dial returns a connection, or nil if it was refused or reset.
func (p *place) dial() *net.TCPConn {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil
	}
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// echoes sends a byte and tells how long its echo took; within bounds the wait.
func echoes(c net.Conn, within time.Duration) (time.Duration, error) {
	start := time.Now()
	c.SetDeadline(start.Add(within))
	if _, err := c.Write([]byte{42}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return time.Since(start), err
}

// get sends a request on a connection of its own.
func (p *place) get(within time.Duration) (status int, body string, took time.Duration, err error) {
	start := time.Now()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return 0, "", 0, err
	}
	defer c.Close()
	c.SetDeadline(start.Add(within))
	if _, err := io.WriteString(c, "GET /users/1 HTTP/1.1\r\nHost: auth\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, "", 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", time.Since(start), err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), time.Since(start), err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func TestPlanRefuses(t *testing.T) {
	tcp, web := tcpPlace(t), httpPlace(t)
	status := func(p fault.Params) { p.(*fault.Status).Code = 503 }
	match := &fault.Match{Path: "/x"}
	matched := tcp.fault(fault.NetReset, nil)
	matched.Match = match
	whole := web.fault(fault.NetKill, nil)
	whole.Match = match
	callers := &fault.Match{Client: []string{"10.0.0.0/8"}}
	everybody := tcp.fault(fault.NetRefuse, nil)
	everybody.Match = callers
	onData := web.fault(fault.NetReset, func(q fault.Params) { q.(*fault.Reset).On = fault.ResetOnData })
	elsewhere := tcp.fault(fault.NetReset, nil)
	elsewhere.At.Relay.To = "nobody"
	alien := tcp.fault(fault.NetReset, nil)
	alien.Params = &fault.Status{}
	for name, c := range map[string]struct {
		place *place
		fault fault.Fault
		is    error
		says  string
	}{
		"http kind on bytes":    {tcp, tcp.fault(fault.HTTPStatus, status), driver.ErrUnsupported, "protocol: http"},
		"match on bytes":        {tcp, matched, driver.ErrUnsupported, "match"},
		"match on connections":  {web, whole, driver.ErrUnsupported, "whole connections"},
		"bytes kind on http":    {web, web.fault(fault.NetSlowClose, nil), driver.ErrUnsupported, "protocol: tcp"},
		"late accept on http":   {web, web.fault(fault.NetSlowAccept, nil), driver.ErrUnsupported, "protocol: tcp"},
		"bytes params on http":  {web, onData, driver.ErrUnsupported, "protocol: tcp"},
		"callers of a listener": {tcp, everybody, driver.ErrUnsupported, "before a caller is known"},
		"no such edge":          {tcp, elsewhere, driver.ErrNoTarget, "api -> nobody"},
		"another kind's params": {tcp, alien, nil, "params"},
		"another driver's kind": {tcp, tcp.fault(fault.ProcPause, nil), driver.ErrUnsupported, "proc.pause"},
	} {
		_, err := c.place.driver.Plan(t.Context(), c.fault)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlanSaysItInWords(t *testing.T) {
	p := httpPlace(t)
	f := p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(500 * time.Millisecond) })
	on := "api -> auth (" + p.addr + ")"
	want := map[string]func(){
		"answers on " + on + " start 500ms later, on all exchanges": func() {},
		"answers on " + on + " start 500ms later, on 20% of the exchanges that match GET, /users/*, at most 3 at a time": func() {
			f.Share, f.MaxActive, f.Match = 0.2, 3, &fault.Match{Method: []string{"GET"}, Path: "/users/*"}
		},
		"answers on " + on + " start 500ms later, on 20% of the exchanges from 10.0.0.0/8 or ::1 that match GET": func() {
			f.MaxActive, f.Match = 0, &fault.Match{Method: []string{"GET"}, Client: []string{"10.0.0.0/8", "::1"}}
		},
	}
	for _, text := range []string{"all", "at most 3", "::1"} {
		for sentence, change := range want {
			if !strings.Contains(sentence, text) {
				continue
			}
			change()
			c, err := p.driver.Plan(t.Context(), f)
			if err != nil || c.Touches != sentence || c.Undoes == "" || !c.Volatile {
				t.Errorf("planned %q (%v), not %q", c.Touches, err, sentence)
			}
		}
	}
}

// An edge that finds out by itself says which of its connections are meant.
func TestPlanSaysWhomOnAuto(t *testing.T) {
	p := newPlace(t, experiment.Auto, "127.0.0.1:9")
	late := p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(time.Second) })
	some, tries := late, late
	some.Match, tries.Attempts = &fault.Match{Path: "/x"}, "1"
	for says, f := range map[string]fault.Fault{
		"on all connections that carry no requests":        p.fault(fault.NetLoss, nil),
		"on all exchanges and connections that carry none": late,
		"on all exchanges that match /x":                   some,
		"on all exchanges, in attempt 1 of each call":      tries,
		"the callee never sees them, on all exchanges":     p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 }),
	} {
		if c, err := p.driver.Plan(t.Context(), f); err != nil || !strings.HasSuffix(c.Touches, says) {
			t.Errorf("%s: %q (%v) does not end in %q", f.Kind, c.Touches, err, says)
		}
	}
}

func TestProtectIsHonouredOrRefused(t *testing.T) {
	p := httpPlace(t)
	apply := func(f fault.Fault) (driver.Change, error) {
		c, err := p.driver.Plan(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		c.ID, c.Protect = fmt.Sprint(f.Kind, time.Now()), []fault.Match{{Path: "/users/**"}}
		return c, p.driver.Apply(t.Context(), c)
	}
	c, err := apply(p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 }))
	if err != nil {
		t.Fatal(err)
	}
	if code, _, _, err := p.get(patience); code != 200 {
		t.Errorf("a protected request was answered with %d (%v)", code, err)
	}
	s, err := p.driver.Inspect(t.Context(), c)
	if err != nil || !s.InForce || s.Receipt != (fault.Receipt{Unit: fault.Exchange, Matched: 1, Skipped: 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := p.driver.Revert(t.Context(), c); err != nil {
		t.Error(err)
	}
	if _, err := apply(p.fault(fault.NetRefuse, nil)); err == nil {
		t.Error("connections were refused although some requests are protected")
	}
	if code, _, _, _ := p.get(patience); code != 200 {
		t.Errorf("%d after a refused change", code)
	}
}

func isRefusedText(err error) bool { return strings.Contains(err.Error(), "refused") }

// Whatever the catalogue promises for relays is served here.
func TestServesTheCatalogue(t *testing.T) {
	_, kinds := driverrelay.New(nil).Serves()
	for _, k := range fault.Kinds() {
		if slices.Contains(k.Grounds, "relay") != slices.Contains(kinds, k) {
			t.Errorf("%s: grounds %v, served here %v", k.Name, k.Grounds, slices.Contains(kinds, k))
		}
	}
}

// A match of callers spares the others, on edges of any protocol, and says so in
// the receipt.
func TestMatchOfClients(t *testing.T) {
	for _, p := range []*place{tcpPlace(t), httpPlace(t)} {
		say := func(from string) time.Duration {
			start := time.Now()
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", p.addr)
			if err != nil {
				t.Skipf("this system has no %s: %v", from, err)
			}
			defer c.Close()
			c.SetDeadline(deadline())
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: auth\r\nConnection: close\r\n\r\n")
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		f := p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(delay) })
		f.Match = &fault.Match{Client: []string{"10.0.0.0/8", "127.0.0.3"}}
		c := p.arm(f)
		if took := say("127.0.0.2"); took >= delay {
			t.Errorf("another caller waits for %s", took)
		}
		if took := say("127.0.0.3"); took < delay {
			t.Errorf("the caller that is meant waits for %s", took)
		}
		s, err := p.driver.Inspect(t.Context(), c)
		if r := s.Receipt; err != nil || r.Matched != 1 || r.Injected != 1 || r.Skipped != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// Kinds that act on whole connections choose by caller, too.
func TestMatchOfClientsOnConnections(t *testing.T) {
	for kind, set := range map[*fault.Kind]func(fault.Params){
		fault.NetKill: nil, fault.NetReset: nil, fault.NetBlackhole: nil, fault.NetStall: nil, fault.NetPartition: nil, fault.NetTimeout: nil, fault.NetNoop: nil,
		fault.NetDrop:       func(q fault.Params) { q.(*fault.Drop).Rate = 1 },
		fault.NetSlowAccept: func(q fault.Params) { q.(*fault.SlowAccept).Delay = fault.Duration(time.Hour) },
	} {
		p := tcpPlace(t)
		dial := func(from string) net.Conn {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", p.addr)
			if err != nil {
				t.Skipf("this system has no %s: %v", from, err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		meant, other := dial("127.0.0.3"), dial("127.0.0.2")
		for _, c := range []net.Conn{meant, other} {
			if _, err := echoes(c, patience); err != nil {
				t.Fatal(err)
			}
		}
		f := p.fault(kind, set)
		f.Match = &fault.Match{Client: []string{"127.0.0.3/32"}}
		c := p.arm(f)
		if kind == fault.NetSlowAccept {
			meant, other = dial("127.0.0.3"), dial("127.0.0.2")
		}
		if _, err := echoes(other, patience); err != nil {
			t.Errorf("%s hurts another caller: %v", kind.Name, err)
		}
		if _, err := echoes(meant, delay); (err == nil) != (kind == fault.NetNoop) {
			t.Errorf("%s on the caller that is meant: %v", kind.Name, err)
		}
		s, err := p.driver.Inspect(t.Context(), c)
		if r := s.Receipt; err != nil || r.Matched < 1 || r.Injected != 1 { // open ones fit, and are not hurt by all kinds
			t.Errorf("%s: %+v, %v", kind.Name, r, err)
		}
	}
	reject := tcpPlace(t)
	f := reject.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Mode = fault.CutReject })
	f.Match = &fault.Match{Client: []string{"127.0.0.3"}}
	if _, err := reject.driver.Plan(t.Context(), f); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("a listener is closed to some: %v", err)
	}
}

// A change in the place of another acts on open connections at once; a bad one
// leaves the old one in force.
func TestUpdate(t *testing.T) {
	p := tcpPlace(t)
	conn := p.dial()
	defer conn.Close()
	slow := func(d time.Duration) fault.Fault {
		return p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(d) })
	}
	old := p.arm(slow(delay))
	bad := old
	bad.ID, bad.Fault = rand.Text(), p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 500 })
	if err := p.driver.Update(t.Context(), old, bad); err == nil {
		t.Error("bytes are answered with a status")
	}
	if took, err := echoes(conn, patience); err != nil || took < delay {
		t.Errorf("after a bad update: %s (%v)", took, err)
	}
	fresh := old
	fresh.ID, fresh.Fault = rand.Text(), slow(3*delay)
	if err := p.driver.Update(t.Context(), old, fresh); err != nil {
		t.Fatal(err)
	}
	if took, err := echoes(conn, patience); err != nil || took < 3*delay {
		t.Errorf("after the update: %s (%v)", took, err)
	}
	for c, want := range map[*driver.Change]bool{&old: false, &fresh: true} {
		if s, err := p.driver.Inspect(t.Context(), *c); err != nil || s.InForce != want {
			t.Errorf("%s is in force: %t (%v)", c.ID, s.InForce, err)
		}
	}
}
