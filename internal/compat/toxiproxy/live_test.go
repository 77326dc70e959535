package toxiproxy

import (
	"bufio"
	"context"
	"encoding/json"
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

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// patience bounds every wait; it is never what makes a test pass.
const patience = 20 * time.Second

// call is a request to the door by itself, without a server around it.
func (s *stage) call(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// must is call where the answer has to be good.
func (s *stage) must(t testing.TB, method, path, body string) string {
	t.Helper()
	code, text := s.call(t, method, path, body)
	if code >= 300 {
		t.Fatalf("%s %s %s: %d %s", method, path, body, code, text)
	}
	return text
}

// echo is an upstream that gives back each line.
func echo(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				_, _ = io.Copy(c, c) // it ends as its caller does
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); work.Wait() })
	return l.Addr().String()
}

// proxied makes a proxy to an echo and returns where it listens.
func (s *stage) proxied(t testing.TB, name string, more string) string {
	t.Helper()
	var p struct{ Listen string }
	answer := s.must(t, "POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:0","upstream":%q%s}`, name, echo(t), more))
	if err := json.Unmarshal([]byte(answer), &p); err != nil {
		t.Fatal(err)
	}
	return p.Listen
}

// client is a connection through a proxy.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) expect(line string) {
	c.t.Helper()
	got, err := c.in.ReadString('\n')
	if err != nil || got != line+"\n" {
		c.t.Fatalf("got %q, %v; want %q", got, err, line)
	}
}

// ping is a round trip and how long it took.
func (c *client) ping(line string) time.Duration {
	c.t.Helper()
	began := time.Now()
	c.send(line)
	c.expect(line)
	return time.Since(began)
}

// closed waits for the end of the connection, which must be a FIN.
func (c *client) closed() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("got %q, %v; want the end", b, err)
	}
}

func TestToxicsOnLiveConnections(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", "")
	c := dial(t, addr)
	if took := c.ping("before"); took > time.Second {
		t.Fatalf("%s without a toxic", took)
	}
	s.must(t, "POST", "/proxies/p/toxics", `{"type":"latency","attributes":{"latency":200}}`)
	if took := c.ping("slow"); took < 200*time.Millisecond {
		t.Fatalf("%s through 200 ms", took)
	}
	s.must(t, "POST", "/proxies/p/toxics/latency_downstream", `{"attributes":{"latency":400}}`)
	if took := c.ping("slower"); took < 400*time.Millisecond {
		t.Fatalf("%s through 400 ms", took)
	}
	s.must(t, "PATCH", "/proxies/p/toxics/latency_downstream", `{"toxicity":0}`)
	if took := c.ping("spared"); took > 300*time.Millisecond {
		t.Fatalf("%s with toxicity 0", took)
	}
	s.must(t, "PATCH", "/proxies/p/toxics/latency_downstream", `{"toxicity":1}`)
	if took := c.ping("again"); took < 400*time.Millisecond {
		t.Fatalf("%s through 400 ms", took)
	}
	s.must(t, "DELETE", "/proxies/p/toxics/latency_downstream", "")
	if took := c.ping("after"); took > 300*time.Millisecond {
		t.Fatalf("%s after the toxic", took)
	}
}

// TestCut: bytes are held while the rate is 0, and go on afterwards.
func TestCut(t *testing.T) {
	s := newStage(t, nil)
	c := dial(t, s.proxied(t, "p", `,"toxics":[{"type":"bandwidth","name":"down"},{"type":"bandwidth","name":"up","stream":"upstream"}]`))
	c.send("held")
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); err == nil {
		t.Fatalf("%q passed", b)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	s.must(t, "PATCH", "/proxies/p/toxics/up", `{"attributes":{"rate":1000}}`)
	s.must(t, "DELETE", "/proxies/p/toxics/down", "")
	c.expect("held")
}

// TestTimeoutRemoved: what was lost cannot be made good, so its connection ends.
func TestTimeoutRemoved(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", `,"toxics":[{"type":"timeout"}]`)
	c := dial(t, addr)
	c.send("lost")
	s.await(t, func() bool { return s.bytesIn("p") >= 5 })
	s.must(t, "POST", "/reset", "")
	c.closed()
	dial(t, addr).ping("new")
}

// await waits for what others do.
func (s *stage) await(t testing.TB, what func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !what() {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
		<-tick.C
	}
}

func (s *stage) bytesIn(proxy string) uint64 {
	for _, e := range s.engine.Edges() {
		if e.To == proxy {
			return e.BytesIn
		}
	}
	return 0
}

// TestEnds: whatever takes a proxy's listener away ends its connections with a FIN,
// at once.
func TestEnds(t *testing.T) {
	for _, tc := range []struct{ name, method, body string }{
		{"disabled", "POST", `{"enabled":false}`},
		{"moved", "PATCH", `{"listen":"127.0.0.1:0"}`},
		{"another upstream", "POST", `{"upstream":"127.0.0.1:1"}`},
		{"removed", "DELETE", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStage(t, nil)
			c := dial(t, s.proxied(t, "p", ""))
			c.ping("open")
			s.must(t, tc.method, "/proxies/p", tc.body)
			c.closed()
		})
	}
}

func TestPortIsKept(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", `,"toxics":[{"type":"noop"}]`)
	s.must(t, "POST", "/proxies/p", `{"enabled":false}`)
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Fatal("a disabled proxy listens")
	}
	s.must(t, "POST", "/proxies/p", `{"enabled":true}`)
	dial(t, addr).ping("again")
	if n := len(s.engine.Status(context.Background()).Injections); n != 1 {
		t.Errorf("%d toxics are in force again, not 1", n)
	}
}

// nowhere is an address that refuses, as long as the test runs: the near end of a
// connection is taken, and nobody listens there.
func nowhere(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// TestUpstreamDown: the client is accepted and sees the end, as with the original,
// unless the proxy says otherwise.
func TestUpstreamDown(t *testing.T) {
	s := newStage(t, nil)
	answer := s.must(t, "POST", "/proxies", fmt.Sprintf(`{"name":"p","listen":"127.0.0.1:0","upstream":%q}`, nowhere(t)))
	var p struct{ Listen string }
	if err := json.Unmarshal([]byte(answer), &p); err != nil {
		t.Fatal(err)
	}
	dial(t, p.Listen).closed()
}

// TestRefuse: a toxic that acts on the listener.
func TestRefuse(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", "")
	s.must(t, "POST", "/proxies/p/toxics", `{"type":"refuse"}`)
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Fatal("it does not refuse")
	}
	s.must(t, "DELETE", "/proxies/p/toxics/refuse_downstream", "")
	dial(t, addr).ping("again")
}

// TestOthersLift: what is lifted through our own API is gone from the answers.
func TestOthersLift(t *testing.T) {
	ctx := context.Background()
	s := newStage(t, nil)
	s.proxied(t, "p", `,"toxics":[{"type":"latency"},{"type":"noop"},{"type":"noop","name":"off","toxicity":0}]`)
	s.proxied(t, "q", `,"enabled":false,"toxics":[{"type":"noop"}]`)
	status := s.engine.Status(ctx)
	if len(status.Injections) != 2 || status.Injections[0].Owner != "toxiproxy" || !status.Injections[0].Until.IsZero() {
		t.Fatalf("%+v", status.Injections)
	}
	if _, err := s.engine.Lift(ctx, status.Injections[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := s.must(t, "GET", "/proxies/p/toxics", ""); strings.Contains(got, "latency") || !strings.Contains(got, `"off"`) {
		t.Errorf("after the lift of one: %s", got)
	}
	if code, _ := s.call(t, "GET", "/proxies/p/toxics/latency_downstream", ""); code != http.StatusNotFound {
		t.Errorf("a toxic that was lifted: %d", code)
	}
	if _, err := s.engine.Halt(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p", "q"} {
		if got := s.must(t, "GET", "/proxies/"+name+"/toxics", ""); got != "[]" {
			t.Errorf("after a halt %s has %s", name, got)
		}
	}
	s.must(t, "POST", "/proxies/p/toxics", `{"type":"latency","attributes":{"latency":1}}`)
	s.must(t, "PATCH", "/proxies/p/toxics/latency_downstream", `{"attributes":{"latency":2}}`)
	if got := s.must(t, "GET", "/proxies", ""); strings.Count(got, `"latency":2`) != 1 {
		t.Errorf("a halt does not latch: %s", got)
	}
}

// TestOwnFaults: our own API can hurt a proxy, as an edge like others, and /reset
// leaves that alone.
func TestOwnFaults(t *testing.T) {
	ctx := context.Background()
	s := newStage(t, nil)
	s.proxied(t, "redis", "")
	for _, target := range []fault.Target{{Edge: "toxiproxy -> redis"}, {Service: "redis"}} {
		in, err := s.engine.Inject(ctx, experiment.InjectRequest{Faults: []fault.Fault{
			{Kind: "net.latency", Params: &fault.Latency{Delay: fault.Duration(time.Second), Direction: fault.Response}, Target: target},
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.must(t, "POST", "/reset", "")
		if !s.engine.InForce(in.ID) {
			t.Error("/reset has lifted what is not Toxiproxy's")
		}
	}
	s.must(t, "DELETE", "/proxies/redis", "")
	if n := len(s.engine.Status(ctx).Injections); n != 0 {
		t.Errorf("%d faults are in force on an edge that is gone", n)
	}
}

// TestOrder: toxics are listed by stream, in the order in which they came.
func TestOrder(t *testing.T) {
	s := newStage(t, nil)
	s.proxied(t, "p", "")
	for _, x := range []string{"d1", "u1:upstream", "b1:both", "d2", "u2:upstream"} {
		name, stream, ok := strings.Cut(x, ":")
		if !ok {
			stream = "downstream"
		}
		s.must(t, "POST", "/proxies/p/toxics", fmt.Sprintf(`{"type":"noop","name":%q,"stream":%q}`, name, stream))
	}
	order := func() string {
		var list []struct{ Name string }
		if err := json.Unmarshal([]byte(s.must(t, "GET", "/proxies/p/toxics", "")), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range list {
			names = append(names, x.Name)
		}
		return strings.Join(names, " ")
	}
	if got := order(); got != "u1 u2 d1 d2 b1" {
		t.Error(got)
	}
	s.must(t, "PATCH", "/proxies/p/toxics/d1", `{"toxicity":0}`)
	if got := order(); got != "u1 u2 d1 d2 b1" {
		t.Error(got)
	}
	s.must(t, "PATCH", "/proxies/p/toxics/d1", `{"toxicity":0.5}`)
	if got := order(); got != "u1 u2 d1 d2 b1" {
		t.Error(got)
	}
}

// TestPopulateInOrder: proxies are made side by side, and come out as if one by one.
func TestPopulateInOrder(t *testing.T) {
	s := newStage(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	same := l.Addr().String() // several want it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf(`{"name":"p%d","listen":"127.0.0.1:0","upstream":"x:1"}`, i))
	}
	list[7] = fmt.Sprintf(`{"name":"p7","listen":%q,"upstream":"x:1"}`, same)
	list[12] = fmt.Sprintf(`{"name":"p12","listen":%q,"upstream":"x:1"}`, same)
	code, text := s.call(t, "POST", "/populate", "["+strings.Join(list, ",")+"]")
	if code != http.StatusInternalServerError || !strings.Contains(text, same) || !strings.Contains(text, `"p11"`) || strings.Contains(text, `"p12"`) {
		t.Errorf("%d %s", code, text)
	}
	if got := len(s.all(context.Background())); got != 12 {
		t.Errorf("%d proxies are there, not 12", got)
	}
	s.consistent(t)
	list[12] = `{"name":"p3","listen":"127.0.0.1:0","upstream":"y:1"}` // the same name once more
	s.must(t, "POST", "/populate", "["+strings.Join(list, ",")+"]")
	if got := s.must(t, "GET", "/proxies/p3", ""); !strings.Contains(got, "y:1") {
		t.Errorf("the last of a name does not win: %s", got)
	}
	s.consistent(t)
}

// TestSeed: who is hit hangs on the seed and on the order of requests alone, also
// where proxies are made side by side.
func TestSeed(t *testing.T) {
	seeds := func() string {
		s := newStage(t, func(c *Config) { c.Seed = 7 })
		var list []string
		for i := range 30 {
			list = append(list, fmt.Sprintf(`{"name":"p%d","listen":"127.0.0.1:0","upstream":"x:1","toxics":[{"type":"noop"},{"type":"noop","stream":"both"}]}`, i))
		}
		s.must(t, "POST", "/populate", "["+strings.Join(list, ",")+"]")
		s.must(t, "PATCH", "/proxies/p7/toxics/noop_both", `{}`)
		var all []string
		for _, in := range s.engine.Status(context.Background()).Injections {
			all = append(all, fmt.Sprintf("%s %s %d", in.Armed[0].Where, in.Armed[0].Fault.Name, in.Seed))
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	if one, two := seeds(), seeds(); one != two {
		t.Errorf("one\n%s\ntwo\n%s", one, two)
	}
}

// TestNeverWaits: a client that does not read and an upstream that does not answer
// hold nobody up. With the original each of these calls takes 25 s.
func TestNeverWaits(t *testing.T) {
	s := newStage(t, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	deaf := dial(t, s.proxied(t, "deaf", `,"toxics":[{"type":"latency","attributes":{"latency":10}}]`))
	quiet := s.must(t, "POST", "/proxies", fmt.Sprintf(`{"name":"quiet","listen":"127.0.0.1:0","upstream":%q}`, silent.Addr()))
	var p struct{ Listen string }
	if err := json.Unmarshal([]byte(quiet), &p); err != nil {
		t.Fatal(err)
	}
	waits := dial(t, p.Listen)
	var flood sync.WaitGroup
	for _, c := range []*client{deaf, waits} {
		flood.Go(func() {
			chunk := make([]byte, 1<<20)
			for {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		})
	}
	s.await(t, func() bool { return s.bytesIn("deaf") > 1<<20 })
	began := time.Now()
	for i := range 10 {
		for _, name := range []string{"deaf", "quiet"} {
			s.must(t, "POST", "/proxies/"+name+"/toxics", fmt.Sprintf(`{"type":"bandwidth","name":"b%d"}`, i))
			s.must(t, "PATCH", fmt.Sprintf("/proxies/%s/toxics/b%d", name, i), `{"attributes":{"rate":1}}`)
			s.must(t, "POST", "/proxies/"+name+"/toxics", `{"type":"timeout","name":"t","attributes":{"timeout":1000},"toxicity":0}`)
			s.must(t, "GET", "/proxies", "")
			s.must(t, "DELETE", "/proxies/"+name+"/toxics/t", "")
			s.must(t, "DELETE", fmt.Sprintf("/proxies/%s/toxics/b%d", name, i), "")
		}
	}
	s.must(t, "POST", "/reset", "")
	s.must(t, "POST", "/proxies/deaf", `{"enabled":false}`)
	s.must(t, "DELETE", "/proxies/deaf", "")
	s.must(t, "DELETE", "/proxies/quiet", "")
	if took := time.Since(began); took > patience {
		t.Errorf("that took %s", took)
	}
	flood.Wait()
}
