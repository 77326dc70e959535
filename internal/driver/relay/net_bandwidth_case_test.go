package relay_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.NetBandwidth, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	// 64 KiB in at least 400 ms at this rate, in next to no time without.
	f := p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = 160 << 10 })
	return p.world(f, func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		start := time.Now()
		go c.Write(make([]byte, 64<<10))
		if _, err := io.ReadFull(c, make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		return time.Since(start) >= 380*time.Millisecond
	})
}})

// The rate is met: not more, and not much less.
func TestBandwidthIsExact(t *testing.T) {
	p := tcpPlace(t)
	const rate, size = 4 << 20, 2 << 20
	c, err := p.driver.Plan(t.Context(), p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = rate }))
	if err != nil {
		t.Fatal(err)
	}
	c.ID = "x"
	if err := p.driver.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	conn := p.dial()
	defer conn.Close()
	start := time.Now()
	go conn.Write(make([]byte, size))
	if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	want := time.Duration(float64(size) / rate * float64(time.Second))
	if took := time.Since(start); took < want*98/100 || took > 2*want {
		t.Errorf("%d bytes at %d/s took %s, not %s", size, rate, took, want)
	}
}

// A delay beside a rate takes nothing from the rate, whichever came first: the
// bytes under way do not count as waiting for the line.
func TestLatencyTakesNothingFromBandwidth(t *testing.T) {
	const rate, size, delay = 2 << 20, 3 << 20, time.Second
	bandwidth := func(p *place) fault.Fault {
		return p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = rate })
	}
	latency := func(p *place) fault.Fault {
		return p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(delay) })
	}
	for name, order := range map[string][]func(*place) fault.Fault{
		"latency first": {latency, bandwidth}, "bandwidth first": {bandwidth, latency},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tcpPlace(t)
			for i, f := range order {
				c, err := p.driver.Plan(t.Context(), f(p))
				if err != nil {
					t.Fatal(err)
				}
				c.ID = string(rune('a' + i))
				if err := p.driver.Apply(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			conn := p.dial()
			defer conn.Close()
			start := time.Now()
			go conn.Write(make([]byte, size))
			if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			line := time.Duration(float64(size) / rate * float64(time.Second))
			// With the bound on everything it is a fifth of a second's bytes per
			// delay: 9 s.
			if took := time.Since(start); took < (line+delay)*98/100 || took > 2*(line+delay) {
				t.Errorf("took %s, not %s", took, line+delay)
			}
		})
	}
}

// The lift of a slow rate lets go of a download in the middle, on TCP and HTTP
// edges: what was still to come is not paced by what is no longer in force.
func TestBandwidthLiftedInTheMiddle(t *testing.T) {
	const size = 8 << 20
	for _, protocol := range []experiment.Protocol{experiment.TCP, experiment.HTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				_, _ = w.Write(make([]byte, size))
			}))
			t.Cleanup(big.Close)
			p := newPlace(t, protocol, big.Listener.Addr().String())
			c, err := p.driver.Plan(t.Context(), p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = 4 << 10 }))
			if err != nil {
				t.Fatal(err)
			}
			c.ID = "x"
			if err := p.driver.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Get("http://" + p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, 2<<10)); err != nil {
				t.Fatal(err)
			}
			if err := p.driver.Revert(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			// At the old rate the rest would take half an hour.
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size-2<<10 {
				t.Fatalf("%d bytes after the lift, not %d: %v", n, size-2<<10, err)
			}
		})
	}
}

// With scope edge two connections share the rate, one alone has all of it.
func TestBandwidthSharedByAnEdge(t *testing.T) {
	p := tcpPlace(t)
	const rate, size = 4 << 20, 1 << 20
	p.arm(p.fault(fault.NetBandwidth, func(q fault.Params) {
		q.(*fault.Bandwidth).Rate, q.(*fault.Bandwidth).Scope = rate, fault.PerEdge
	}))
	load := func(n int) time.Duration {
		start := time.Now()
		var all sync.WaitGroup
		for range n {
			conn := p.dial()
			defer conn.Close()
			all.Go(func() { conn.Write(make([]byte, size)) })
			all.Go(func() {
				if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	for _, n := range []int{1, 4} {
		want := time.Duration(n) * time.Second * size / rate
		if took := load(n); took < want*98/100 || took > 2*want {
			t.Errorf("%d connections took %s, not %s", n, took, want)
		}
	}
}

// The rate of an edge is shared evenly by connections that all want it.
func TestBandwidthIsSharedEvenly(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.fault(fault.NetBandwidth, func(q fault.Params) {
		q.(*fault.Bandwidth).Rate, q.(*fault.Bandwidth).Scope = 1<<20, fault.PerEdge
	}))
	const conns = 4
	var got [conns]int64
	var all sync.WaitGroup
	for i := range conns {
		conn := p.dial()
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Second))
		all.Go(func() { io.Copy(conn, endless{}) })
		all.Go(func() { got[i], _ = io.Copy(io.Discard, conn) })
	}
	all.Wait()
	if low, high := slices.Min(got[:]), slices.Max(got[:]); low < high/2 {
		t.Errorf("connections got %d bytes", got)
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
