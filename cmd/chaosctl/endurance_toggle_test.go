//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// The load: each connection sends bursts with pauses between them, about 20 KB/s
// both ways, and now and then ends and comes again.
const (
	busyConns = 2000
	burst     = 32 << 10 // at most
	lull      = 1600 * time.Millisecond
	lifetime  = 20 * time.Second
)

// TestToggleUnderLoad: faults of every sort that loses nothing come, change and
// go under 2,000 busy connections. No byte is lost, doubled or moved, in either
// direction, and the faults were really in force.
func TestToggleUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	mayOpen(t, 3*busyConns)
	length := time.Minute
	if soaks() {
		length = 10 * time.Minute
	}
	s := startToxi(t, "")
	l := &load{t: t, toxi: s}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for i := range 4 {
		name := fmt.Sprintf("p%d", i)
		l.names = append(l.names, name)
		l.relays = append(l.relays, s.proxy(name, upstream(t, "127.0.0.1:0", l.serve), ""))
	}
	busy := make([]busyConn, busyConns)
	var callers, others sync.WaitGroup
	for i := range busy {
		callers.Go(func() { l.live(ctx, &busy[i], uint64(i)) })
	}
	for i, name := range l.names {
		others.Go(func() { l.toggle(ctx, name, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	others.Go(func() { l.inject(ctx, rand.New(rand.NewPCG(2, 2))) })
	others.Go(func() { l.receipts(ctx) })
	others.Go(func() { l.measure(ctx) })
	<-ctx.Done()
	others.Wait()
	s.must("POST", "/reset", "")
	callers.Wait()
	l.check(busy)
	s.stop()
}

// TestLoadNoticesLoss: the load that TestToggleUnderLoad stands on notices bytes
// that are missing, in either direction.
func TestLoadNoticesLoss(t *testing.T) {
	s := startToxi(t, "")
	for i, stream := range []string{"", "upstream", "downstream"} {
		l := &load{t: t, toxi: s}
		toxics := ""
		if stream != "" {
			toxics = fmt.Sprintf(`,"toxics":[{"type":"packet_loss","stream":%q,"attributes":{"loss_rate":0.3}}]`, stream)
		}
		relay := s.proxy(fmt.Sprintf("p%d", i), upstream(t, "127.0.0.1:0", l.serve), toxics)
		for n := range uint64(20) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cancel() // one burst, and the end
			if _, err := l.life(ctx, relay, n, rand.New(rand.NewPCG(n, 6))); err != nil {
				l.note("%v", err)
			}
		}
		l.mu.Lock()
		if noticed := l.count > 0; noticed != (stream != "") {
			t.Errorf("loss %q: noticed %t: %v", stream, noticed, l.first)
		}
		l.mu.Unlock()
	}
	s.stop()
}

// load is what the goroutines of the test share.
type load struct {
	t      testing.TB
	toxi   *toxi
	names  []string
	relays []string
	problems
	calls, lives, delayed       atomic.Int64
	resetsBegun, resetsAnswered atomic.Int64 // a toxic of a generation knows how many were answered before

	seen sync.Map // injection id to seenFault, the last that was seen
}

type seenFault struct {
	kind, owner string
	injected    uint64
}

type busyConn struct {
	lives int
	bytes uint64 // checked, both ways
}

// serve checks what comes against the text that the first 8 bytes name, and
// answers as many bytes of another.
func (l *load) serve(c *net.TCPConn) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(c, head); err != nil {
		l.note("upstream: no first bytes: %v", err)
		return
	}
	seed := binary.BigEndian.Uint64(head)
	sent := uint64(0)
	_, err := follow(c, 2*seed, 0, make([]byte, 16<<10), func(n int) error {
		_, err := c.Write(text(2*seed+1, sent, n))
		sent += uint64(n)
		return err
	})
	if err != nil {
		l.note("upstream, connection %x after %d bytes: %v", seed, sent, err)
	}
}

// live keeps one connection busy, and opens it anew at times.
func (l *load) live(ctx context.Context, b *busyConn, id uint64) {
	r := rand.New(rand.NewPCG(id, 3))
	timer := time.NewTimer(time.Duration(r.Int64N(int64(2 * time.Second)))) // they do not come all at once
	defer timer.Stop()
	<-timer.C
	for ctx.Err() == nil {
		life, end := context.WithTimeout(ctx, time.Duration(r.Int64N(int64(2*lifetime))))
		n, err := l.life(life, l.relays[id%uint64(len(l.relays))], id<<32|uint64(b.lives), r)
		end()
		b.bytes += 2 * n
		b.lives++
		l.lives.Add(1)
		if err != nil {
			l.note("connection %d, life %d, after %d bytes: %v", id, b.lives, n, err)
		}
	}
}

// life is one connection until ctx ends: then it shuts its side, and must still
// get all that is owed to it.
func (l *load) life(ctx context.Context, addr string, seed uint64, r *rand.Rand) (received uint64, err error) {
	c, err := dialFrom("", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end.Add(2 * patience)); err != nil {
		return 0, err
	}
	sent, wrote := uint64(0), make(chan error, 1)
	go func() {
		wrote <- func() error {
			timer := time.NewTimer(0)
			defer timer.Stop()
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, seed)); err != nil {
				return err
			}
			for {
				n := 1 + r.IntN(burst)
				if _, err := c.Write(text(2*seed, sent, n)); err != nil {
					return err
				}
				sent += uint64(n)
				if !pause(timer, time.Duration(r.Int64N(int64(lull))), ctx.Done()) {
					return c.CloseWrite()
				}
			}
		}()
	}()
	received, err = follow(c, 2*seed+1, 0, make([]byte, 16<<10), nil)
	if err != nil {
		_ = c.Close() // the writer ends, too
	}
	if werr := <-wrote; werr != nil {
		return received, fmt.Errorf("%w; write: %w", err, werr)
	}
	if err == nil && received != sent {
		err = fmt.Errorf("sent %d bytes, got %d", sent, received)
	}
	return received, err
}

// harmless draws a toxic that loses nothing. held tells that it lets nothing
// through.
func harmless(r *rand.Rand) (kind, attributes string, held bool) {
	switch r.IntN(10) {
	case 0, 1:
		return "latency", fmt.Sprintf(`{"latency":%d}`, 1+r.IntN(80)), false
	case 2:
		return "latency", fmt.Sprintf(`{"latency":%d,"jitter":%d}`, r.IntN(30), 1+r.IntN(40)), false
	case 3:
		shape := []string{"uniform", "normal", "lognormal", "pareto"}[r.IntN(4)]
		return "latency", fmt.Sprintf(`{"latency":%d,"jitter":%d,"distribution":%q}`, 1+r.IntN(30), 1+r.IntN(20), shape), false
	case 4:
		return "bandwidth", fmt.Sprintf(`{"rate":%d}`, 500+r.IntN(20_000)), false
	case 5:
		return "bandwidth", fmt.Sprintf(`{"rate":%d,"scope":"edge"}`, 100_000+r.IntN(100_000)), false
	case 6:
		return "bandwidth", `{"rate":0}`, true
	case 7:
		size := 400 + r.IntN(4000)
		return "slicer", fmt.Sprintf(`{"average_size":%d,"size_variation":%d,"delay":%d}`, size, r.IntN(size), r.IntN(200)), false
	case 8:
		return "slow_close", fmt.Sprintf(`{"delay":%d}`, r.IntN(300)), false
	}
	return "noop", `{}`, false
}

func toxicity(r *rand.Rand) float64 { return []float64{0, 0.1, 0.5, 1}[r.IntN(4)] }

// strict is a generation from which nothing is forgiven.
const strict = -1

// ask is a call to Toxiproxy's API that must work, unless a reset after generation
// may have lifted the toxic.
func (l *load) ask(method, path, body string, generation int64) bool {
	code, answer, err := l.toxi.call(l.toxi.http, method, l.toxi.api+path, body)
	l.calls.Add(1)
	if code == 404 && generation != strict && l.resetsBegun.Load() != generation {
		return false
	}
	if err != nil || code >= 300 {
		l.note("%s %s %s: %d %s %v", method, path, body, code, answer, err)
		return false
	}
	return true
}

type inForce struct {
	name, kind string
	generation int64
}

// toggle adds, updates and removes toxics of one proxy until ctx ends.
func (l *load) toggle(ctx context.Context, proxy string, r *rand.Rand) {
	var now []inForce
	timer := time.NewTimer(0)
	defer timer.Stop()
	base := "/proxies/" + proxy + "/toxics"
	for n := 0; pause(timer, time.Duration(r.IntN(100))*time.Millisecond, ctx.Done()); n++ {
		i := 0
		if len(now) > 0 {
			i = r.IntN(len(now))
		}
		generation := l.resetsAnswered.Load()
		switch what := r.IntN(12); {
		case what == 0 && r.IntN(20) == 0:
			l.resetsBegun.Add(1)
			l.ask("POST", "/reset", "", strict)
			l.resetsAnswered.Add(1)
			now = nil
		case len(now) > 0 && (what < 4 || len(now) > 5):
			l.ask("DELETE", base+"/"+now[i].name, "", now[i].generation)
			now = append(now[:i], now[i+1:]...)
		case len(now) > 0 && what < 7:
			kind, attributes, held := harmless(r)
			if kind != now[i].kind || held {
				attributes = "{}"
			}
			l.ask("PATCH", base+"/"+now[i].name, fmt.Sprintf(`{"toxicity":%g,"attributes":%s}`, toxicity(r), attributes), now[i].generation)
		default:
			kind, attributes, held := harmless(r)
			x := inForce{fmt.Sprintf("t%d", n), kind, generation}
			stream := []string{"upstream", "downstream", "both"}[r.IntN(3)]
			if !l.ask("POST", base, fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"toxicity":%g,"attributes":%s}`,
				x.name, kind, stream, toxicity(r), attributes), strict) {
				break
			}
			if !held {
				now = append(now, x)
				break
			}
			pause(timer, time.Duration(r.IntN(300))*time.Millisecond, ctx.Done())
			l.ask("DELETE", base+"/"+x.name, "", x.generation)
		}
	}
	for _, x := range now {
		l.ask("DELETE", base+"/"+x.name, "", x.generation)
	}
}

// inject does the same through chaosctl's own API.
func (l *load) inject(ctx context.Context, r *rand.Rand) {
	faults := []string{
		`"kind":"net.latency","params":{"delay":"30ms","jitter":"10ms","direction":"both"}`,
		`"kind":"net.latency","params":{"delay":"5ms","direction":"request"}`,
		`"kind":"net.slice","params":{"size":"2KiB","variation":"1KiB","direction":"both"}`,
		`"kind":"net.bandwidth","params":{"rate":"1MB/s"}`,
		`"kind":"net.stall","params":{"direction":"both"}`,
		`"kind":"net.noop"`,
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var now []string
	lift := func(i int) {
		if code, answer, err := l.toxi.call(l.toxi.http, "DELETE", l.toxi.own+"/v1/faults/"+now[i], ""); err != nil || code != 200 {
			l.note("lift %s: %d %s %v", now[i], code, answer, err)
		}
		now = append(now[:i], now[i+1:]...)
	}
	for pause(timer, time.Duration(r.IntN(300))*time.Millisecond, ctx.Done()) {
		l.calls.Add(1)
		if len(now) > 0 && (r.IntN(2) == 0 || len(now) > 3) {
			lift(r.IntN(len(now)))
			continue
		}
		f := faults[r.IntN(len(faults))]
		body := fmt.Sprintf(`{"faults":[{%s,"share":%g,"target":{"edge":"toxiproxy -> %s"}}],"for":"1m"}`, f, 0.1+0.9*r.Float64(), l.names[r.IntN(len(l.names))])
		code, answer, err := l.toxi.call(l.toxi.http, "POST", l.toxi.own+"/v1/faults", body)
		var in experiment.Injection
		if err == nil && code == 201 {
			err = json.Unmarshal(answer, &in)
		}
		if err != nil || code != 201 {
			l.note("inject %s: %d %s %v", body, code, answer, err)
			continue
		}
		now = append(now, in.ID)
		if strings.Contains(f, "stall") {
			pause(timer, time.Duration(r.IntN(300))*time.Millisecond, ctx.Done())
			lift(len(now) - 1)
		}
	}
	for len(now) > 0 {
		lift(0)
	}
}

// receipts notes what each fault did, as long as it is in force.
func (l *load) receipts(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause(timer, 200*time.Millisecond, ctx.Done()) {
		code, answer, err := l.toxi.call(l.toxi.http, "GET", l.toxi.own+"/v1/faults", "")
		var got struct {
			Faults []struct {
				ID, Owner string
				Faults    []struct {
					Fault   struct{ Kind string }
					Receipt fault.Receipt
				}
			}
		}
		if err == nil {
			err = json.Unmarshal(answer, &got)
		}
		if err != nil || code != 200 {
			l.note("faults: %d %s %v", code, answer, err)
			continue
		}
		for _, in := range got.Faults {
			for _, a := range in.Faults {
				l.seen.Store(in.ID, seenFault{a.Fault.Kind, in.Owner, a.Receipt.Injected})
			}
		}
	}
}

// measure feels a delay from outside, in the midst of all the others.
func (l *load) measure(ctx context.Context) {
	const delay = 100 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	r := rand.New(rand.NewPCG(4, 4))
	for n := uint64(0); pause(timer, 500*time.Millisecond, ctx.Done()); n++ {
		generation := l.resetsAnswered.Load()
		const at = "/proxies/p0/toxics"
		l.ask("POST", at, fmt.Sprintf(`{"name":"felt","type":"latency","stream":"both","attributes":{"latency":%d}}`, delay.Milliseconds()), strict)
		once, cancel := context.WithTimeout(ctx, time.Minute)
		began := time.Now()
		cancel() // one burst, and the end
		_, err := l.life(once, l.relays[0], 1<<63|n, r)
		took := time.Since(began)
		l.ask("DELETE", at+"/felt", "", generation)
		if generation != l.resetsBegun.Load() {
			continue
		}
		if err != nil {
			l.note("measuring: %v", err)
		}
		if took < 2*delay {
			l.note("a round trip under %s both ways took %s", delay, took)
		}
		l.delayed.Add(1)
	}
}

// check is what must be true in the end.
func (l *load) check(busy []busyConn) {
	l.report(l.t)
	sum, idle := uint64(0), 0
	for _, b := range busy {
		sum += b.bytes
		if b.bytes == 0 {
			idle++
		}
	}
	if idle > 0 {
		l.t.Errorf("%d connections moved nothing", idle)
	}
	felt := map[string]uint64{}
	count := 0
	l.seen.Range(func(_, v any) bool {
		f := v.(seenFault)
		felt[f.kind] += f.injected
		if f.owner == "toxiproxy" {
			felt["toxics"] += f.injected
		}
		count++
		return true
	})
	for _, kind := range []string{"net.latency", "net.bandwidth", "net.stall", "net.slice", "net.slow-close", "net.noop", "toxics"} {
		if felt[kind] == 0 {
			l.t.Errorf("no %s is known to have hurt anything: %v", kind, felt)
		}
	}
	if l.delayed.Load() == 0 {
		l.t.Error("no delay was measured")
	}
	l.t.Logf("%d lives of %d connections, %d MiB checked, %d calls, %d faults seen, connections hurt: %v, %d delays measured; server: %s",
		l.lives.Load(), len(busy), sum>>20, l.calls.Load(), count, felt, l.delayed.Load(), l.toxi.resources())
}
