package relay_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// mirror answers with the body that came.
func mirror(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Write(b)
}

// ask sends a request and returns its status; its answer must be read by then.
func (w *web) ask(method, path, body string, headers ...string) int {
	w.Helper()
	var sent io.Reader
	if body != "" {
		sent = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, w.url+path, sent)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == 200 && string(got) != body {
		w.Fatalf("%s %s: %d bytes back of %d, %v", method, path, len(got), len(body), err)
	}
	return resp.StatusCode
}

// statuses asks n times, each time with the headers that are made for the try.
func (w *web) statuses(n int, path, body string, headers func(try int) []string) (all []int) {
	w.Helper()
	for i := range n {
		all = append(all, w.ask("POST", path, body, headers(i+1)...))
	}
	return all
}

func same(all []int, want ...int) bool { return fmt.Sprint(all) == fmt.Sprint(want) }

// Attempts of each call are counted by what makes requests one call, whatever else
// tells them apart.
func TestAttemptsByKey(t *testing.T) {
	trace := func(call, span int) string { return fmt.Sprintf("00-%032x-%016x-01", call, span) }
	fixed := func(h ...string) func(int) func(int) []string {
		return func(call int) func(int) []string {
			return func(int) []string {
				own := append([]string(nil), h...)
				for i := 1; i < len(own); i += 2 {
					own[i] += fmt.Sprint(call)
				}
				return own
			}
		}
	}
	for name, c := range map[string]struct {
		headers func(call int) func(try int) []string
		body    func(call int) string
		keyed   string
	}{
		"idempotency key":   {headers: fixed("Idempotency-Key", "k"), keyed: "idempotency-key"},
		"x-idempotency key": {headers: fixed("X-Idempotency-Key", "k"), keyed: "idempotency-key"},
		"request id":        {headers: fixed("X-Request-Id", "r"), keyed: "request-id"},
		"correlation id":    {headers: fixed("X-Correlation-Id", "r"), keyed: "request-id"},
		"idempotency key before request id": {headers: func(call int) func(int) []string {
			return func(try int) []string {
				return []string{"Idempotency-Key", fmt.Sprint(call), "X-Request-Id", fmt.Sprint(call, try)}
			}
		}, keyed: "idempotency-key"},
		"trace": {headers: func(call int) func(int) []string {
			return func(try int) []string { return []string{"Traceparent", trace(call+1, try)} }
		}, keyed: "trace"},
		"body":       {headers: fixed(), body: func(call int) string { return strings.Repeat(fmt.Sprint(call), 1+call*16000) }, keyed: "body"},
		"empty body": {headers: fixed(), body: func(int) string { return "" }, keyed: "body"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, mirror)
			err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, Attempts: "1-2"})
			if err != nil {
				t.Fatal(err)
			}
			for call := range 4 {
				path, body := "/pay", "pay"
				if c.body != nil {
					body = c.body(call)
				}
				if body == "" {
					path += "?" + fmt.Sprint(call)
				}
				if got := w.statuses(4, path, body, c.headers(call)); !same(got, 503, 503, 200, 200) {
					t.Errorf("call %d: %v", call, got)
				}
			}
			if r, _ := w.edge.Receipt("a"); r.Matched != 16 || r.Injected != 8 || r.Skipped != 8 {
				t.Errorf("receipt %+v", r)
			}
			w.edge.Lift("a")
			until(t, "the records", func() bool { return len(w.exchanges()) == 16 })
			keys := map[string][]int{}
			for _, x := range w.exchanges() {
				if string(x.Keyed) != c.keyed || x.Key.IsZero() {
					t.Errorf("keyed by %q: %q", x.Keyed, x.Key)
				}
				keys[x.Key.String()] = append(keys[x.Key.String()], x.Attempt)
			}
			if len(keys) != 4 {
				t.Errorf("%d calls, not 4", len(keys))
			}
			for k, tries := range keys {
				if !same(tries, 1, 2, 3, 4) {
					t.Errorf("%s: attempts %v", k, tries)
				}
			}
		})
	}
}

// A trace or a request id that leads to several calls does not make them one.
func TestAttemptsTellCallsOfOneTraceApart(t *testing.T) {
	w := newWeb(t, mirror)
	if err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, Attempts: "1"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range [][]string{{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"X-Request-Id", "1"}} {
		got := []int{}
		for _, path := range []string{"/a", "/b", "/a?x", "/a", "/b", "/a?x"} {
			got = append(got, w.ask("GET", path, "", h...))
		}
		if !same(got, 503, 503, 503, 200, 200, 200) {
			t.Errorf("%v: %v", h, got)
		}
	}
}

// Requests without a key are spared, and none waits for its body for long, or for
// ever: bodies beyond 64 KiB, streams, and those that wait to be told to go on.
func TestAttemptsWithoutKey(t *testing.T) {
	w := newWeb(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			mirror(rw, r)
			return
		}
		http.NewResponseController(rw).EnableFullDuplex()
		rw.(http.Flusher).Flush()
		io.Copy(flushing{rw}, r.Body)
	})
	if err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, Attempts: "1-"}); err != nil {
		t.Fatal(err)
	}
	if code := w.ask("POST", "/exact", strings.Repeat("x", 64<<10)); code != 503 {
		t.Errorf("64 KiB: %d", code)
	}
	if code := w.ask("POST", "/large", strings.Repeat("x", 64<<10+1)); code != 200 {
		t.Errorf("more than 64 KiB: %d", code)
	}
	// Without a length, it shows as it comes.
	large := make([]byte, 3<<20)
	newStream(5).Read(large)
	resp, err := w.client.Post(w.url+"/chunked", "", io.MultiReader(bytes.NewReader(large)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if resp.Body.Close(); err != nil || resp.StatusCode != 200 || !bytes.Equal(got, large) {
		t.Errorf("chunked: %d, %d bytes of %d, %v", resp.StatusCode, len(got), len(large), err)
	}
	// A stream goes on both ways.
	pr, pw := io.Pipe()
	go io.WriteString(pw, "first ")
	resp, err = w.client.Post(w.url+"/stream", "", pr)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := io.ReadFull(resp.Body, b[:6]); err != nil || string(b[:n]) != "first " || resp.StatusCode != 200 {
		t.Errorf("stream: %d %q %v", resp.StatusCode, b[:n], err)
	}
	io.WriteString(pw, "second")
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "second" {
		t.Errorf("stream: %q %v", rest, err)
	}
	resp.Body.Close()
	// The callee tells the caller to go on.
	w.client.Transport.(*http.Transport).ExpectContinueTimeout = patience
	if code := w.ask("POST", "/expect", "body", "Expect", "100-continue"); code != 200 {
		t.Errorf("expecting: %d", code)
	}
	if r, _ := w.edge.Receipt("a"); r.Matched != 5 || r.Injected != 1 || r.Skipped != 4 {
		t.Errorf("receipt %+v", r)
	}
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// A request that is answered while its body is late leaves nothing behind, and one
// whose caller leaves meanwhile neither.
func TestAttemptsOfLateBodies(t *testing.T) {
	w := newWeb(t, mirror)
	for id, a := range map[string]relay.Armed{"counts": {Attempts: "1"}, "answers": {}} {
		a.ID, a.Name, a.Effect = id, id, answerer{503}
		if err := w.edge.Arm(a); err != nil {
			t.Fatal(err)
		}
	}
	c := w.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 503 {
		t.Fatal(resp, err)
	}
	gone := w.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	until(t, "the request", func() bool { return w.set.Status()[0].Exchanges == 2 })
	gone.Close()
	until(t, "the end of both", func() bool { return len(w.exchanges()) == 2 })
	c.Close()
	until(t, "an idle edge", func() bool { return w.set.Status()[0].Open == 0 })
}

// Pipelined requests stay in order while the bodies of those before are read ahead
// and something waits.
func TestAttemptsKeepPipelines(t *testing.T) {
	w := newWeb(t, mirror)
	if err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: waiter{50 * 1e6}, Attempts: "1-"}); err != nil {
		t.Fatal(err)
	}
	var sent strings.Builder
	for i := range 20 {
		fmt.Fprintf(&sent, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nbody%02d", i, i)
	}
	c := w.raw("")
	go func() {
		for _, b := range []byte(sent.String()) {
			c.Write([]byte{b})
		}
	}()
	br := bufio.NewReader(c)
	for i := range 20 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != fmt.Sprintf("body%02d", i) {
			t.Fatalf("%d: %q %v", i, b, err)
		}
	}
}

// Connections and datagrams are no attempts of a call.
func TestAttemptsNeedRequests(t *testing.T) {
	w := newWorld(t)
	e := w.open("a", "b", experiment.TCP, "127.0.0.1:1")
	for name, effect := range map[string]relay.Effect{"a stage": slow(1, relay.Up), "an ender": ender{}} {
		if err := e.Arm(relay.Armed{ID: "x", Name: "x", Effect: effect, Attempts: "1"}); err == nil {
			t.Errorf("%s was armed", name)
		}
	}
}

// A share is drawn among the attempts that are left.
func TestAttemptsBeforeShare(t *testing.T) {
	w := newWeb(t, mirror)
	if err := w.edge.Arm(relay.Armed{ID: "a", Name: "a", Effect: answerer{503}, Attempts: "2", Share: fault.Share(0.5), Seed: 7}); err != nil {
		t.Fatal(err)
	}
	hurt := 0
	for call := range 200 {
		got := w.statuses(3, "/", "x", func(int) []string { return []string{"Idempotency-Key", fmt.Sprint(call)} })
		if got[0] != 200 || got[2] != 200 {
			t.Fatalf("call %d: %v", call, got)
		}
		if got[1] == 503 {
			hurt++
		}
	}
	if r, _ := w.edge.Receipt("a"); hurt < 60 || hurt > 140 || r.Injected != uint64(hurt) || r.Matched != 600 {
		t.Errorf("%d of 200 were hurt; receipt %+v", hurt, r)
	}
}

// The same over HTTP/2, where a stream that is answered while its body is late
// disturbs no other.
func TestAttemptsOverHTTP2(t *testing.T) {
	w := newStreams(t, 100, mirror)
	for id, a := range map[string]relay.Armed{
		"counts":  {Effect: answerer{503}, Attempts: "1-2", Match: &fault.Match{Path: "/count"}},
		"waits":   {Effect: waiter{1}, Attempts: "1", Match: &fault.Match{Path: "/late"}},
		"answers": {Effect: answerer{500}, Match: &fault.Match{Path: "/late"}},
	} {
		a.ID, a.Name = id, id
		if err := w.edge.Arm(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, body := range []string{"one", "two"} {
		if got := w.statuses(3, "/count", body, func(int) []string { return nil }); !same(got, 503, 503, 200) {
			t.Errorf("%s: %v", body, got)
		}
	}
	pr, pw := io.Pipe()
	defer pw.Close()
	go io.WriteString(pw, "half")
	resp, err := w.client.Post(w.url+"/late", "", pr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 500 {
		t.Errorf("a late body: %d", resp.StatusCode)
	}
	until(t, "its end", func() bool { return len(w.exchanges()) == 7 })
	if code := w.ask("POST", "/count", "one"); code != 200 || w.set.Status()[0].Accepted != 1 {
		t.Errorf("the connection was lost: %d, %d connections", code, w.set.Status()[0].Accepted)
	}
}
