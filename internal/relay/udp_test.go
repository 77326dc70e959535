package relay_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// echoer answers each datagram with its name and the datagram, at an address; port 0
// picks one.
func echoer(t *testing.T, name, at string) (addr string, stop func()) {
	t.Helper()
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.UDPConn).SetReadBuffer(4 << 20)
	var all sync.WaitGroup
	all.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(name), b[:n]...), from)
		}
	})
	stop = sync.OnceFunc(func() { c.Close(); all.Wait() })
	t.Cleanup(stop)
	return c.LocalAddr().String(), stop
}

// udpSet opens an edge of datagrams and returns what it reports.
func udpSet(t *testing.T, o relay.Options, spec relay.Spec) (*relay.Set, *relay.Edge, chan experiment.Exchange) {
	t.Helper()
	ended := make(chan experiment.Exchange, 10000)
	o.Exchange = func(x experiment.Exchange) { ended <- x }
	set := relay.NewSet(o)
	t.Cleanup(func() { shutdown(t, set) })
	spec.From, spec.To, spec.Protocol = "api", "auth", experiment.UDP
	if spec.Listen == "" {
		spec.Listen = "127.0.0.1:0"
	}
	if err := set.Open(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	e, _ := set.Edge("api -> auth")
	return set, e, ended
}

// shutdown must be quick, whatever is open.
func shutdown(t *testing.T, set *relay.Set) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := set.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func caller(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a datagram and returns the answer: nothing is lost on loopback.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	b := make([]byte, 1<<16)
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func served(set *relay.Set) experiment.EdgeStatus { return set.Status()[0] }

func TestUDPPassesAllSizes(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		up, _ := echoer(t, "", host+":0")
		set, e, ended := udpSet(t, relay.Options{}, relay.Spec{Listen: host + ":0", Upstreams: []string{up}})
		c := caller(t, e.Spec().Listen)
		b, sum := make([]byte, 1<<16), 0
		sizes := []int{0, 1, 0, 512, 1472, 9000, 65507}
		for _, size := range sizes {
			want := make([]byte, size)
			rand.Read(want)
			sum += size
			c.Write(want)
			c.SetReadDeadline(time.Now().Add(patience))
			n, err := c.Read(b)
			if err != nil || !bytes.Equal(b[:n], want) {
				t.Fatalf("%s: %d bytes: %d came, %v", host, size, n, err)
			}
		}
		s := served(set)
		want := experiment.EdgeStatus{
			Name: "api -> auth", From: "api", To: "auth", Protocol: experiment.UDP, Listen: e.Spec().Listen, Upstream: up,
			Open: 1, Accepted: 1, Exchanges: uint64(len(sizes)), BytesIn: uint64(sum), BytesOut: uint64(sum),
		}
		if fmt.Sprint(s) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", s, want)
		}
		conns := set.Connections("api -> auth")
		if len(conns) != 1 || conns[0].Client != c.LocalAddr().String() || conns[0].Upstream != up || conns[0].State != "open" || conns[0].BytesIn != uint64(sum) {
			t.Errorf("%+v", conns)
		}
		if !set.CloseConnection(conns[0].ID, false) || set.CloseConnection(conns[0].ID, false) || served(set).Open != 0 {
			t.Error("the session is not closed, or twice")
		}
		x := <-ended
		if x.Edge != "api -> auth" || x.Conn != conns[0].ID || x.BytesIn != uint64(sum) || x.BytesOut != uint64(sum) || x.MessagesIn != 7 || x.MessagesOut != 7 || x.FirstByte.Before(x.Start) || x.End.Before(x.FirstByte) || x.EndedBy != "relay" {
			t.Errorf("%+v", x)
		}
	}
}

// Each caller gets its own answers, and only those.
func TestUDPManyCallers(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, ended := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	before := openFiles()
	const callers, each = 200, 20
	few := make(chan bool, 32) // at a time: the callee's buffer has no room for all
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			c, err := net.Dial("udp", e.Spec().Listen)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for k := range each {
				few <- true
				if want := fmt.Sprint(i, ":", k); ask(t, c, want) != want {
					t.Errorf("%s was answered otherwise", want)
				}
				<-few
			}
		})
	}
	all.Wait()
	if s := served(set); s.Open != callers || s.Accepted != callers || s.Exchanges < callers*each || s.Dropped+s.Unreachable != 0 {
		t.Errorf("%+v", s)
	}
	shutdown(t, set)
	if after := openFiles(); after > before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
	if len(ended) != callers {
		t.Errorf("%d sessions were reported", len(ended))
	}
}

// openFiles counts the descriptors of this process, where that can be asked.
func openFiles() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// A session ends by itself once nothing has passed for long enough, and not while
// something does.
func TestUDPIdle(t *testing.T) {
	const idle = 300 * time.Millisecond
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, ended := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}, Idle: idle})
	c := caller(t, e.Spec().Listen)
	// Bytes that an effect delays for longer keep it, too.
	if err := e.Arm(relay.Armed{ID: "slow", Name: "slow", Effect: later(2 * idle)}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, "x"); got != "x" {
		t.Error(got)
	}
	if err := e.Lift("slow"); err != nil {
		t.Fatal(err)
	}
	x := <-ended
	if took := x.End.Sub(x.Start); took < 2*idle || x.EndedBy != "relay" || !slices.Equal(x.Faults, []string{"slow"}) {
		t.Errorf("%s: %+v", took, x)
	}
	if s := served(set); s.Open != 0 {
		t.Errorf("%+v", s)
	}
	if got := ask(t, c, "y"); got != "y" || served(set).Accepted < 2 {
		t.Errorf("%q, %+v", got, served(set))
	}
}

// later delays answers.
type later time.Duration

func (l later) Lane(way relay.Way) relay.Lane {
	if way == relay.Up {
		return nil
	}
	return l
}

func (l later) Packet(int, time.Time, *relay.Rand) relay.Fate {
	return relay.Fate{Delay: time.Duration(l)}
}

// The callee goes away: ICMP says so, sessions stay, and go on when it is back.
func TestUDPCalleeGone(t *testing.T) {
	up, stop := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	c := caller(t, e.Spec().Listen)
	if ask(t, c, "x") != "x" {
		t.Fatal("not answered")
	}
	id := set.Connections("")[0].ID
	stop()
	waitFor(t, func() bool { c.Write([]byte("y")); return served(set).Unreachable > 0 })
	echoer(t, "new:", up)
	if got := ask(t, c, "z"); !strings.HasPrefix(got, "new:") {
		t.Error(got)
	}
	if got := set.Connections(""); len(got) != 1 || got[0].ID != id {
		t.Errorf("%+v", got)
	}
}

// waitFor asks until something is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it never becomes so")
		}
	}
}

// Callees take turns, also those that are named.
func TestUDPUpstreamsTakeTurns(t *testing.T) {
	one, _ := echoer(t, "one", "127.0.0.1:0")
	two, _ := echoer(t, "two", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(two)
	_, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{one, "localhost:" + port}})
	got := map[string]int{}
	for range 6 {
		got[ask(t, caller(t, e.Spec().Listen), "")]++
	}
	if got["one"] != 3 || got["two"] != 3 {
		t.Errorf("%v", got)
	}
}

// Where an edge has as many sessions as it may, the idlest makes room.
func TestUDPIdlestMakesRoom(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	e.Sessions(3)
	var callers []net.Conn
	for range 3 {
		c := caller(t, e.Spec().Listen)
		ask(t, c, "x")
		callers = append(callers, c)
	}
	ask(t, callers[0], "x") // so that the second is the idlest
	ask(t, caller(t, e.Spec().Listen), "x")
	left := set.Connections("")
	if len(left) != 3 || slices.ContainsFunc(left, func(c experiment.Connection) bool { return c.Client == callers[1].LocalAddr().String() }) {
		t.Errorf("%+v", left)
	}
}

// An edge on all addresses answers from the one that was called.
func TestUDPAnswersFromWhereItWasCalled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is an address of its own on Linux only")
	}
	up, _ := echoer(t, "", "127.0.0.1:0")
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		_, e, _ := udpSet(t, relay.Options{}, relay.Spec{Listen: listen, Upstreams: []string{up}})
		_, port, _ := net.SplitHostPort(e.Spec().Listen)
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			if got := ask(t, caller(t, net.JoinHostPort(host, port)), host); got != host {
				t.Errorf("%s on %s: %q", host, listen, got)
			}
		}
		if listen == "[::]:0" {
			ask(t, caller(t, net.JoinHostPort("::1", port)), "six")
		}
	}
}

// A port that was picked is kept over a refusal, on all addresses, too.
func TestUDPRefuses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a socket can be made to refuse on Linux only")
	}
	up, _ := echoer(t, "", "127.0.0.1:0")
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		_, e, _ := udpSet(t, relay.Options{}, relay.Spec{Listen: listen, Upstreams: []string{up}})
		host, port, _ := net.SplitHostPort(e.Spec().Listen)
		c := caller(t, net.JoinHostPort(reached(host), port))
		ask(t, c, "x")
		if err := e.Arm(relay.Armed{ID: "r", Name: "r", Effect: refuser{}}); err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("y"))
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v", listen, err)
		}
		if other, err := net.ListenPacket("udp", e.Spec().Listen); err == nil {
			other.Close()
			t.Errorf("%s: somebody else could take the port", listen)
		}
		if err := e.Lift("r"); err != nil {
			t.Fatal(err)
		}
		ask(t, c, "z")
	}
}

// reached is where a host that may be a wildcard is called.
func reached(host string) string {
	switch host {
	case "0.0.0.0":
		return "127.0.0.1"
	case "::":
		return "::1"
	}
	return host
}

// A lift lets go what was delayed, in the order in which it came, before what comes
// later; the control side waits for none of it.
func TestUDPLiftLetsGo(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	_, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	c := caller(t, e.Spec().Listen)
	if err := e.Arm(relay.Armed{ID: "slow", Name: "slow", Effect: later(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	const n = 150
	for i := range n {
		c.Write([]byte(strconv.Itoa(i)))
		if i%50 == 0 { // so that no buffer of the kernel overflows
			waitFor(t, func() bool { r, _ := e.Receipt("slow"); return int(r.Injected) == i+1 })
		}
	}
	waitFor(t, func() bool { r, _ := e.Receipt("slow"); return r.Injected == n })
	start := time.Now()
	if err := e.Lift("slow"); err != nil || time.Since(start) > time.Second {
		t.Error(err, time.Since(start))
	}
	c.Write([]byte("last"))
	b := make([]byte, 100)
	for i := range n + 1 {
		c.SetReadDeadline(time.Now().Add(patience))
		k, err := c.Read(b)
		if want := strconv.Itoa(i); err != nil || string(b[:k]) != want && !(i == n && string(b[:k]) == "last") {
			t.Fatalf("%q, %v, want %s", b[:k], err, want)
		}
	}
}

// What waits for a session that has ended by then is lost, and counted.
func TestUDPEndedSessionDrops(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	c := caller(t, e.Spec().Listen)
	if err := e.Arm(relay.Armed{ID: "slow", Name: "slow", Effect: later(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	const n = 5
	for range n {
		c.Write([]byte("x"))
	}
	waitFor(t, func() bool { r, _ := e.Receipt("slow"); return r.Injected == n })
	set.CloseConnection(set.Connections("")[0].ID, false)
	if err := e.Lift("slow"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return set.Queued() == 0 && served(set).Dropped == n })
	if s := served(set); s.BytesOut != 0 {
		t.Errorf("%+v", s)
	}
}

// What waits is bounded; what does not fit is lost and counted. A shutdown sends what
// waits.
func TestUDPQueueIsBounded(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{QueueBytes: 256 << 10}, relay.Spec{Upstreams: []string{up}})
	c := caller(t, e.Spec().Listen)
	if err := e.Arm(relay.Armed{ID: "slow", Name: "slow", Effect: later(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	const n, size = 200, 1000
	for i := range n {
		c.Write(make([]byte, size))
		waitFor(t, func() bool { r, _ := e.Receipt("slow"); return int(r.Matched) == i+1 })
	}
	fits := n - int(served(set).Dropped)
	if fits < 32 || fits > 64 || set.Queued() > 64<<10 {
		t.Errorf("%d wait, %d bytes", fits, set.Queued())
	}
	shutdown(t, set)
	if set.Queued() != 0 {
		t.Errorf("%d bytes wait after the shutdown", set.Queued())
	}
	for i := range fits {
		c.SetReadDeadline(time.Now().Add(patience))
		if k, err := c.Read(make([]byte, 2000)); err != nil || k != size {
			t.Fatalf("%d of %d: %d, %v", i, fits, k, err)
		}
	}
}

// Effects come and go under load: nothing is lost but what they say.
func TestUDPStorm(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			c := caller(t, e.Spec().Listen)
			for k := 0; ctx.Err() == nil; k++ {
				want := fmt.Sprint(i, ":", k)
				if got := ask(t, c, want); got != want {
					t.Errorf("%q was answered by %q", want, got)
					return
				}
			}
		})
	}
	for i := range 300 {
		id := strconv.Itoa(i)
		if err := e.Arm(relay.Armed{ID: id, Name: id, Share: 0.5, MaxActive: 4, Effect: later(time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			for _, c := range set.Connections("") {
				_ = c
			}
			set.Status()
		}
		if i%3 == 0 {
			if err := e.Replace(id, relay.Armed{ID: id + "b", Name: id, Effect: later(time.Microsecond)}); err != nil {
				t.Fatal(err)
			}
			id += "b"
		}
		waitFor(t, func() bool { r, _ := e.Receipt(id); return r.Matched > 0 })
		if err := e.Lift(id); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	all.Wait()
	if s := served(set); s.Open != 8 || s.Dropped+s.Unreachable != 0 || len(s.Faults) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestUDPSpecs(t *testing.T) {
	set := relay.NewSet(relay.Options{})
	defer shutdown(t, set)
	for says, change := range map[string]func(*relay.Spec){
		"whenDown": func(s *relay.Spec) { s.WhenDown = relay.WhenDownRefuse },
		"TLS":      func(s *relay.Spec) { s.TLS = &relay.TLS{} },
		"idle":     func(s *relay.Spec) { s.Idle = -1 },
		"on 127":   func(s *relay.Spec) { s.Listen = "127.0.0.1:x" },
	} {
		spec := relay.Spec{From: "a", To: "b", Protocol: experiment.UDP, Listen: "127.0.0.1:0", Upstreams: []string{"127.0.0.1:9"}}
		change(&spec)
		if err := set.Open(t.Context(), spec); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if len(set.Status()) != 0 {
		t.Error("an edge is open")
	}
}
