package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/shape"
)

// watcher keeps what a generator tells.
type watcher struct {
	mu  sync.Mutex
	all []experiment.Exchange
}

func (w *watcher) take(x *experiment.Exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, *x)
}

func (w *watcher) classes() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[string]int{}
	for _, x := range w.all {
		n[x.Class]++
	}
	return n
}

func TestObserve(t *testing.T) {
	var traces sync.Map
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		traces.Store(strings.Split(r.Header.Get("Traceparent"), "-")[1], true)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprint(w, `{"id":1,"name":"GEHEIM","stale":true}`)
	})
	var seen watcher
	cfg := Config{Flow: flow("f", 200, 5*time.Second), Address: addr, Seed: 3, Observe: seen.take, Edge: "users -> api"}
	cfg.Flow.HTTP.Path = "/a?id=1&token=GEHEIM"
	cfg.Flow.HTTP.Method, cfg.Flow.HTTP.Body = "POST", "GEHEIM"
	rec := run(t, cfg, 300*time.Millisecond)
	if n := rec.FlowWindow(0, "f").Requests; n == 0 || int(n) != len(seen.all) {
		t.Fatalf("%d requests, %d were told of", n, len(seen.all))
	}
	for i, x := range seen.all {
		if _, ok := traces.Load(x.TraceID.String()); !ok {
			t.Errorf("trace %s was not sent", x.TraceID)
		}
		if x.Start.After(x.Sent) || x.Sent.After(x.FirstByte) || x.FirstByte.After(x.End) {
			t.Errorf("out of order: %+v", x)
		}
		if x.Answer.Hash != seen.all[0].Answer.Hash || x.Answer.Hash.IsZero() {
			t.Errorf("hash %s", x.Answer.Hash)
		}
		x.TraceID, x.Start, x.Sent, x.FirstByte, x.End = experiment.Digest{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
		b, _ := json.Marshal(x)
		if strings.Contains(string(b), "GEHEIM") {
			t.Fatalf("a value is told: %s", b)
		}
		a := *x.Answer
		x.Answer = nil
		a.Hash = experiment.Digest{}
		if want := (experiment.Answer{Type: "application/json", Size: 37, Shape: "{id:number,name:string,stale:bool}", Degraded: "field stale"}); a != want {
			t.Fatalf("answer %+v, want %+v", a, want)
		}
		got := fmt.Sprintf("%s|%s|%s|%s|%s|%d|%d|%d|%s|%v|%s|%v", x.Edge, x.Flow, x.Method, x.Path, x.Query, x.Status, x.BytesIn, x.BytesOut, x.EndedBy, x.Cut, x.Class, x.OK)
		if want := "users -> api|f|POST|/a|id=1&token=(secret)|200|6|37|callee|false|200|true"; got != want {
			t.Fatalf("exchange %d: %s\nwant %s", i, got, want)
		}
	}
}

// Each way in which a request can fail is told, with who ended it.
func TestObserveFailures(t *testing.T) {
	hold := make(chan struct{})
	hung := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	cut := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"a":1}`)
	})
	reset := raw(t, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := ln.Addr().String()
	ln.Close()
	for _, tc := range []struct {
		name, addr, class, by string
		timeout               time.Duration
		most                  int
	}{
		{"timeout", hung, Timeout, experiment.EndedByCaller, 100 * time.Millisecond, 0},
		{"overrun", hung, Overrun, "", 3 * time.Second, 1},
		{"truncated", cut, Truncated, experiment.EndedByCallee, 5 * time.Second, 0},
		{"reset", reset, Reset, experiment.EndedByCallee, 5 * time.Second, 0},
		{"refused", free, Refused, experiment.EndedByCallee, 5 * time.Second, 0},
	} {
		var seen watcher
		cfg := Config{Flow: flow("f", 100, tc.timeout), Address: tc.addr, Observe: seen.take}
		cfg.Flow.MaxInFlight = tc.most
		run(t, cfg, 200*time.Millisecond)
		if seen.classes()[tc.class] == 0 {
			t.Errorf("%s: got %v", tc.name, seen.classes())
		}
		for _, x := range seen.all {
			if x.Class == tc.class && (!x.Cut || x.OK || x.EndedBy != tc.by || x.Sent.IsZero() != (tc.class == Overrun) || x.End.IsZero()) {
				t.Errorf("%s: %+v", tc.name, x)
			}
			if tc.class == Truncated && x.Class == Truncated && (x.Answer == nil || x.Answer.Shape != "" || x.Answer.Size != 7 || x.Status != 200) {
				t.Errorf("%s: answer %+v", tc.name, x.Answer)
			}
		}
	}
	close(hold)
}

// What an abort cut off is not told of.
func TestObserveAbort(t *testing.T) {
	var under atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		under.Add(1)
		<-r.Context().Done()
	})
	var seen watcher
	rec := NewRecorder([]experiment.Flow{flow("f", 100, time.Minute)})
	g, err := New(Config{Flow: flow("f", 100, time.Minute), Address: addr, Observe: seen.take}, rec)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- g.Run(context.Background()) }()
	for under.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	g.Abort()
	if err := <-done; err != nil || len(seen.all) != 0 {
		t.Errorf("%v; told of %v", err, seen.classes())
	}
}

func TestAnswers(t *testing.T) {
	type h = map[string]string
	for _, tc := range []struct {
		name   string
		header h
		body   string
		shape  string
		by     string
		marks  *experiment.Degraded
	}{
		{"plain text", h{"Content-Type": "text/plain"}, "hello", "", "", nil},
		{"JSON without its type", h{"Content-Type": "text/plain"}, ` {"a":1}`, "{a:number}", "", nil},
		{"broken JSON without its type", h{"Content-Type": "text/plain"}, `{"a":`, "", "", nil},
		{"broken JSON", h{"Content-Type": "application/json"}, `{"a":`, shape.Invalid, "", nil},
		{"trailing garbage", h{"Content-Type": "application/problem+json"}, `{}x`, shape.Invalid, "", nil},
		{"nothing", h{"Content-Type": "application/json"}, ``, shape.Invalid, "", nil},
		{"too large", h{"Content-Type": "application/json"}, "[" + strings.Repeat(" ", shapeLimit) + "]", "", "", nil},
		{"compressed", h{"Content-Type": "application/json", "Content-Encoding": "gzip"}, "\x1f\x8b", "", "", nil},
		{"field", h{}, `{"degraded":true}`, "{degraded:bool}", "field degraded", nil},
		{"field that is not so", h{}, `{"degraded":false,"stale":"true","x":{"fallback":true}}`, "{degraded:bool,stale:string,x:{fallback:bool}}", "", nil},
		{"stale", h{"Warning": `110 - "Response is Stale"`}, "x", "", "header Warning 110", nil},
		{"another warning", h{"Warning": `299 - "deprecated"`}, "x", "", "", nil},
		{"header", h{"X-Fallback": "1"}, "x", "", "header X-Fallback", nil},
		{"header that says no", h{"X-Degraded": "false"}, "x", "", "", nil},
		{"stale cache", h{"X-Cache": "STALE"}, "x", "", "header X-Cache stale", nil},
		{"cache hit", h{"X-Cache": "HIT"}, "x", "", "", nil},
		{"too old", h{"Age": "61", "Cache-Control": "public, max-age=60"}, "x", "", "header Age beyond max-age", nil},
		{"old", h{"Age": "59", "Cache-Control": "public, max-age=60"}, "x", "", "", nil},
		{"declared header", h{"X-From": "Cache"}, "x", "", "header X-From: cache", &experiment.Degraded{Header: "x-from: cache"}},
		{"another value", h{"X-From": "db"}, "x", "", "", &experiment.Degraded{Header: "x-from: cache"}},
		{"declared field", h{}, `{"source":"cache"}`, "{source:string}", "field source=cache", &experiment.Degraded{Field: "source=cache"}},
		{"declared truth", h{}, `{"partial":true}`, "{partial:bool}", "field partial", &experiment.Degraded{Field: "partial"}},
	} {
		addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			fmt.Fprint(w, tc.body)
		})
		var seen watcher
		cfg := Config{Flow: flow("f", 100, 5*time.Second), Address: addr, Observe: seen.take}
		cfg.Flow.Degraded = tc.marks
		if tc.marks != nil && tc.marks.Validate() != nil {
			t.Errorf("%s: %v", tc.name, tc.marks.Validate())
		}
		run(t, cfg, 25*time.Millisecond)
		if len(seen.all) == 0 {
			t.Fatalf("%s: nothing told", tc.name)
		}
		for _, x := range seen.all {
			if a := x.Answer; a == nil || a.Shape != tc.shape || !strings.EqualFold(a.Degraded, tc.by) || a.Size != uint64(len(tc.body)) {
				t.Errorf("%s: %+v", tc.name, a)
				break
			}
		}
	}
	for _, d := range []experiment.Degraded{{}, {Header: "Authorization"}, {Header: "a b"}, {Field: "=x"}, {Field: "token=1"}, {Header: strings.Repeat("x", 200)}} {
		if d.Validate() == nil {
			t.Errorf("%+v is taken", d)
		}
	}
	if slices.Contains(bodySecret, 0) || len(bodySecret) < 16 {
		t.Error("no key")
	}
}

// BenchmarkAnswers is the cost of looking at an answer whose body is always another.
func BenchmarkAnswers(b *testing.B) {
	tpl, err := newTemplate(Config{Flow: flow("f", 1, time.Second), Address: "127.0.0.1:1"})
	if err != nil {
		b.Fatal(err)
	}
	w := newWatch(Config{Flow: flow("f", 1, time.Second), Observe: func(*experiment.Exchange) {}}, tpl)
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}
	var r reader
	i := 0
	for b.Loop() {
		i++
		r.begin()
		r.take(fmt.Appendf(nil, `{"order":{"id":%d,"items":[{"sku":"a-1","name":"lamp","price":19.5},{"sku":"b-2","name":"desk","price":129}],"total":148.5}}`, i))
		w.answer(&r, resp, true)
	}
}
