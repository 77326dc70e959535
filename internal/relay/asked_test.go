package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// newAskedWeb is a web whose callers may ask for faults; the callee answers with the
// header fields of faults that came.
func newAskedWeb(t *testing.T, limits *experiment.ClientFaults, protect ...fault.Match) *web {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var came []string
		for name := range r.Header {
			if len(name) > 7 && (name[:7] == "X-Chaos" || name[:7] == "X-Envoy") {
				came = append(came, name)
			}
		}
		slices.Sort(came)
		fmt.Fprint(rw, came)
	}))
	t.Cleanup(srv.Close)
	w := newWorld(t)
	spec := relay.Spec{From: "api", To: "auth", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{srv.Listener.Addr().String()}, ClientFaults: limits, Protect: protect}
	if err := w.set.Open(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	e, _ := w.set.Edge("api -> auth")
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{w, e, "http://" + e.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}}
}

var allAsked = []string{"delay", "status", "abort", "grpc-status"}

// with sends a request with headers: the status, 0 for none, the answer's body and
// header, and how long it took.
func (w *web) with(path string, headers ...string) (int, string, http.Header, time.Duration) {
	w.Helper()
	req, err := http.NewRequest("POST", w.url+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	start := time.Now()
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err.Error(), nil, time.Since(start)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, time.Since(start)
}

func (w *web) asked() experiment.Asked {
	w.Helper()
	a := w.set.Status()[0].Asked
	if a == nil {
		w.Fatal("the edge does not say what was asked for")
	}
	return *a
}

// What is asked for happens, is counted, and is not asked of the callee again.
func TestClientFaults(t *testing.T) {
	w := newAskedWeb(t, &experiment.ClientFaults{Allow: allAsked, MaxDelay: fault.Duration(300 * time.Millisecond)})
	if code, body, _, _ := w.with("/"); code != 200 || body != "[]" || w.asked() != (experiment.Asked{}) {
		t.Fatalf("without asking: %d %s %+v", code, body, w.asked())
	}
	for _, c := range []struct {
		headers []string
		code    int
		body    string // "" is any
		atLeast time.Duration
		faults  string
	}{
		{[]string{"X-Chaos-Status", "503"}, 503, "", 0, "[client:status]"},
		{[]string{"X-Chaos-Status", "204"}, 204, "", 0, "[client:status]"},
		{[]string{"X-Envoy-Fault-Abort-Request", "418"}, 418, "", 0, "[client:status]"},
		{[]string{"X-Chaos-Delay", "100ms"}, 200, "[]", 100 * time.Millisecond, "[client:delay]"},
		{[]string{"X-Envoy-Fault-Delay-Request", "100"}, 200, "[]", 100 * time.Millisecond, "[client:delay]"},
		{[]string{"X-Chaos-Delay", "10h", "X-Chaos-Status", "500"}, 500, "", 300 * time.Millisecond, "[client:delay client:status]"},
		{[]string{"X-Chaos-Abort", "close"}, 0, "", 0, "[client:abort]"},
		{[]string{"X-Chaos-Abort", "reset"}, 0, "", 0, "[client:abort]"},
		{[]string{"X-Chaos-Grpc-Status", "unavailable", "Content-Type", "application/grpc"}, 200, "", 0, "[client:grpc-status]"},
		{[]string{"X-Envoy-Fault-Abort-Grpc-Request", "14", "Content-Type", "application/grpc+proto"}, 200, "", 0, "[client:grpc-status]"},
		{[]string{"X-Chaos-Status", "503", "X-Chaos-Share", "100%"}, 503, "", 0, "[client:status]"},
	} {
		before, n := w.asked(), len(w.exchanges())
		code, body, head, took := w.with("/", c.headers...)
		if code != c.code || c.body != "" && body != c.body || took < c.atLeast {
			t.Errorf("%v: %d %s after %s", c.headers, code, body, took)
		}
		if slices.Contains(c.headers, "Content-Type") && head.Get("Grpc-Status") != "14" {
			t.Errorf("%v: %v", c.headers, head)
		}
		after := w.asked()
		if after.Matched != before.Matched+1 || after.Injected != before.Injected+1 || after.Skipped != before.Skipped || after.Ignored != before.Ignored {
			t.Errorf("%v: %+v, was %+v", c.headers, after, before)
		}
		until(t, "the exchange", func() bool { return len(w.exchanges()) > n })
		if got := fmt.Sprint(w.exchanges()[n].Faults); got != c.faults {
			t.Errorf("%v: faults %s", c.headers, got)
		}
	}
}

// What cannot be read, is not allowed or contradicts is ignored, counted, and goes on
// to whom it may be meant for.
func TestClientFaultsIgnored(t *testing.T) {
	w := newAskedWeb(t, &experiment.ClientFaults{Allow: []string{"delay", "status"}})
	for _, c := range []struct {
		headers []string
		body    string
		ignored uint64
	}{
		{[]string{"X-Chaos-Status", "99"}, "[X-Chaos-Status]", 1},
		{[]string{"X-Chaos-Status", "600"}, "[X-Chaos-Status]", 1},
		{[]string{"X-Chaos-Status", "+503"}, "[X-Chaos-Status]", 1},
		{[]string{"X-Chaos-Status", "503", "X-Chaos-Status", "504"}, "[X-Chaos-Status]", 1},
		{[]string{"X-Chaos-Delay", "5"}, "[X-Chaos-Delay]", 1},
		{[]string{"X-Chaos-Delay", "-5s"}, "[X-Chaos-Delay]", 1},
		{[]string{"X-Envoy-Fault-Delay-Request", "1.5"}, "[X-Envoy-Fault-Delay-Request]", 1},
		{[]string{"X-Chaos-Abort", "reset"}, "[X-Chaos-Abort]", 1},
		{[]string{"X-Chaos-Grpc-Status", "14", "Content-Type", "application/grpc"}, "[X-Chaos-Grpc-Status]", 1},
		// A share that cannot be read must not hurt everything.
		{[]string{"X-Chaos-Status", "503", "X-Chaos-Share", "5"}, "[X-Chaos-Share X-Chaos-Status]", 2},
		{[]string{"X-Envoy-Fault-Abort-Request", "503", "X-Envoy-Fault-Abort-Request-Percentage", "101"}, "[X-Envoy-Fault-Abort-Request X-Envoy-Fault-Abort-Request-Percentage]", 2},
		{[]string{"X-Envoy-Fault-Abort-Request", "503", "X-Envoy-Fault-Abort-Request-Percentage", "0"}, "[X-Envoy-Fault-Abort-Request X-Envoy-Fault-Abort-Request-Percentage]", 0},
		// The share stays with what is not obeyed.
		{[]string{"X-Chaos-Delay", "1ms", "X-Chaos-Abort", "reset", "X-Chaos-Share", "1"}, "[X-Chaos-Abort X-Chaos-Share]", 1},
	} {
		before := w.asked()
		code, body, _, _ := w.with("/", c.headers...)
		after := w.asked()
		if code != 200 || body != c.body || after.Ignored != before.Ignored+c.ignored || after.Matched != before.Matched+1 {
			t.Errorf("%v: %d %s, %+v, was %+v", c.headers, code, body, after, before)
		}
	}
	if a := w.asked(); a.Matched != a.Injected+a.Skipped || a.Injected != 1 {
		t.Errorf("%+v", a)
	}
}

func TestClientFaultsWithinLimits(t *testing.T) {
	w := newAskedWeb(t, &experiment.ClientFaults{Allow: allAsked, MaxShare: 0.1}, fault.Match{Path: "/pay**"})
	count := func(n int, headers ...string) (hurt int) {
		for range n {
			if code, _, _, _ := w.with("/", headers...); code == 503 {
				hurt++
			}
		}
		return hurt
	}
	if hurt := count(100, "X-Chaos-Status", "503"); hurt != 10 {
		t.Errorf("%d of 100 were hurt at most 10%%", hurt)
	}
	for _, path := range []string{"/pay/x", "//pay", "/a/../pay"} {
		for range 20 {
			if code, _, _, _ := w.with(path, "X-Chaos-Status", "503"); code != 200 {
				t.Fatalf("%s is protected: %d", path, code)
			}
		}
	}
	w = newAskedWeb(t, &experiment.ClientFaults{Allow: allAsked})
	if hurt := count(400, "X-Chaos-Status", "503", "X-Chaos-Share", "25%"); hurt < 60 || hurt > 140 {
		t.Errorf("%d of 400 with a share of 25%%", hurt)
	}
	if hurt := count(400, "X-Envoy-Fault-Abort-Request", "503", "X-Envoy-Fault-Abort-Request-Percentage", "25"); hurt < 60 || hurt > 140 {
		t.Errorf("%d of 400 with a percentage of 25", hurt)
	}
}

// Where the topology does not allow it, the headers are the callee's.
func TestClientFaultsNotAllowed(t *testing.T) {
	w := newAskedWeb(t, nil)
	if code, body, _, _ := w.with("/", "X-Chaos-Status", "503"); code != 200 || body != "[X-Chaos-Status]" || w.set.Status()[0].Asked != nil {
		t.Errorf("%d %s %+v", code, body, w.set.Status()[0].Asked)
	}
}
