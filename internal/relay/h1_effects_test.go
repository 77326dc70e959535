package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// keptWeb is an HTTP edge to a callee that counts its connections.
func keptWeb(t *testing.T) (*web, *atomic.Int32) {
	dialled := new(atomic.Int32)
	w := bytesWeb(t, func(c *net.TCPConn) {
		dialled.Add(1)
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, r.Body)
			framing := [...]string{"Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}[dialled.Load()%2]
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Got: %d\r\n%s", n, framing)
		}
	})
	return w, dialled
}

// asker asks on one connection, again and again.
type asker struct {
	c  net.Conn
	br *bufio.Reader
}

func (w *web) asker() *asker {
	c := dial(w, w.edge.Spec().Listen)
	return &asker{c, bufio.NewReader(c)}
}

func (a *asker) ask() (int, error) {
	if _, err := io.WriteString(a.c, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(a.br, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// What is armed hits the next request of every connection that was fast so far, on
// the same connections, and nothing after the lift.
func TestFastPathMeetsEffects(t *testing.T) {
	w, dialled := keptWeb(t)
	all := make([]*asker, 20)
	for i := range all {
		all[i] = w.asker()
		if code, err := all[i].ask(); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	if onLoops && !*portable && !w.edge.Fast() {
		t.Error("nothing is armed, and connections are not on the fast path")
	}
	for round := range 3 {
		arm(t, w.edge, fmt.Sprint("status", round), answerer{503})
		for _, a := range all {
			if code, err := a.ask(); code != 503 || err != nil {
				t.Fatalf("armed: %d %v", code, err)
			}
		}
		lift(t, w.edge, fmt.Sprint("status", round))
		for _, a := range all {
			if code, err := a.ask(); code != 200 || err != nil {
				t.Fatalf("lifted: %d %v", code, err)
			}
		}
	}
	// The connections are fast again once their server has seen that nothing is armed.
	if onLoops && !*portable {
		until(t, "the connections to come back", w.edge.Fast)
	}
	for _, a := range all {
		if code, err := a.ask(); code != 200 || err != nil {
			t.Fatalf("back: %d %v", code, err)
		}
	}
	// Those that were hurt when they came back have dialled anew.
	if n := dialled.Load(); n < int32(len(all)) || n > int32(2*len(all)) {
		t.Errorf("%d connections have had %d to the callee", len(all), n)
	}
	until(t, "the records", func() bool { return len(w.exchanges()) >= 8*len(all) })
	s := w.set.Status()[0]
	if want := uint64(len(all) * 8); s.Exchanges != want || len(w.exchanges()) != int(want) {
		t.Errorf("%d exchanges, %d told; %d there were", s.Exchanges, len(w.exchanges()), want)
	}
	if want := uint64(len(all) * 8 * len("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")); s.BytesIn != want {
		t.Errorf("%d bytes in, %d were sent", s.BytesIn, want)
	}
}

// Under load, too, no request that begins once Arm has returned is spared, and the
// receipt says how many there were.
func TestFastPathArmedUnderLoad(t *testing.T) {
	w, _ := keptWeb(t)
	var since atomic.Int64 // 0: not armed; else the number of the arming
	var hurt, wrong atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			a := w.asker()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if n%50 == 49 { // new connections begin on the fast path
					a.c.Close()
					a = w.asker()
				}
				before := since.Load()
				code, err := a.ask()
				if err != nil {
					t.Error(err)
					return
				}
				if code == 503 {
					hurt.Add(1)
				}
				if after := since.Load(); before == after && before > 0 && code != 503 || before == after && before < 0 && code != 200 {
					wrong.Add(1)
				}
			}
		})
	}
	var injected uint64
	for i := range int64(40) {
		id := fmt.Sprint("status", i)
		arm(t, w.edge, id, answerer{503})
		since.Store(2*i + 1)
		time.Sleep(5 * time.Millisecond)
		since.Store(0)
		lift(t, w.edge, id)
		since.Store(-2*i - 2)
		time.Sleep(5 * time.Millisecond)
		since.Store(0)
		injected += receipt(t, w.edge, id).Injected
	}
	close(stop)
	all.Wait()
	if wrong.Load() > 0 || hurt.Load() == 0 || uint64(hurt.Load()) != injected {
		t.Errorf("%d requests met the wrong effects; %d answers of ours, receipts say %d", wrong.Load(), hurt.Load(), injected)
	}
}

// What is under way on the fast path is held in its middle, both ways, and goes on
// at the lift without losing a byte.
func TestFastPathHoldsWhatIsUnderWay(t *testing.T) {
	w, _ := keptWeb(t)
	a := w.asker()
	const size = 3 << 20
	fmt.Fprintf(a.c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nhalf", size)
	until(t, "the request", func() bool { return w.set.Status()[0].Exchanges == 1 })
	arm(t, w.edge, "cut", cut{true, true})
	if r := receipt(t, w.edge, "cut"); r.Injected != 1 {
		t.Errorf("the exchange under way is not held: %+v", r)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(a.c, strings.Repeat("x", size-4))
		sent <- err
	}()
	if !silent(t, a.c, 200*time.Millisecond) {
		t.Error("answered through a cut")
	}
	lift(t, w.edge, "cut")
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(a.br, nil)
	if err != nil || resp.Header.Get("X-Got") != fmt.Sprint(size) {
		t.Fatalf("%v %v", resp, err)
	}
	until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
	if x := w.exchanges()[0]; fmt.Sprint(x.Faults) != "[cut]" || x.BytesIn != size {
		t.Errorf("%+v", x)
	}
}

// An effect that is for others leaves a connection on the fast path.
func TestFastPathIgnoresWhatIsForOthers(t *testing.T) {
	if !onLoops || *portable {
		t.Skip("there is no fast path") // on systems other than Linux
	}
	w, _ := keptWeb(t)
	others := relay.Armed{ID: "others", Name: "others", Effect: answerer{503}, Match: &fault.Match{Client: []string{"192.0.2.1"}}}
	if err := w.edge.Arm(others); err != nil {
		t.Fatal(err)
	}
	a := w.asker()
	if code, err := a.ask(); code != 200 || err != nil || !w.edge.Fast() {
		t.Error(code, err, w.edge.Fast())
	}
}

// Connections that sweeps, listings and closings find on the fast path are like any
// others.
func TestFastPathConnectionsAreLinks(t *testing.T) {
	w, _ := keptWeb(t)
	a, b := w.asker(), w.asker()
	for _, x := range []*asker{a, b} {
		if _, err := x.ask(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the bytes to be counted", func() bool {
		list := w.set.Connections("")
		return len(list) == 2 && list[0].BytesOut > 0 && list[1].BytesOut > 0
	})
	list := w.set.Connections("")
	if len(list) != 2 || list[0].Upstream == "" || list[0].BytesIn == 0 || list[0].BytesOut == 0 || list[0].State != "open" {
		t.Errorf("%+v", list)
	}
	if !w.set.CloseConnection(list[0].ID, true) {
		t.Error("not there")
	}
	if _, err := a.br.ReadByte(); !isReset(err) {
		t.Errorf("reset: %v", err)
	}
	until(t, "the end of it", func() bool { return len(w.set.Connections("")) == 1 })
	arm(t, w.edge, "kill", killer{how: relay.Close})
	if _, err := b.br.ReadByte(); err != io.EOF {
		t.Errorf("killed: %v", err)
	}
	if r := receipt(t, w.edge, "kill"); r.Matched != 1 || r.Injected != 1 {
		t.Errorf("%+v", r)
	}
	until(t, "the connections to end", func() bool { return len(w.set.Connections("")) == 0 })
}

// A caller that does not read stalls only itself, and takes no more than a buffer.
func TestFastPathSlowCaller(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/big" {
			hello(rw, r)
			return
		}
		rw.Header().Set("Content-Length", fmt.Sprint(64<<20))
		io.Copy(rw, io.LimitReader(newStream(3), 64<<20))
	})
	c := w.raw("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 50 {
		w.fine("/x")
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := newStream(3).check(resp.Body); n != 64<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Requests that wait in a connection come back to the fast path with it, in order.
func TestFastPathTakesBackWhatWaits(t *testing.T) {
	w := newWeb(t, hello)
	for round := range 5 {
		id := fmt.Sprint("late", round)
		arm(t, w.edge, id, waiter{50 * time.Millisecond})
		var all strings.Builder
		const n = 50
		for i := range n {
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i)
		}
		c := w.raw(all.String())
		until(t, "the first request", func() bool { return receipt(t, w.edge, id).Matched > 0 })
		lift(t, w.edge, id)
		br := bufio.NewReader(c)
		for i := range n {
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if want := fmt.Sprint("hello /", i); string(body) != want || err != nil {
				t.Fatalf("%q, %v; want %q", body, err, want)
			}
		}
		if onLoops && !*portable && !w.edge.Fast() {
			t.Error("the connection has not come back")
		}
		c.Close()
		until(t, "the end", func() bool { return len(w.set.Connections("")) == 0 })
	}
}

// An edge that is closed lets what is under way on the fast path end.
func TestFastPathDrains(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(asked)
			<-answer
		}
		hello(rw, r)
	})
	idle, busy := w.asker(), w.asker()
	if code, err := idle.ask(); code != 200 || err != nil {
		t.Fatal(code, err)
	}
	io.WriteString(busy.c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- w.set.CloseEdge(w.Context(), w.edge.Name()) }()
	if _, err := idle.br.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	close(answer)
	resp, err := http.ReadResponse(busy.br, nil)
	if err != nil || !resp.Close {
		t.Fatalf("%+v %v", resp, err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "hello /wait" || err != nil {
		t.Errorf("%q %v", body, err)
	}
	if _, err := busy.br.ReadByte(); err != io.EOF {
		t.Errorf("the busy connection: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
