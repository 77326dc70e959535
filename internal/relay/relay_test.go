package relay_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// portable runs the tests on what systems other than Linux have; see TestPortable.
var portable = flag.Bool("portable", false, "use the portable poller")

// TestPortable runs the tests of TCP edges again, on the poller for systems other
// than Linux, and those of HTTP edges that the fast path has to itself there. A reset behind bytes that wait, or behind a FIN, is noticed on Linux
// only.
func TestPortable(t *testing.T) {
	if *portable {
		t.Skip("runs already") // never by itself
	}
	args := []string{"-portable", "-test.timeout=5m", "-test.run=^Test(" + strings.Join([]string{
		"LatencyBefore", "Lift", "Delays", "HalfClose", "ResetPasses", "RefusedCallee", "SpliceMoves", "LeaseEnds",
		"PartitionHolds", "ResetAfter$", "Refuse", "Kill", "MaxActive", "Upstreams", "ShutdownDrains", "Descriptors", "Storm",
		"HTTP(Passes|Bodies|Streams|Interim|Callee|Connections|Never|Broken|Partition$)",
	}, "|") + ")"}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of the tests; it says nothing about speed.
const patience = 20 * time.Second

// Effects for the tests. The real ones live in internal/driver/relay.

type lag struct {
	ways  [2]bool
	delay time.Duration
}

func slow(delay time.Duration, ways ...relay.Way) lag {
	l := lag{delay: delay}
	for _, w := range ways {
		l.ways[w] = true
	}
	return l
}

func (l lag) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !l.ways[way] {
		return nil
	}
	return l
}

func (l lag) Shift(came time.Time) (time.Time, bool) { return came.Add(l.delay), true }

// seeing is a lag that has to see the bytes it delays.
type seeing struct{ lag lag }

func (s seeing) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !s.lag.ways[way] {
		return nil
	}
	return copied{s.lag.delay}
}

type copied struct{ delay time.Duration }

func (c copied) Pass(in relay.Chunk, emit func(relay.Chunk)) { lag{delay: c.delay}.Pass(in, emit) }

func (l lag) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	c.Due = c.Due.Add(l.delay)
	emit(c)
}

type cut struct{ up, down bool }

func (c cut) Holds(w relay.Way) bool { return w == relay.Up && c.up || w == relay.Down && c.down }

type hole struct{}

func (hole) Swallows() {}

type ender struct {
	after time.Duration
	how   relay.Ending
}

func (e ender) End() (time.Duration, relay.Ending) { return e.after, e.how }

type refuser struct{ keep bool }

func (r refuser) Refuses() bool { return r.keep }

type killer struct {
	every time.Duration
	how   relay.Ending
}

func (k killer) Sweep() (time.Duration, relay.Ending) { return k.every, k.how }

type answerer struct{ status int }

func (a answerer) Answer() relay.Answer {
	return relay.Answer{Status: a.status, Body: []byte("from the relay")}
}

type waiter struct{ d time.Duration }

func (w waiter) Delay(*relay.Rand) time.Duration { return w.d }

// world is a set with its records.
type world struct {
	*testing.T
	set *relay.Set
	mu  sync.Mutex
	xs  []experiment.Exchange
}

func newWorld(t *testing.T) *world {
	w := &world{T: t}
	w.set = relay.NewSet(relay.Options{Exchange: func(x experiment.Exchange) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.xs = append(w.xs, x)
	}})
	if *portable {
		w.set.Portable()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // cut at once
		w.set.Shutdown(ctx)
	})
	return w
}

func (w *world) exchanges() []experiment.Exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]experiment.Exchange(nil), w.xs...)
}

func (w *world) open(from, to string, p experiment.Protocol, upstreams ...string) *relay.Edge {
	w.Helper()
	err := w.set.Open(w.Context(), relay.Spec{From: from, To: to, Protocol: p, Listen: "127.0.0.1:0", Upstreams: upstreams})
	if err != nil {
		w.Fatal(err)
	}
	e, ok := w.set.Edge(fault.EdgeName(from, to))
	if !ok {
		w.Fatal("the edge that was opened is not there")
	}
	return e
}

func arm(t testing.TB, e *relay.Edge, id string, effect relay.Effect) {
	t.Helper()
	if err := e.Arm(relay.Armed{ID: id, Name: id, Effect: effect, Seed: 7}); err != nil {
		t.Fatal(err)
	}
}

func lift(t testing.TB, e *relay.Edge, id string) {
	t.Helper()
	if err := e.Lift(id); err != nil {
		t.Fatal(err)
	}
}

func receipt(t testing.TB, e *relay.Edge, id string) fault.Receipt {
	t.Helper()
	r, ok := e.Receipt(id)
	if !ok {
		t.Fatalf("there is no receipt of %s", id)
	}
	return r
}

// server runs handle for each connection and waits for all at the end.
func server(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []*net.TCPConn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c.(*net.TCPConn))
			mu.Unlock()
			all.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

func echo(t testing.TB) string {
	return server(t, func(c *net.TCPConn) { io.Copy(c, c); c.CloseWrite() })
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// ping sends a byte, waits for its echo, and returns how long that took.
func ping(t testing.TB, c net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := c.Write([]byte{42}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil || b[0] != 42 {
		t.Fatalf("echo: %v %v", b, err)
	}
	return time.Since(start)
}

// until polls for what has no event to wait for.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// silent tells whether nothing comes for a while.
func silent(t testing.TB, c net.Conn, d time.Duration) bool {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	defer c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(make([]byte, 1))
	var ne net.Error
	return n == 0 && errors.As(err, &ne) && ne.Timeout()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestOpenIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	free, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := free.Addr().String()
	free.Close()
	good := relay.Spec{From: "a", To: "b", Protocol: experiment.TCP, Listen: addr, Upstreams: []string{"127.0.0.1:1"}}
	bad := relay.Spec{From: "a", To: "c", Protocol: experiment.HTTP, Listen: busy.Addr().String(), Upstreams: []string{"127.0.0.1:1"}}
	err = w.set.Open(t.Context(), good, bad)
	if err == nil || !strings.Contains(err.Error(), "a -> c") || !strings.Contains(err.Error(), busy.Addr().String()) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a busy port should be named with its edge and address: %v", err)
	}
	if len(w.set.Status()) != 0 {
		t.Errorf("edges are open after a failure: %v", w.set.Status())
	}
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the good edge still listens: %v", err)
	}
	if err := w.set.Open(t.Context(), good); err != nil {
		t.Errorf("opening again: %v", err)
	}
	if err := w.set.Open(t.Context(), good); err == nil {
		t.Error("an edge was opened twice")
	}
	for _, spec := range []relay.Spec{
		{From: "x", To: "y", Protocol: experiment.TCP, Listen: "127.0.0.1:0"},
		{From: "x", To: "y", Protocol: "quic", Listen: "127.0.0.1:0", Upstreams: []string{"127.0.0.1:1"}},
	} {
		if err := w.set.Open(t.Context(), spec); err == nil {
			t.Errorf("opened %+v", spec)
		}
	}
}

func TestLatencyBeforeDuringAfter(t *testing.T) {
	w := newWorld(t)
	one, two := w.open("a", "b", experiment.TCP, echo(t)), w.open("a", "c", experiment.TCP, echo(t))
	c, other := dial(t, one.Spec().Listen), dial(t, two.Spec().Listen)
	ping(t, c)
	ping(t, other)
	const delay = 300 * time.Millisecond
	arm(t, one, "slow", slow(delay, relay.Down))
	if got := ping(t, c); got < delay {
		t.Errorf("an open connection answered after %s, not %s later", got, delay)
	}
	if got := ping(t, dial(t, one.Spec().Listen)); got < delay {
		t.Errorf("a new connection answered after %s, not %s later", got, delay)
	}
	if got := ping(t, other); got >= delay {
		t.Errorf("the other edge answered after %s", got)
	}
	lift(t, one, "slow")
	if got := ping(t, c); got >= delay {
		t.Errorf("after the lift it still took %s", got)
	}
	if r := receipt(t, one, "slow"); r.Matched != 2 || r.Injected != 2 || r.Unit != fault.Connection {
		t.Errorf("receipt: %+v", r)
	}
	if one.InForce("slow") {
		t.Error("in force after the lift")
	}
	if err := one.Arm(relay.Armed{ID: "slow", Effect: cut{up: true}}); !errors.Is(err, relay.ErrArmed) {
		t.Errorf("an id was armed twice: %v", err)
	}
}

func TestLiftReleasesDelayedBytes(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	arm(t, e, "slow", slow(time.Hour, relay.Up, relay.Down))
	sent := []byte("one two three")
	for i := range sent {
		c.Write(sent[i : i+1])
	}
	if !silent(t, c, 100*time.Millisecond) {
		t.Fatal("bytes pass although they are delayed by an hour")
	}
	lift(t, e, "slow")
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("after the lift: %q, %v", got, err)
	}
}

// Effects that are lifted one right after the other leave nothing waiting.
func TestLiftsTogetherReleaseBytes(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	for range 20 {
		var conns []*net.TCPConn
		for range 5 {
			conns = append(conns, dial(t, e.Spec().Listen))
		}
		ids := []string{fmt.Sprint(rand.Int()), fmt.Sprint(rand.Int()), fmt.Sprint(rand.Int())}
		for _, id := range ids {
			arm(t, e, id, slow(time.Hour, relay.Down))
		}
		before := w.set.Queued()
		for _, c := range conns {
			c.Write([]byte("x"))
		}
		until(t, "bytes to wait", func() bool { return w.set.Queued() >= before+int64(len(conns)) })
		for _, id := range ids {
			if err := e.Lift(id); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatalf("a byte still waits after all delays were lifted: %v", err)
			}
			c.Close()
		}
	}
}

func TestDelaysAddAndAreTakenOffOneByOne(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	arm(t, e, "hour", slow(time.Hour, relay.Down))
	arm(t, e, "short", slow(200*time.Millisecond, relay.Down))
	start := time.Now()
	c.Write([]byte{1})
	if !silent(t, c, 50*time.Millisecond) {
		t.Fatal("not delayed")
	}
	lift(t, e, "hour")
	if _, err := c.Read(make([]byte, 1)); err != nil || time.Since(start) < 200*time.Millisecond {
		t.Errorf("the byte came after %s (%v); 200ms of delay are still in force", time.Since(start), err)
	}
}

func TestHalfClose(t *testing.T) {
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			w := newWorld(t)
			upstream := server(t, func(c *net.TCPConn) {
				b, _ := io.ReadAll(c) // the answer is made after the whole request
				fmt.Fprintf(c, "%d bytes", len(b))
			})
			e := w.open("a", "b", experiment.TCP, upstream)
			if delay > 0 {
				arm(t, e, "slow", slow(delay, relay.Up, relay.Down))
			}
			c := dial(t, e.Spec().Listen)
			c.Write(make([]byte, 300_000))
			c.CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "300000 bytes" {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
			until(t, "the exchange", func() bool { return len(w.exchanges()) == 1 })
			x := w.exchanges()[0]
			if x.BytesIn != 300_000 || x.BytesOut != 12 || x.EndedBy != "caller" || x.FirstByte.IsZero() || x.Edge != "a -> b" {
				t.Errorf("exchange: %+v", x)
			}
			s := w.set.Status()[0]
			if s.BytesIn != 300_000 || s.BytesOut != 12 || s.Accepted != 1 || s.Open != 0 {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

func TestResetPassesAsReset(t *testing.T) {
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		t.Run("callee "+delay.String(), func(t *testing.T) {
			w := newWorld(t)
			e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, 1))
				c.SetLinger(0)
			}))
			if delay > 0 {
				arm(t, e, "slow", slow(delay, relay.Up, relay.Down))
			}
			c := dial(t, e.Spec().Listen)
			c.Write([]byte{1})
			if n, err := c.Read(make([]byte, 1)); !isReset(err) {
				t.Errorf("the caller reads %d, %v; the callee has reset", n, err)
			}
			until(t, "the exchange", func() bool { return len(w.exchanges()) == 1 })
			if by := w.exchanges()[0].EndedBy; by != "callee" {
				t.Errorf("ended by %q", by)
			}
		})
		t.Run("caller "+delay.String(), func(t *testing.T) {
			w := newWorld(t)
			seen := make(chan error, 1)
			e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, 1))
				c.Write([]byte{42})
				_, err := c.Read(make([]byte, 1))
				seen <- err
			}))
			if delay > 0 {
				arm(t, e, "slow", slow(delay, relay.Up, relay.Down))
			}
			c := dial(t, e.Spec().Listen)
			ping(t, c)
			c.SetLinger(0)
			c.Close()
			if err := <-seen; !isReset(err) {
				t.Errorf("the callee reads %v; the caller has reset", err)
			}
		})
	}
}

// nowhere is an address that refuses, as long as the test runs: the near end of
// a connection is taken, and nobody listens there.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

func TestRefusedCalleeResetsTheCaller(t *testing.T) {
	w := newWorld(t)
	dead := nowhere(t)
	c, err := net.Dial("tcp", w.open("a", "b", experiment.TCP, dead).Spec().Listen)
	if err == nil { // the reset may be quicker than the connect
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !isReset(err) {
		t.Errorf("tcp: %v", err)
	}
	_, err = http.Get("http://" + w.open("a", "c", experiment.HTTP, dead).Spec().Listen)
	if !isReset(err) {
		t.Errorf("http: %v", err)
	}
}

func TestSpliceMovesEverything(t *testing.T) {
	w := newWorld(t)
	const size = 64 << 20
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		s := newStream(1)
		go io.Copy(io.Discard, c)
		io.CopyN(c, s, size)
	}))
	c := dial(t, e.Spec().Listen)
	if n, err := newStream(1).check(c); err != nil || n != size {
		t.Errorf("%d of %d bytes, %v", n, size, err)
	}
}

func TestLatencyDoesNotLimitThroughput(t *testing.T) {
	const size, delay = 32 << 20, 50 * time.Millisecond
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		go io.Copy(io.Discard, c)
		io.CopyN(c, newStream(1), size)
	}))
	arm(t, e, "slow", slow(delay, relay.Down))
	start := time.Now()
	if n, err := newStream(1).check(dial(t, e.Spec().Listen)); err != nil || n != size {
		t.Fatalf("%d of %d bytes, %v", n, size, err)
	}
	took := time.Since(start)
	if took < delay {
		t.Errorf("took %s: nothing was delayed", took)
	}
	// One chunk after the other would take size/64KiB delays, 25 s.
	if serial := size / (64 << 10) * delay; took > serial/5 {
		t.Errorf("took %s; chunk by chunk it would be %s", took, serial)
	}
}

func TestLeaseEndsByItself(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	end := time.Now().Add(200 * time.Millisecond)
	if err := e.Arm(relay.Armed{ID: "cut", Effect: cut{true, true}, Until: end}); err != nil {
		t.Fatal(err)
	}
	ping(t, c)
	if time.Now().Before(end) {
		t.Error("the byte passed before the lease was over")
	}
	until(t, "the end of the lease", func() bool { return !e.InForce("cut") })
	if r := receipt(t, e, "cut"); r.Injected != 1 {
		t.Errorf("receipt after the lease: %+v", r)
	}
	if err := e.Arm(relay.Armed{ID: "late", Effect: cut{true, true}, Until: end}); err == nil {
		t.Error("armed with a lease that is over")
	}
}

func TestPartitionHoldsAndGoesOn(t *testing.T) {
	w := newWorld(t)
	var dialled atomic.Int32
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) { dialled.Add(1); io.Copy(c, c) }))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	arm(t, e, "cut", cut{true, true})
	fresh := dial(t, e.Spec().Listen)
	c.Write([]byte("held"))
	fresh.Write([]byte("held"))
	if !silent(t, c, 100*time.Millisecond) || !silent(t, fresh, 10*time.Millisecond) {
		t.Error("bytes pass a cut edge")
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("%d connections to the callee; a new one was not to be dialled", n)
	}
	lift(t, e, "cut")
	for _, c := range []net.Conn{c, fresh} {
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "held" {
			t.Errorf("after the heal: %q, %v", got, err)
		}
	}
	arm(t, e, "one-way", cut{down: true})
	c.Write([]byte("x"))
	if !silent(t, c, 100*time.Millisecond) {
		t.Error("answers pass")
	}
	lift(t, e, "one-way")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestBlackholeSwallowsAndCloses(t *testing.T) {
	w := newWorld(t)
	var got atomic.Int64
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		got.Add(n)
	}))
	idle := dial(t, e.Spec().Listen)
	until(t, "the connection", func() bool { return w.set.Status()[0].Open == 1 })
	arm(t, e, "hole", hole{})
	c := dial(t, e.Spec().Listen)
	if _, err := c.Write(make([]byte, 8<<20)); err != nil {
		t.Errorf("a black hole takes all: %v", err)
	}
	if !silent(t, c, 50*time.Millisecond) {
		t.Error("something came back")
	}
	lift(t, e, "hole")
	if _, err := c.Read(make([]byte, 1)); err != io.EOF && !isReset(err) {
		t.Errorf("the connection goes on without what was swallowed: %v", err)
	}
	if got.Load() != 0 {
		t.Errorf("%d bytes reached the callee", got.Load())
	}
	if s := w.set.Status()[0]; s.BytesIn != 8<<20 || s.BytesOut != 0 {
		t.Errorf("%d bytes from callers, %d to callers", s.BytesIn, s.BytesOut)
	}
	if !silent(t, idle, 20*time.Millisecond) {
		t.Error("a connection that lost nothing was closed")
	}
}

// What a black hole takes on the way down was not sent to the caller.
func TestSwallowedAnswersDoNotCount(t *testing.T) {
	w := newWorld(t)
	const size = 4 << 20
	armed, sent := make(chan struct{}), make(chan struct{})
	f := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		io.Copy(c, io.LimitReader(c, 1))
		<-armed
		io.CopyN(c, newStream(1), size)
		close(sent)
		c.Read(make([]byte, 1))
	}))
	c := dial(t, f.Spec().Listen)
	ping(t, c)
	arm(t, f, "hole", hole{})
	close(armed)
	<-sent
	lift(t, f, "hole")
	c.Read(make([]byte, 1))
	until(t, "the end", func() bool { return len(w.exchanges()) == 1 })
	if s, x := w.set.Status()[0], w.exchanges()[0]; s.BytesOut != 1 || x.BytesOut != 1 {
		t.Errorf("%d and %d bytes to callers; it was one", s.BytesOut, x.BytesOut)
	}
}

func TestResetAfter(t *testing.T) {
	const later = 500 * time.Millisecond
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	start := time.Now()
	arm(t, e, "rst", ender{later, relay.Reset})
	ping(t, c)
	if _, err := c.Read(make([]byte, 1)); !isReset(err) || time.Since(start) < later {
		t.Errorf("open connection: %v after %s", err, time.Since(start))
	}
	c = dial(t, e.Spec().Listen)
	ping(t, c)
	lift(t, e, "rst") // before its time
	if !silent(t, c, 2*later) {
		t.Error("hurt after the lift")
	}
	if r := receipt(t, e, "rst"); r.Matched != 2 || r.Injected != 1 {
		t.Errorf("receipt: %+v", r)
	}
}

func TestRefuse(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		t.Run(string(p), func(t *testing.T) {
			w := newWorld(t)
			e := w.open("a", "b", p, echo(t))
			addr := e.Spec().Listen
			open := dial(t, addr) // on the HTTP edge it stays idle
			until(t, "the connection", func() bool { return w.set.Status()[0].Open == 1 })
			arm(t, e, "refuse", refuser{})
			if _, err := open.Read(make([]byte, 1)); !isReset(err) {
				t.Errorf("an open connection: %v", err)
			}
			for range 3 {
				if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("connecting while refused: %v", err)
				}
			}
			arm(t, e, "again", refuser{})
			lift(t, e, "refuse")
			if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connecting while the second one is in force: %v", err)
			}
			lift(t, e, "again")
			dial(t, addr) // at once
			if r := receipt(t, e, "refuse"); r.Injected != 2 || r.Unit != fault.Connection {
				t.Errorf("receipt: %+v", r)
			}
		})
	}
}

func TestRefuseKeepsThePortAndOpenConnections(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	arm(t, e, "refuse", refuser{keep: true})
	ping(t, c)
	if l, err := net.Listen("tcp", e.Spec().Listen); err == nil {
		l.Close()
		if portIsKept {
			t.Error("somebody else could take the port")
		}
	}
	lift(t, e, "refuse")
	ping(t, dial(t, e.Spec().Listen))
	ping(t, c)
}

func TestKillAShare(t *testing.T) {
	survivors := func() string {
		w := newWorld(t)
		e := w.open("a", "b", experiment.TCP, echo(t))
		conns := make([]*net.TCPConn, 200)
		for i := range conns {
			conns[i] = dial(t, e.Spec().Listen)
			ping(t, conns[i])
		}
		if err := e.Arm(relay.Armed{ID: "kill", Name: "kill", Effect: killer{how: relay.Reset}, Share: 0.25, Seed: 7}); err != nil {
			t.Fatal(err)
		}
		r := receipt(t, e, "kill")
		if r.Matched != 200 || r.Injected < 25 || r.Injected > 80 || r.Injected+r.Skipped != 200 {
			t.Errorf("receipt: %+v", r)
		}
		until(t, "the killed to be gone", func() bool { return w.set.Status()[0].Open == 200-int(r.Injected) })
		var alive strings.Builder
		for i, c := range conns {
			c.Write([]byte{42})
			if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
				fmt.Fprint(&alive, i, " ")
			}
		}
		if n := len(strings.Fields(alive.String())); n != 200-int(r.Injected) {
			t.Errorf("%d are alive, the receipt says that %d of 200 were killed", n, r.Injected)
		}
		ping(t, dial(t, e.Spec().Listen)) // later ones live
		return alive.String()
	}
	if a, b := survivors(), survivors(); a != b {
		t.Errorf("the same seed kills others:\n%s\n%s", a, b)
	}
}

func TestKillAtAnInterval(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	arm(t, e, "kill", killer{every: 20 * time.Millisecond, how: relay.Close})
	for range 3 {
		if _, err := dial(t, e.Spec().Listen).Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v, not a close", err)
		}
	}
	lift(t, e, "kill")
	c := dial(t, e.Spec().Listen)
	if !silent(t, c, 100*time.Millisecond) {
		t.Error("killed after the lift")
	}
}

func TestMaxActive(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	if err := e.Arm(relay.Armed{ID: "few", Effect: cut{true, true}, MaxActive: 2}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		c := dial(t, e.Spec().Listen)
		c.Write([]byte{1})
	}
	until(t, "the draws", func() bool { return receipt(t, e, "few").Matched == 5 })
	if r := receipt(t, e, "few"); r.Injected != 2 || r.Skipped != 3 {
		t.Errorf("receipt: %+v", r)
	}
}

func TestArmRefusesWhatTheEdgeCannotDo(t *testing.T) {
	w := newWorld(t)
	tcp, http := w.open("a", "b", experiment.TCP, echo(t)), w.open("a", "c", experiment.HTTP, echo(t))
	match := &fault.Match{Path: "/x"}
	for _, a := range []struct {
		edge *relay.Edge
		relay.Armed
	}{
		{tcp, relay.Armed{Effect: answerer{503}}},
		{tcp, relay.Armed{Effect: cut{}, Match: match}},
		{tcp, relay.Armed{Effect: cut{}, Protect: []fault.Match{*match}}},
		{http, relay.Armed{Effect: refuser{}, Protect: []fault.Match{*match}}},
		{http, relay.Armed{Effect: "nothing"}},
		{http, relay.Armed{Effect: cut{}, Match: &fault.Match{Path: "no slash"}}},
	} {
		if a.ID = "x"; a.edge.Arm(a.Armed) == nil {
			t.Errorf("armed %+v on %s", a.Armed, a.edge.Name())
		}
	}
}

func TestUpstreamsTakeTurns(t *testing.T) {
	w := newWorld(t)
	say := func(s string) string { return server(t, func(c *net.TCPConn) { io.WriteString(c, s) }) }
	e := w.open("a", "b", experiment.TCP, say("1"), say("2"))
	var got string
	for range 4 {
		b, _ := io.ReadAll(dial(t, e.Spec().Listen))
		got += string(b)
	}
	if got != "1212" {
		t.Errorf("turns: %q", got)
	}
}

func TestShutdownDrainsThenCuts(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	ping(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.set.Shutdown(ctx) }()
	until(t, "the port to close", func() bool { _, err := net.Dial("tcp", e.Spec().Listen); return err != nil })
	ping(t, c) // drains
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the live connection: %v", err)
	default:
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it should say that it cut: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
	if err := w.set.Open(t.Context(), relay.Spec{From: "a", To: "z", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{"x:1"}}); !errors.Is(err, relay.ErrClosed) {
		t.Errorf("opened after shutdown: %v", err)
	}

	w = newWorld(t)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	e = w.open("a", "b", experiment.HTTP, web.Listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{}}
	if _, err := client.Get("http://" + e.Spec().Listen); err != nil {
		t.Fatal(err)
	}
	if err := w.set.Shutdown(t.Context()); err != nil { // would wait for ever for the idle connection
		t.Error(err)
	}
	client.CloseIdleConnections()
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
