package relay_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// phase is long enough for what a test does within it, on a busy machine too.
const phase = 300 * time.Millisecond

func pulse(on, off, offset time.Duration) *fault.Pulse {
	return &fault.Pulse{On: fault.Duration(on), Off: fault.Duration(off), Offset: fault.Duration(offset)}
}

// Requests are hurt while the pulse is on, and not even matched while it is off.
func TestPulseComesAndGoes(t *testing.T) {
	w := newWeb(t, mirror)
	start := time.Now()
	if err := w.edge.Arm(relay.Armed{ID: "p", Name: "p", Effect: answerer{503}, Pulse: pulse(phase, phase, 0), MaxActive: 1}); err != nil {
		t.Fatal(err)
	}
	hurt, spared, turns, last := uint64(0), uint64(0), 0, 503
	for turns < 5 && time.Since(start) < patience {
		code := w.ask("GET", "/", "")
		if code == 503 {
			hurt++
		} else {
			spared++
		}
		if code != last {
			turns++
		}
		last = code
	}
	if took := time.Since(start); turns != 5 || took < 4*phase {
		t.Errorf("%d turns after %s", turns, took)
	}
	// One that was drawn at the end of a pulse may not have been hurt in time.
	if r, _ := w.edge.Receipt("p"); r.Matched != hurt+r.Skipped || r.Injected != hurt || r.Skipped > 2 || spared == 0 {
		t.Errorf("%d were hurt and %d were not; receipt %+v", hurt, spared, r)
	}
	lift(t, w.edge, "p")
	if w.edge.InForce("p") || w.ask("GET", "/", "") != 200 {
		t.Error("it is in force after its lift")
	}
}

// What is held is let go at the end of each time that the pulse is on, and held
// again at the next; nothing is lost.
func TestPulseLetsGoAndTakesAgain(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		rw.(http.Flusher).Flush()
		io.Copy(flushing{rw}, r.Body)
	})
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := w.client.Post(w.url, "", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	tcp := w.open("a", "b", experiment.TCP, echo(t))
	conn := dial(t, tcp.Spec().Listen)
	for _, c := range []struct {
		edge *relay.Edge
		to   io.Writer
		from io.Reader
	}{{tcp, conn, conn}, {w.edge, pw, resp.Body}} {
		name := c.edge.Name()
		b := []byte{0}
		ping := func() time.Duration {
			start := time.Now()
			sent := byte(start.UnixNano())
			if _, err := c.to.Write([]byte{sent}); err != nil {
				t.Fatal(name, err)
			}
			if _, err := io.ReadFull(c.from, b); err != nil || b[0] != sent {
				t.Fatal(name, b, err)
			}
			return time.Since(start)
		}
		ping()
		if err := c.edge.Arm(relay.Armed{ID: "p", Name: "p", Effect: cut{down: true}, Pulse: pulse(phase, phase, 0)}); err != nil {
			t.Fatal(err)
		}
		held := 0
		for start := time.Now(); held < 3 && time.Since(start) < patience; {
			if ping() > phase/3 {
				held++
			}
		}
		if r := receipt(t, c.edge, "p"); held < 3 || r.Matched < 2 || r.Injected != r.Matched {
			t.Errorf("%s: held %d times; receipt %+v", name, held, r)
		}
		lift(t, c.edge, "p")
		if took := ping(); took > phase {
			t.Errorf("%s: %s after the lift", name, took)
		}
	}
}

func readSome(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// A listener refuses while the pulse is on, and is there again while it is off.
func TestPulseOnTheListener(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	if err := e.Arm(relay.Armed{ID: "p", Name: "p", Effect: refuser{}, Pulse: pulse(phase, phase, 0)}); err != nil {
		t.Fatal(err)
	}
	turns, refused := 0, true
	for start := time.Now(); turns < 4 && time.Since(start) < patience; {
		c, err := net.Dial("tcp", e.Spec().Listen)
		if (err != nil) != refused {
			refused = !refused
			turns++
		}
		if err == nil {
			c.Close()
		}
	}
	if turns != 4 {
		t.Errorf("%d turns", turns)
	}
	lift(t, e, "p")
	dial(t, e.Spec().Listen)
}

// With an offset it is off first; the lease and the lift end all of it.
func TestPulseOffsetAndLease(t *testing.T) {
	w := newWeb(t, mirror)
	if err := w.edge.Arm(relay.Armed{ID: "p", Name: "p", Effect: answerer{503}, Pulse: pulse(phase, 20*time.Millisecond, 2*time.Second), Until: time.Now().Add(4 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if code := w.ask("GET", "/", ""); code != 200 {
		t.Errorf("before its offset: %d", code)
	}
	until(t, "on", func() bool { return w.ask("GET", "/", "") == 503 })
	until(t, "the end of the lease", func() bool { return !w.edge.InForce("p") })
	if code := w.ask("GET", "/", ""); code != 200 {
		t.Errorf("after its lease: %d", code)
	}
	if err := w.edge.Arm(relay.Armed{ID: "q", Name: "q", Effect: answerer{503}, Pulse: pulse(time.Hour, time.Hour, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	lift(t, w.edge, "q") // no goroutine of it is left: goleak
}

// An effect sleeps until the other edge was called so often, and hurts what begins
// right after that call.
func TestAfterCallsOfAnotherEdge(t *testing.T) {
	for name, offset := range map[string]time.Duration{"at once": 0, "after a while": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, mirror)
			other := w.open("api", "db", experiment.TCP, echo(t))
			a := relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, After: &fault.After{Edge: "api -> db", Calls: 3}}
			if offset > 0 {
				a.Pulse = pulse(time.Minute, time.Minute, offset)
			}
			dial(t, other.Spec().Listen) // before the arming: does not count
			until(t, "a connection", func() bool { return came(w.world, other) == 1 })
			if err := w.edge.Arm(a); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if code := w.ask("GET", "/", ""); code != 200 {
					t.Fatalf("after %d calls: %d", i, code)
				}
				dial(t, other.Spec().Listen)
				until(t, "a connection", func() bool { return came(w.world, other) == i+2 })
			}
			if offset > 0 {
				if code := w.ask("GET", "/", ""); code != 200 {
					t.Errorf("before the offset: %d", code)
				}
				until(t, "on", func() bool { return w.ask("GET", "/", "") == 503 })
				return
			}
			if code := w.ask("GET", "/", ""); code != 503 {
				t.Errorf("after 3 calls: %d", code)
			}
			if r, _ := w.edge.Receipt("a"); r.Matched != 1 || r.Injected != 1 {
				t.Errorf("receipt %+v", r)
			}
		})
	}
}

// Connections that are open when the call comes are taken as at an arming.
func TestAfterTakesOpenConnections(t *testing.T) {
	w := newWeb(t, mirror)
	e := w.open("a", "b", experiment.TCP, echo(t))
	c := dial(t, e.Spec().Listen)
	io.WriteString(c, "x")
	readSome(t, c)
	if err := e.Arm(relay.Armed{ID: "a", Name: "a", Effect: ender{how: relay.Reset}, After: &fault.After{Edge: w.edge.Name()}}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "x")
	readSome(t, c)
	w.ask("GET", "/", "")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
	if r, _ := e.Receipt("a"); r.Injected != 1 {
		t.Errorf("receipt %+v", r)
	}
}

func TestAfterNeedsAnotherEdge(t *testing.T) {
	w := newWeb(t, mirror)
	for _, name := range []string{w.edge.Name(), "api -> nobody"} {
		if err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, After: &fault.After{Edge: name}}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if got := fmt.Sprint(w.set.Status()[0].Faults); got != "[]" {
		t.Errorf("in force: %s", got)
	}
}

// lost loses what goes up.
type lost struct{}

func (lost) Lane(way relay.Way) relay.Lane {
	if way == relay.Down {
		return nil
	}
	return lost{}
}

func (lost) Packet(int, time.Time, *relay.Rand) relay.Fate { return relay.Fate{Drop: true} }

// Datagrams are hurt while the pulse is on, within sessions that go on; and from when
// another edge was called.
func TestPulseAndAfterOnDatagrams(t *testing.T) {
	up, _ := echoer(t, "", "127.0.0.1:0")
	set, e, _ := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{up}})
	c := caller(t, e.Spec().Listen)
	ask(t, c, "hello")
	arrives := func() bool {
		c.SetReadDeadline(time.Now().Add(phase / 10))
		io.WriteString(c, "x")
		_, err := c.Read(make([]byte, 8))
		return err == nil
	}
	if err := e.Arm(relay.Armed{ID: "p", Name: "p", Effect: lost{}, Pulse: pulse(phase, phase, 0)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		until(t, "losses", func() bool { return !arrives() })
		until(t, "none", arrives)
	}
	if r := receipt(t, e, "p"); r.Unit != fault.Datagram || r.Matched == 0 || r.Injected != r.Matched || r.Matched >= served(set).Exchanges {
		t.Errorf("receipt %+v of %d datagrams", r, served(set).Exchanges)
	}
	lift(t, e, "p")
	if err := set.Open(t.Context(), relay.Spec{From: "api", To: "db", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{echo(t)}}); err != nil {
		t.Fatal(err)
	}
	other, _ := set.Edge("api -> db")
	if err := e.Arm(relay.Armed{ID: "a", Name: "a", Effect: lost{}, After: &fault.After{Edge: "api -> db"}}); err != nil {
		t.Fatal(err)
	}
	until(t, "an answer", arrives)
	if r := receipt(t, e, "a"); r.Matched != 0 {
		t.Errorf("asleep: %+v", r)
	}
	ping(t, dial(t, other.Spec().Listen))
	until(t, "losses", func() bool { return !arrives() && receipt(t, e, "a").Injected > 0 })
	if err := e.Arm(relay.Armed{ID: "n", Name: "n", Effect: lost{}, Attempts: "1"}); err == nil {
		t.Error("datagrams are taken for attempts")
	}
}

// came is how many connections an edge has accepted.
func came(w *world, e *relay.Edge) int {
	for _, s := range w.set.Status() {
		if s.Name == e.Name() {
			return int(s.Accepted)
		}
	}
	return -1
}
