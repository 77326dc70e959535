package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func TestRate(t *testing.T) {
	var seen atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.Add(1) })
	rec := run(t, Config{Flow: flow("f", 400, time.Minute), Address: addr}, 2500*time.Millisecond)
	w := rec.FlowWindow(0, "f")
	if w.Requests != uint64(seen.Load()) {
		t.Errorf("%d requests, server saw %d", w.Requests, seen.Load())
	}
	// What is due is a matter of the schedule alone, so this is exact on a busy
	// machine, too; only the last second is cut short.
	p := rec.Series("f")
	for _, p := range p[:len(p)-1] {
		if p.Requests != 400 {
			t.Errorf("%d requests in a second, want 400", p.Requests)
		}
	}
	if len(p) < 2 {
		t.Errorf("no whole second in %v", p)
	}
	if w.Successes != w.Requests || w.Statuses["200"] != w.Requests {
		t.Errorf("not all succeeded: %+v", w)
	}
	if w.P50 == 0 || w.P99 < w.P50 || w.Max < w.P999 {
		t.Errorf("percentiles out of order: %+v", w)
	}
}

// TestStall is the proof against coordinated omission: beside the open-loop
// flow a closed-loop user counts the same stall, and does not see it.
func TestStall(t *testing.T) {
	var lock sync.RWMutex
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		lock.RLock()
		defer lock.RUnlock()
	})
	const stall = time.Second
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	wg.Go(func() {
		time.Sleep(700 * time.Millisecond)
		lock.Lock()
		time.Sleep(stall)
		lock.Unlock()
	})
	var closed []uint32
	wg.Go(func() {
		c := newClient(1, nil)
		defer c.close()
		tpl, err := newTemplate(Config{Flow: flow("closed", 1, 0), Address: addr})
		if err != nil {
			t.Error(err)
			return
		}
		tick := time.NewTicker(2 * time.Millisecond) // 500/s, one after the other
		defer tick.Stop()
		for i := uint64(0); ctx.Err() == nil; i++ {
			<-tick.C
			sent := time.Now()
			resp, err := c.do(t.Context(), tpl, i)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			closed = append(closed, micros(time.Since(sent)))
		}
	})
	f := flow("open", 500, time.Minute)
	f.MaxInFlight = 20_000
	rec := run(t, Config{Flow: f, Address: addr}, 3*time.Second)
	wg.Wait()
	slices.Sort(closed)
	shut := time.Duration(exact(closed, 0.99)) * time.Microsecond
	w := rec.FlowWindow(0, "open")
	t.Logf("a stall of %s at 500/s: p99 open loop %s of %d, closed loop %s of %d (its longest %s)", stall,
		w.P99, w.Requests, shut, len(closed), time.Duration(closed[len(closed)-1])*time.Microsecond)
	if w.P99.Std() < stall/2 {
		t.Errorf("open-loop p99 %s hides a stall of %s", w.P99, stall)
	}
	if w.P99.Std() < 4*shut {
		t.Errorf("open-loop p99 %s is not far above the closed loop's %s", w.P99, shut)
	}
	if longest := time.Duration(closed[len(closed)-1]) * time.Microsecond; longest < stall*8/10 {
		t.Errorf("the closed loop met no stall (longest %s): the comparison is void", longest)
	}
	if w.Successes != w.Requests {
		t.Errorf("not all succeeded: %+v", w)
	}
}

func TestOverrun(t *testing.T) {
	release := make(chan struct{})
	var inside, most atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
	})
	f := flow("f", 200, time.Minute)
	f.MaxInFlight = 7
	rec := NewRecorder([]experiment.Flow{f})
	rec.Mark(experiment.StageSteady, "", time.Now())
	g, err := New(Config{Flow: f, Address: addr}, rec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for rec.FlowWindow(0, "f").Overruns < 20 || inside.Load() < 7 {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	close(release)
	wg.Wait()
	rec.Close(time.Now())
	w := rec.FlowWindow(0, "f")
	if most.Load() != 7 || w.Successes < 7 || w.Overruns < 20 || w.Statuses[Overrun] != w.Overruns || w.Requests != w.Successes+w.Overruns {
		t.Errorf("want 7 answers and overruns for the rest: %+v", w)
	}
	if w.P99.Std() < 59*time.Second {
		t.Errorf("an overrun must count with the timeout: %+v", w)
	}
}

func TestClasses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	request := func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			t.Error(err)
		}
	}
	answers := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, text)
			c.Close()
		}
	}
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, c := range []struct {
		name, want, addr string
		serve            func(*net.TCPConn)
		status           []int
		fails            bool
	}{
		{name: "complete", want: "200", serve: answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")},
		{name: "redirect", want: "302", serve: answers("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")},
		{name: "error", want: "503", fails: true, serve: answers("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")},
		{name: "wanted 404", want: "404", status: []int{404}, serve: answers("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")},
		{name: "unwanted 200", want: "200", status: []int{404}, fails: true, serve: answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
		{name: "gzip left alone", want: "200", serve: answers("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")},
		{name: "short body", want: Truncated, fails: true, serve: answers("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")},
		{name: "short chunks", want: Truncated, fails: true, serve: answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")},
		{name: "half a header", want: Closed, fails: true, serve: answers("HTTP/1.1 200 OK\r\nServer: x\r\n")},
		{name: "closed", want: Closed, fails: true, serve: answers("")},
		{name: "nonsense", want: Other, fails: true, serve: answers("what?\r\n\r\n")},
		{name: "reset", want: Reset, fails: true, serve: func(c *net.TCPConn) { request(c); c.SetLinger(0); c.Close() }},
		{name: "reset body", want: Reset, fails: true, serve: func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
			time.Sleep(30 * time.Millisecond) // let it arrive before the RST
			c.SetLinger(0)
			c.Close()
		}},
		{name: "no answer", want: Timeout, fails: true, serve: func(c *net.TCPConn) { go func() { <-hang; c.Close() }() }},
		{name: "slow body", want: Timeout, fails: true, serve: func(c *net.TCPConn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
			go func() { <-hang; c.Close() }()
		}},
		{name: "refused", want: Refused, fails: true, addr: nobody},
		{name: "no such name", want: DNS, fails: true, addr: "no-such-name.invalid:80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := c.addr
			if addr == "" {
				addr = raw(t, c.serve)
			}
			f := flow("f", 20, time.Minute)
			if c.want == Timeout {
				f.Timeout = fault.Duration(700 * time.Millisecond)
			}
			f.Status = c.status
			rec := run(t, Config{Flow: f, Address: addr}, 20*time.Millisecond)
			w := rec.FlowWindow(0, "f")
			if w.Requests == 0 || w.Statuses[c.want] != w.Requests {
				t.Fatalf("got %v, want only %s", w.Statuses, c.want)
			}
			if (w.Successes == 0) != c.fails || w.Successes != 0 && w.Successes != w.Requests {
				t.Errorf("%d of %d succeeded", w.Successes, w.Requests)
			}
			if c.want == Timeout && w.P50.Std() < 699*time.Millisecond {
				t.Errorf("a timeout counts %s, want 700ms", w.P50)
			}
		})
	}
}

// TestNoRepeat: a used connection that is reset under a request is a failure;
// one that was closed while idle is not.
func TestNoRepeat(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		var requests atomic.Int64
		addr := raw(t, func(c *net.TCPConn) {
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for n := 0; ; n++ {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					requests.Add(1)
					if n == 1 {
						c.SetLinger(0)
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		})
		f := flow("f", 20, time.Minute)
		f.HTTP.Method = method
		f.HTTP.Headers = map[string]string{"Idempotency-Key": "k"}
		rec := run(t, Config{Flow: f, Address: addr}, 480*time.Millisecond)
		w := rec.FlowWindow(0, "f")
		if got := uint64(requests.Load()); got != w.Requests {
			t.Errorf("%s: %d requests were sent as %d", method, w.Requests, got)
		}
		if bad := w.Requests - w.Successes; bad == 0 || w.Statuses["200"]+w.Statuses[Reset] != w.Requests {
			t.Errorf("%s: the second request of each connection is reset, got %v", method, w.Statuses)
		}
	}
}

func TestRequestAsWritten(t *testing.T) {
	type seen struct {
		r    *http.Request
		body string
	}
	got := make(chan seen, 100)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r, string(b)}
	})
	env := func(name string) (string, bool) { return map[string]string{"TOKEN": "s3cret"}[name], name == "TOKEN" }
	f := flow("f", 50, time.Minute)
	f.HTTP = &experiment.Request{Method: "POST", Path: "/a%20b?x=1", Body: "t=${env:TOKEN}",
		Headers: map[string]string{"Host": "shop.example", "Authorization": "Bearer ${env:TOKEN}", "Traceparent": "mine"}}
	run(t, Config{Flow: f, Address: addr, Seed: 7, Env: env}, 70*time.Millisecond)
	s := <-got
	if s.r.Method != "POST" || s.r.RequestURI != "/a%20b?x=1" || s.r.Host != "shop.example" || s.body != "t=s3cret" ||
		s.r.Header.Get("Authorization") != "Bearer s3cret" || s.r.ContentLength != 8 {
		t.Errorf("got %s %s %s %q %v", s.r.Method, s.r.RequestURI, s.r.Host, s.body, s.r.Header)
	}
	if tp := s.r.Header.Values("Traceparent"); len(tp) != 1 || tp[0] != Traceparent(7, "f", 0) {
		t.Errorf("traceparent %v", tp)
	}
	close(got)

	plain := make(chan *http.Request, 100)
	addr = serve(t, func(w http.ResponseWriter, r *http.Request) { plain <- r })
	run(t, Config{Flow: flow("f", 50, time.Minute), Address: addr}, 30*time.Millisecond)
	r := <-plain
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Header.Get("Content-Length") != "" ||
		r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Tracestate") != "" {
		t.Errorf("a GET went out with more than asked for: %v %v", r.TransferEncoding, r.Header)
	}
}

func TestTraceparent(t *testing.T) {
	a := Traceparent(7, "checkout", 3)
	if len(a) != 55 || !strings.HasPrefix(a, "00-") || !strings.HasSuffix(a, "-01") || a != Traceparent(7, "checkout", 3) {
		t.Errorf("not a sampled traceparent, or not the same twice: %s", a)
	}
	ids := map[string]bool{}
	for i := range uint64(1000) {
		ids[Traceparent(7, "checkout", i)[3:35]] = true
		ids[Traceparent(8, "checkout", i)[3:35]] = true
		ids[Traceparent(7, "browse", i)[3:35]] = true
	}
	if len(ids) != 3000 {
		t.Errorf("%d different trace ids of 3000", len(ids))
	}
}

func TestMistakes(t *testing.T) {
	secret := "line\nbreak-s3cret"
	env := func(name string) (string, bool) { return secret, name == "BAD" }
	for _, c := range []struct {
		want string
		edit func(*experiment.Flow)
	}{
		{"TOKEN is not set", func(f *experiment.Flow) { f.HTTP.Headers = map[string]string{"A": "x ${env:TOKEN}"} }},
		{"OTHER is not set", func(f *experiment.Flow) { f.HTTP.Body = "${env:OTHER}" }},
		{"form ${env:NAME}", func(f *experiment.Flow) { f.HTTP.Body = "${env:OTHER" }},
		{"form ${env:NAME}", func(f *experiment.Flow) { f.HTTP.Body = "${env:A B}" }},
		{"header A:", func(f *experiment.Flow) { f.HTTP.Headers = map[string]string{"A": "${env:BAD}"} }},
		{"no http request", func(f *experiment.Flow) { f.HTTP = nil }},
		{"start with /", func(f *experiment.Flow) { f.HTTP.Path = "x" }},
		{"the rate", func(f *experiment.Flow) { f.Rate.N = 0 }},
		{"the rate", func(f *experiment.Flow) { f.Rate.N = 1e-9 }},
		{"maxInFlight", func(f *experiment.Flow) { f.MaxInFlight = 1 << 30 }},
	} {
		f := flow("f", 1, 0)
		c.edit(&f)
		_, err := New(Config{Flow: f, Address: "127.0.0.1:1", Env: env}, NewRecorder([]experiment.Flow{f}))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, want %q and no secret", err, c.want)
		}
	}
}

func TestAbort(t *testing.T) {
	arrived := make(chan struct{}, 1000)
	hang := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-hang })
	t.Cleanup(func() { close(hang) })
	f := flow("f", 100, 10*time.Minute)
	rec := NewRecorder([]experiment.Flow{f})
	rec.Mark(experiment.StageSteady, "", time.Now())
	g, err := New(Config{Flow: f, Address: addr}, rec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for range 5 {
		<-arrived
	}
	cancel()
	select {
	case <-done:
		t.Fatal("a first stop must wait for what is in flight")
	case <-time.After(100 * time.Millisecond):
	}
	g.Abort()
	g.Abort()
	if err := <-done; err != nil { // hangs for 10 minutes if Abort does not bite
		t.Fatal(err)
	}
	rec.Close(time.Now())
	if err := rec.Settled(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if w := rec.FlowWindow(0, "f"); w.Requests != 0 {
		t.Errorf("aborted requests count: %+v", w)
	}
	if err := g.Run(t.Context()); err == nil {
		t.Error("a generator ran twice")
	}
}

// TestSeveralFlows: one flow's stalled service does not slow another's.
func TestSeveralFlows(t *testing.T) {
	hang := make(chan struct{})
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) { <-hang })
	fast := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	t.Cleanup(func() { close(hang) })
	flows := []experiment.Flow{flow("slow", 200, 300*time.Millisecond), flow("fast", 200, time.Minute)}
	rec := NewRecorder(flows)
	rec.Mark(experiment.StageSteady, "", time.Now())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, addr := range []string{slow, fast} {
		g, err := New(Config{Flow: flows[i], Address: addr}, rec)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := g.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	rec.Close(time.Now())
	for _, r := range rec.Results() {
		w := r.Windows[0]
		if w.Requests < 20 || (r.Name == "fast") != (w.Successes == w.Requests) || (r.Name == "slow") != (w.Statuses[Timeout] > 0 && w.Statuses[Timeout]+w.Overruns == w.Requests) {
			t.Errorf("%s: %+v", r.Name, w)
		}
		if r.Request != "GET api /" || r.Rate != "200/s" || len(r.Series) == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func BenchmarkGenerator(b *testing.B) {
	for _, rate := range []float64{500, 5000} {
		b.Run(fmt.Sprintf("%.0f", rate), func(b *testing.B) {
			var n atomic.Int64
			mux := http.NewServeMux()
			mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { n.Add(1) })
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: mux}
			go s.Serve(ln)
			defer s.Close()
			f := flow("f", rate, time.Second)
			rec := NewRecorder([]experiment.Flow{f})
			rec.Mark(experiment.StageSteady, "", time.Now())
			g, err := New(Config{Flow: f, Address: ln.Addr().String()}, rec)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(b.Context(), time.Duration(float64(b.N)/rate*float64(time.Second)))
			defer cancel()
			b.ResetTimer()
			if err := g.Run(ctx); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			rec.Close(time.Now())
			w := rec.FlowWindow(0, "f")
			b.ReportMetric(float64(w.Requests)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(float64(w.P50.Std().Microseconds()), "p50-µs")
			b.ReportMetric(float64(w.P99.Std().Microseconds()), "p99-µs")
			b.ReportMetric(float64(w.ServiceP99.Std().Microseconds()), "service-p99-µs")
		})
	}
}
