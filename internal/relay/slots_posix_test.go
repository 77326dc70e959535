//go:build linux || darwin

package relay_test

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// newSetWith makes a set that takes limit for what the process may open.
func newSetWith(t *testing.T, limit uint64, o relay.Options) *relay.Set {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = limit
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	return relay.NewSet(o)
}

// reset ends a connection with RST.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// However many callers there are, some descriptors stay free; who had to wait is
// served once others end, and the lift finds descriptors for all dials.
func TestDescriptorsStayFree(t *testing.T) {
	var full atomic.Int32
	w := newWorld(t)
	w.set = newSetWith(t, 200, relay.Options{Full: func(string) { full.Add(1) }})
	// 200 - 32 spare - 2 of the edge, two for each connection.
	const most, callers = 83, 120
	for _, p := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		e := w.open("a", string(p), p, echo(t))
		var conns []*net.TCPConn
		if p == experiment.TCP {
			arm(t, e, "cut", cut{true, true})
		}
		for range callers {
			conns = append(conns, dial(t, e.Spec().Listen))
		}
		open := func() int {
			for _, s := range w.set.Status() {
				if s.Name == e.Name() {
					return s.Open
				}
			}
			return -1
		}
		until(t, "the edge to be full", func() bool { return open() == most })
		time.Sleep(50 * time.Millisecond)
		if n := open(); n != most || full.Load() != 1 {
			t.Fatalf("%s: %d are open, not %d; it was said %d times", p, n, most, full.Load())
		}
		if p == experiment.TCP {
			lift(t, e, "cut")
			var all sync.WaitGroup
			for _, c := range conns[:most] {
				all.Go(func() { ping(t, c) })
			}
			all.Wait()
		}
		for _, c := range conns[:callers-most] {
			reset(c)
		}
		until(t, "the rest to be served", func() bool { return open() == most && w.accepted(e) == callers })
		for _, c := range conns {
			c.Close()
		}
		until(t, "all to end", func() bool { return open() == 0 })
		if err := w.set.CloseEdge(t.Context(), e.Name()); err != nil {
			t.Error(err)
		}
	}
}

func (w *world) accepted(e *relay.Edge) int {
	for _, s := range w.set.Status() {
		if s.Name == e.Name() {
			return int(s.Accepted)
		}
	}
	return -1
}

// An edge that is full can be closed, also while a connection waits its turn.
func TestFullEdgeCloses(t *testing.T) {
	w := newWorld(t)
	w.set = newSetWith(t, 12, relay.Options{})
	e := w.open("a", "b", experiment.TCP, echo(t))
	for range 5 {
		dial(t, e.Spec().Listen)
	}
	until(t, "the edge to be full", func() bool { return w.set.Status()[0].Open == 2 })
	done := make(chan struct{})
	go func() { defer close(done); w.set.Shutdown(cancelled(t)) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it does not close")
	}
}

// Whoever resets a connection under a hold frees it at once, dialled or not and
// with bytes under way or without; a FIN alone does not end it.
func TestResetUnderAHoldEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, echo(t))
	openNow := func(n int) func() bool { return func() bool { return w.set.Status()[0].Open == n } }
	old := dial(t, e.Spec().Listen)
	ping(t, old)
	half := dial(t, e.Spec().Listen)
	ping(t, half)
	arm(t, e, "cut", cut{true, true})
	fresh, mute := dial(t, e.Spec().Listen), dial(t, e.Spec().Listen)
	patient := dial(t, e.Spec().Listen)
	for _, c := range []*net.TCPConn{old, fresh, patient} {
		c.Write([]byte("held"))
	}
	patient.CloseWrite()
	half.CloseWrite()
	until(t, "five connections", openNow(5))
	time.Sleep(50 * time.Millisecond)
	for i, c := range []*net.TCPConn{old, fresh, mute, half} {
		reset(c)
		until(t, "a connection that was reset to end", openNow(4-i))
	}
	lift(t, e, "cut")
	b := make([]byte, 5)
	n, err := patient.Read(b)
	if err != nil || string(b[:n]) != "held" {
		t.Errorf("half a close under a hold: %q, %v", b[:n], err)
	}
}

// A caller that half-closes and then resets is gone; its callee learns that.
func TestResetAfterHalfClose(t *testing.T) {
	w := newWorld(t)
	told := make(chan error, 1)
	e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		c.Read(b)
		c.Write(b)
		c.Read(b) // the FIN
		told <- nil
		for { // until writing fails
			if _, err := c.Write(b); err != nil {
				told <- err
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}))
	arm(t, e, "one-way", cut{down: true})
	c := dial(t, e.Spec().Listen)
	c.Write([]byte{1})
	c.CloseWrite()
	<-told
	reset(c)
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatal("the callee was not told")
	}
}

// A caller that resets while its callee is being dialled frees the connection.
func TestResetDuringADial(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, unreachable(t))
	c := dial(t, e.Spec().Listen)
	c.Write([]byte("x"))
	until(t, "the connection", func() bool { return w.set.Status()[0].Open == 1 })
	if !silent(t, c, 100*time.Millisecond) {
		t.Skip("the callee answers")
	}
	reset(c)
	until(t, "its end", func() bool { return w.set.Status()[0].Open == 0 })
	until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
	if x := w.exchanges()[0]; x.EndedBy != "caller" {
		t.Errorf("ended by %q", x.EndedBy)
	}
}

// A dial does not last for ever.
func TestDialTimesOut(t *testing.T) {
	w := newWorld(t)
	w.set.DialFor(200 * time.Millisecond)
	e := w.open("a", "b", experiment.TCP, unreachable(t))
	c := dial(t, e.Spec().Listen)
	if _, err := c.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("the caller of a callee that does not answer: %v", err)
	}
	until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
	if x := w.exchanges()[0]; x.EndedBy != "callee" {
		t.Errorf("ended by %q", x.EndedBy)
	}
}
