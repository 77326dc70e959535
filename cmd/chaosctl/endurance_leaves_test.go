//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A round of TestLeavesNothing.
const (
	dropped   = 20_000
	downloads = 1_000 // of them, in the middle of a download under a delay
	droppers  = 32    // at a time
)

// TestLeavesNothing: connections end in every way there is, thousands of them,
// and some in the middle of a download under a delay, while delays come and go.
// Nothing of them stays, and a second round needs no more memory than the first.
func TestLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("opens many connections")
	}
	mayOpen(t, 4096)
	s := startToxi(t, plain(t), "-runtime-metrics")
	d := &dropping{toxi: s}
	for i := range 8 { // several, so that no pair of addresses runs out of ports
		d.servers = append(d.servers, s.proxy(fmt.Sprintf("server%d", i), upstream(t, fmt.Sprintf("127.0.0.%d:0", 2+i), request), ""))
	}
	for i := range 2 {
		d.floods = append(d.floods, s.proxy(fmt.Sprintf("flood%d", i), upstream(t, "127.0.0.1:0", flood), ""))
	}
	const slow = `{"name":"slow","type":"latency","attributes":{"latency":50}}`
	s.must("POST", "/proxies/flood0/toxics", slow)
	memory := []int64{s.usage().memory}
	for i := range 64 { // what the process makes once is there from then on
		d.one(rand.New(rand.NewPCG(0, uint64(i))), i, i%2 == 0)
	}
	start := s.lessOwn()
	t.Logf("at the start: %d MiB; warm: %s", memory[0]>>20, start)
	rounds := 2
	if soaks() {
		rounds = 6
	}
	const spread, bound = 24 << 20, 150 << 20
	for round := range rounds {
		began := time.Now()
		d.round(uint64(round), slow)
		took := time.Since(began).Round(time.Millisecond)
		most := memory[0] + bound
		if round > 0 {
			most = memory[1] + spread
		}
		end := d.settled(t, start, most)
		memory = append(memory, end.memory)
		t.Logf("round %d, %s: %s, settled after %s", round, took, end, (time.Since(began) - took).Round(time.Millisecond))
		if round > 0 && end.memory > memory[1]+max((memory[1]-memory[0])/4, spread) {
			t.Errorf("round %d leaves %d MiB more than the first, which left %d MiB", round, (end.memory-memory[1])>>20, (memory[1]-memory[0])>>20)
		}
		if kept := end.memory - memory[0]; kept > bound {
			t.Errorf("%d MiB are kept", kept>>20)
		}
	}
	d.report(t)
	if d.cut.Load() < downloads/2 || d.answers.Load() == 0 {
		t.Errorf("%d downloads were cut, %d answers came: this proves nothing", d.cut.Load(), d.answers.Load())
	}
	s.stop()
}

// request answers the byte n with n KiB and a little; a connection has many.
func request(c *net.TCPConn) {
	head := make([]byte, 100)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		for i := range uint64(head[0]) {
			if _, err := c.Write(text(1, i<<10, 1030)); err != nil {
				return
			}
		}
	}
}

// flood sends without end.
func flood(c *net.TCPConn) {
	for i := uint64(0); ; i++ {
		if _, err := c.Write(text(1, i*maxText, maxText)); err != nil {
			return
		}
	}
}

type dropping struct {
	toxi            *toxi
	servers, floods []string
	problems
	answers, cut atomic.Int64
}

// round opens and drops connections, while the toxic of the second flood comes
// and goes.
func (d *dropping) round(seed uint64, slow string) {
	var next atomic.Int64
	var work, beside sync.WaitGroup
	over := make(chan struct{})
	beside.Go(func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		r := rand.New(rand.NewPCG(seed, 1<<40))
		wait := func() bool { return pause(timer, time.Duration(r.IntN(20_000))*time.Microsecond, over) }
		for going := true; going; going = wait() {
			d.ask("POST", "/proxies/flood1/toxics", slow)
			wait()
			d.ask("DELETE", "/proxies/flood1/toxics/slow", "")
		}
	})
	for i := range droppers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for {
				n := int(next.Add(1)) - 1
				if n >= dropped {
					return
				}
				d.one(r, n, n%(dropped/downloads) == 0)
			}
		})
	}
	work.Wait()
	close(over)
	beside.Wait()
}

func (d *dropping) ask(method, path, body string) {
	if code, answer, err := d.toxi.call(d.toxi.http, method, d.toxi.api+path, body); err != nil || code >= 300 {
		d.note("%s %s: %d %s %v", method, path, code, answer, err)
	}
}

// one opens a connection and drops it somehow.
func (d *dropping) one(r *rand.Rand, n int, download bool) {
	from := fmt.Sprintf("127.0.1.%d", 1+r.IntN(250))
	to := d.servers[n%len(d.servers)]
	if download {
		to = d.floods[r.IntN(len(d.floods))]
	}
	c, err := dialFrom(from, to)
	if err != nil {
		d.note("%v", err)
		return
	}
	defer c.Close()
	head := make([]byte, 100)
	head[0] = byte(r.IntN(64))
	if download {
		if _, err := io.CopyN(io.Discard, c, 1+r.Int64N(1<<20)); err != nil {
			d.note("download: %v", err)
		}
		d.cut.Add(1)
		if r.IntN(2) == 0 {
			_ = c.SetLinger(0)
		}
		return
	}
	ask := func(n int) {
		if _, err := c.Write(head[:n]); err != nil {
			d.note("request: %v", err)
		}
	}
	what := r.IntN(7)
	switch what {
	case 0: // at once
	case 1:
		_ = c.SetLinger(0)
	case 2: // after the answer
		ask(len(head))
		d.answer(c, head[0])
	case 3: // half-closed, then reset in the middle of the answer
		ask(len(head))
		_ = c.CloseWrite()
		_ = c.SetLinger(0)
	case 4: // in the middle of a request
		ask(1 + r.IntN(len(head)-1))
		_ = c.SetLinger(r.IntN(2) - 1)
	case 5: // with the answer under way
		ask(len(head))
	case 6: // as it should be
		ask(len(head))
		_ = c.CloseWrite()
		d.answer(c, head[0])
		if n, err := c.Read(head); n != 0 || err != io.EOF {
			d.note("%d bytes after the answer, %v", n, err)
		}
	}
}

func (d *dropping) answer(c *net.TCPConn, size byte) {
	if n, err := io.CopyN(io.Discard, c, int64(size)*1030); err != nil {
		d.note("answer of %d bytes: %d: %v", int(size)*1030, n, err)
	}
	d.answers.Add(1)
}

// settled waits until no goroutine and no descriptor is left, and until the process
// has given memory back: the Go runtime does so little by little, and not at all
// for two minutes unless something is asked of it.
func (d *dropping) settled(t *testing.T, start usage, most int64) usage {
	t.Helper()
	keptPipes := 8 * runtime.GOMAXPROCS(0) // for splicing: 4 for each loop, each with two ends
	clean := func(u usage) bool {
		return u.goroutines <= start.goroutines && u.descriptors <= start.descriptors && u.pipes <= start.pipes+keptPipes
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	u := d.toxi.lessOwn()
	for began := time.Now(); time.Since(began) < 3*patience && !(clean(u) && u.memory <= most); u = d.toxi.lessOwn() {
		for range 100 {
			d.toxi.must("GET", "/metrics", "")
		}
		pause(timer, 100*time.Millisecond, nil)
	}
	if !clean(u) {
		t.Errorf("left behind: %s; at the start: %s\n%s", u, start, d.toxi.strays(u, start))
	}
	return u
}
