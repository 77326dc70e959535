package relay_test

import (
	"bufio"
	"context"
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
}

func newPlace(t *testing.T, p experiment.Protocol, upstream string) *place {
	t.Helper()
	set := relay.NewSet(relay.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		set.Shutdown(ctx)
	})
	err := set.Open(t.Context(), relay.Spec{From: "api", To: "auth", Protocol: p, Listen: "127.0.0.1:0", Upstreams: []string{upstream}})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := set.Edge("api -> auth")
	return &place{t, driverrelay.New(set), set, e, e.Spec().Listen}
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
	}
	for _, text := range []string{"all", "20%"} {
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
