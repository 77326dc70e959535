package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// choppy slices chunks and delays the slices unevenly, to be hard on the queue.
type choppy struct{ seed uint64 }

func (c choppy) Stage(relay.Way, fault.Unit, *relay.Rand) relay.Stage {
	return &chopper{rand.New(rand.NewPCG(c.seed, 1))}
}

type chopper struct{ r *rand.Rand }

func (c *chopper) Pass(in relay.Chunk, emit func(relay.Chunk)) {
	for len(in.Data) > 1000 && c.r.IntN(4) > 0 {
		n := 1 + c.r.IntN(len(in.Data)-1)
		emit(relay.Chunk{Data: in.Data[:n], Due: in.Due.Add(time.Duration(c.r.IntN(3000)) * time.Microsecond)})
		in.Data = in.Data[n:]
	}
	emit(in)
}

// toggle arms and lifts effects at random that lose no byte, until ctx is done.
func toggle(ctx context.Context, t *testing.T, e *relay.Edge, seed uint64) (times int) {
	r := rand.New(rand.NewPCG(seed, 2))
	effects := []func() relay.Effect{
		func() relay.Effect { return slow(time.Duration(r.IntN(20))*time.Millisecond, relay.Up, relay.Down) },
		func() relay.Effect {
			return seeing{slow(time.Duration(r.IntN(20))*time.Millisecond, relay.Up, relay.Down)}
		},
		func() relay.Effect { return slow(time.Duration(r.IntN(5))*time.Millisecond, relay.Way(r.IntN(2))) },
		func() relay.Effect { return choppy{r.Uint64()} },
		func() relay.Effect { return cut{r.IntN(2) == 0, r.IntN(2) == 0} },
	}
	var inForce []string
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		if len(inForce) < 3 && r.IntN(2) == 0 {
			id := fmt.Sprintf("f-%d-%d", seed, times)
			err := e.Arm(relay.Armed{ID: id, Name: "f", Effect: effects[r.IntN(len(effects))](), Share: 0.8, Seed: seed})
			if err != nil {
				t.Error(err)
			}
			inForce = append(inForce, id)
			times++
		} else if len(inForce) > 0 {
			i := r.IntN(len(inForce))
			if err := e.Lift(inForce[i]); err != nil {
				t.Error(err)
			}
			inForce = slices.Delete(inForce, i, i+1)
		}
	}
	for _, id := range inForce {
		e.Lift(id)
	}
	return times
}

// Both ways of many connections carry a sequence that can be checked byte for
// byte, while effects come and go.
func TestTogglingLosesNoByte(t *testing.T) {
	length := 3 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	w := newWorld(t)
	var mu sync.Mutex
	var problems []error
	note := func(err error) {
		if err != nil {
			mu.Lock()
			problems = append(problems, err)
			mu.Unlock()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		var both sync.WaitGroup
		both.Go(func() { note(send(ctx, c, 2)) })
		n, err := newStream(1).check(c)
		both.Wait()
		if err != nil {
			note(fmt.Errorf("request byte %d: %w", n, err))
		}
	}))
	var all sync.WaitGroup
	var total [8]int64
	for i := range total {
		c := dial(t, e.Spec().Listen)
		c.SetDeadline(time.Now().Add(length + patience))
		all.Go(func() { note(send(ctx, c, 1)) })
		all.Go(func() {
			n, err := newStream(2).check(c)
			total[i] = n
			if err != nil {
				note(fmt.Errorf("answer byte %d: %w", n, err))
			}
		})
	}
	times := toggle(ctx, t, e, 1)
	all.Wait()
	sum := int64(0)
	for _, n := range total {
		sum += n
	}
	t.Logf("%d effects came and went under %d MiB of answers", times, sum>>20)
	if times == 0 || sum == 0 {
		t.Error("nothing was tested")
	}
	for _, err := range problems {
		t.Error(err)
	}
}

// send writes a sequence in pieces of all sizes until ctx is done, then a FIN.
func send(ctx context.Context, c *net.TCPConn, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 3))
	s := newStream(seed)
	b := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n := 1 + r.IntN(100)
		if r.IntN(3) == 0 {
			n = 1 + r.IntN(len(b)-1)
		}
		s.Read(b[:n])
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
	}
	return c.CloseWrite()
}

// open counts the process's descriptors, where that can be told.
func descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(all)
}

// 200 busy connections, TCP and HTTP, and effects of all sorts from many sides:
// the control side stays quick and nothing is left behind.
func TestStormLeavesNothingBehind(t *testing.T) {
	runtime.GC()
	fds, goroutines := descriptors(), runtime.NumGoroutine()
	t.Run("storm", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		w := newWorld(t)
		tcp := w.open("a", "b", experiment.TCP, echo(t))
		web := newWeb(t, hello)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for ctx.Err() == nil {
					busy(ctx, tcp.Spec().Listen)
				}
			})
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: time.Second}
				defer client.CloseIdleConnections()
				for ctx.Err() == nil {
					req, _ := http.NewRequestWithContext(ctx, "GET", web.url, nil)
					if resp, err := client.Do(req); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			})
		}
		var mu sync.Mutex
		var took []time.Duration
		for side := range 8 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(side), 4))
				pause := time.NewTimer(0)
				defer pause.Stop()
				for i := 0; ctx.Err() == nil; i++ {
					e := []*relay.Edge{tcp, web.edge}[i%2]
					effects := []relay.Effect{
						slow(5*time.Millisecond, relay.Up, relay.Down), cut{true, true}, hole{}, ender{time.Millisecond, relay.Reset},
						refuser{}, killer{10 * time.Millisecond, relay.Close}, choppy{1},
					}
					id := fmt.Sprint(side, "-", i)
					start := time.Now()
					err := e.Arm(relay.Armed{ID: id, Effect: effects[r.IntN(len(effects))], Share: 0.3, Until: time.Now().Add(300 * time.Millisecond)})
					armed := time.Since(start)
					start = time.Now()
					w.set.Status()
					status := time.Since(start)
					pause.Reset(time.Duration(r.IntN(20)) * time.Millisecond)
					select {
					case <-ctx.Done():
					case <-pause.C:
					}
					start = time.Now()
					var lifted error
					if r.IntN(4) > 0 { // else its lease ends it
						lifted = e.Lift(id)
					}
					if err != nil || lifted != nil {
						t.Error(err, lifted)
					}
					mu.Lock()
					took = append(took, armed, status, time.Since(start))
					mu.Unlock()
				}
			})
		}
		all.Wait()
		slices.Sort(took)
		t.Logf("%d control calls: median %s, p99 %s", len(took), took[len(took)/2], took[len(took)*99/100])
		if median := took[len(took)/2]; median > 50*time.Millisecond {
			t.Errorf("the median control call took %s", median)
		}
		until(t, "the last leases to end", func() bool {
			return len(w.set.Status()[0].Faults)+len(web.set.Status()[0].Faults) == 0
		})
		for _, e := range []*relay.Edge{tcp, web.edge} {
			c, err := net.Dial("tcp", e.Spec().Listen)
			if err != nil {
				t.Errorf("%s does not listen any more: %v", e.Name(), err)
				continue
			}
			c.Close()
		}
		web.fine("/after")
		ping(t, dial(t, tcp.Spec().Listen))
	})
	until(t, "goroutines and descriptors to be given back", func() bool {
		runtime.GC() // Go keeps the pipes of its splices in a pool that only this empties
		return runtime.NumGoroutine() <= goroutines && descriptors() <= fds
	})
}

// busy works on one connection until it breaks.
func busy(ctx context.Context, addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
		return
	}
	defer c.Close()
	b := make([]byte, 1000)
	for ctx.Err() == nil {
		c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Write(b); err != nil {
			return
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
	}
}

// Clients that never read, callees that never answer and dials that never end
// are the data side's trouble alone.
func TestStuckPeersDoNotBlockTheControlSide(t *testing.T) {
	w := newWorld(t)
	flood := server(t, func(c *net.TCPConn) { io.Copy(c, newStream(1)) })
	e := w.open("a", "flood", experiment.TCP, flood)
	web := newWeb(t, func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, newStream(1)) })
	mute := w.open("a", "mute", experiment.HTTP, server(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }))
	const stuck = 50
	for range stuck {
		dial(t, e.Spec().Listen) // never reads
		c := dial(t, web.edge.Spec().Listen)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c = dial(t, mute.Spec().Listen)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	until(t, "all to be stuck", func() bool {
		s := w.set.Status()
		return s[0].BytesOut > stuck*100_000 && s[1].Exchanges == stuck && web.set.Status()[0].Exchanges == stuck
	})
	for i := range 20 {
		for _, edge := range []*relay.Edge{e, web.edge, mute} {
			for _, effect := range []relay.Effect{slow(50*time.Millisecond, relay.Down), cut{true, true}, hole{}} {
				start := time.Now()
				id := fmt.Sprintf("%d %T", i, effect)
				if edge == e || i == 0 {
					arm(t, edge, id, effect)
					w.set.Status()
					lift(t, edge, id)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("arm, status and lift of %T took %s", effect, took)
				}
			}
		}
	}
}

func TestSlowDialDoesNotBlockAccept(t *testing.T) {
	addr := unreachable(t)
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, addr, echo(t)) // in turns
	first := dial(t, e.Spec().Listen)
	until(t, "the first", func() bool { return w.set.Status()[0].Open == 1 })
	ping(t, dial(t, e.Spec().Listen))
	if !silent(t, first, 20*time.Millisecond) {
		t.Error("the dial was not slow; this proves nothing")
	}
	arm(t, e, "kill", killer{how: relay.Reset})
	if _, err := first.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("a connection that is being dialled for cannot be killed: %v", err)
	}
}

// unreachable is an address at which connecting neither works nor fails for a
// while: a listener with a full queue.
func unreachable(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	rc, _ := l.(*net.TCPListener).SyscallConn()
	rc.Control(func(fd uintptr) { err = shortQueue(fd) })
	if err != nil {
		t.Skip("cannot make a listener with a short queue here:", err)
	}
	for range 16 {
		d := net.Dialer{Timeout: 100 * time.Millisecond}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				t.Skip("a full queue refuses here")
			}
			return l.Addr().String()
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the queue does not fill here")
	return ""
}

// A callee that floods and callers that do not read: with a long delay the bytes
// pile up in queues, which must stay bounded.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("moves much")
	}
	const budget = 64 << 20
	w := newWorld(t)
	w.set = relay.NewSet(relay.Options{QueueBytes: budget})
	t.Cleanup(func() { w.set.Shutdown(cancelled(t)) })
	if *portable {
		w.set.Portable()
	}
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) { io.Copy(c, newStream(1)) }))
	arm(t, e, "slow", slow(time.Hour, relay.Down))
	const conns = 20
	for range conns {
		dial(t, e.Spec().Listen)
	}
	last := int64(0)
	until(t, "reading to stop", func() bool { // no byte for 100 ms
		now := w.set.Queued()
		still := now == last && now >= budget
		last = now
		time.Sleep(100 * time.Millisecond)
		return still
	})
	// The budget, and what was in flight when it was reached.
	if got, most := last>>20, int64(budget>>20+2); got > most {
		t.Errorf("%d MiB wait in queues; at most %d should", got, most)
	}
	// With the budget spent, those that come now may still queue some, little.
	const late = 200
	for range late {
		dial(t, e.Spec().Listen)
	}
	until(t, "each of the late to have some bytes queued", func() bool { return w.set.Queued()-last >= late*32<<10 })
	time.Sleep(200 * time.Millisecond)
	if more := w.set.Queued() - last; more > late*(128<<10) {
		t.Errorf("%d late connections hold %d KiB each", late, more/late>>10)
	}
	lift(t, e, "slow")
	arm(t, e, "kill", killer{how: relay.Reset})
	until(t, "the connections to end", func() bool { return w.set.Status()[0].Open == 0 })
}

// A connection that has lost bytes never goes on: what arrives has no gap,
// whenever the black hole came and went.
func TestBlackholeLeavesNoGap(t *testing.T) {
	var mu sync.Mutex
	var gaps []error
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		if _, err := newStream(1).check(c); errors.Is(err, errWrongByte) {
			mu.Lock()
			gaps = append(gaps, err)
			mu.Unlock()
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", e.Spec().Listen)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				send(ctx, c.(*net.TCPConn), 1)
				c.Close()
			}
		})
	}
	lost := uint64(0)
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprint(i)
		if err := e.Arm(relay.Armed{ID: id, Effect: hole{}, Share: 0.5, Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		lift(t, e, id)
		lost += receipt(t, e, id).Injected
	}
	all.Wait()
	if lost == 0 {
		t.Error("nothing was swallowed; this proves nothing")
	}
	for _, err := range gaps {
		t.Error(err)
	}
}
