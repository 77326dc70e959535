package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// heads and bodies with the times at which they came.
func timed(t *testing.T, c *http.Client, url string) (head, first, last time.Duration, body string) {
	t.Helper()
	start := time.Now()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	head = time.Since(start)
	b := make([]byte, 1)
	if n, _ := resp.Body.Read(b); n == 0 {
		return head, 0, 0, ""
	}
	first = time.Since(start)
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return head, first, time.Since(start), string(b) + string(rest)
}

func TestSlowBodyInSize(t *testing.T) {
	const size = 30_000
	text := strings.Repeat("0123456789", size/10)
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/unknown":
			w.(http.Flusher).Flush()
		case "/none":
			w.WriteHeader(204)
			return
		case "/empty":
			return
		default:
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		io.WriteString(w, text)
	}
	rate := fault.Rate(size / delay.Seconds())
	d := fault.Duration(delay)
	for name, tt := range map[string]struct {
		params      fault.SlowBody
		path        string
		first, last time.Duration // at least; 0 is at once
		skipped     bool
	}{
		"rate":               {fault.SlowBody{Rate: rate}, "/", 0, delay, false},
		"rate, unknown":      {fault.SlowBody{Rate: rate}, "/unknown", 0, delay, false},
		"over":               {fault.SlowBody{Over: d}, "/", 0, delay, false},
		"over, in chunks":    {fault.SlowBody{Over: d, Chunk: size / 2}, "/", delay / 2, delay, false},
		"over, unknown":      {fault.SlowBody{Over: d}, "/unknown", 0, 0, true},
		"first byte":         {fault.SlowBody{FirstByte: d}, "/", delay, delay, false},
		"first byte and all": {fault.SlowBody{FirstByte: d, Over: d}, "/", delay, 2 * delay, false},
		"no body":            {fault.SlowBody{Rate: rate}, "/none", 0, 0, true},
		"empty body":         {fault.SlowBody{Rate: rate}, "/empty", 0, 0, true},
	} {
		for _, s := range protocols {
			t.Run(name+" by "+string(s), func(t *testing.T) {
				p := placeFor(t, s, answer)
				c := p.client(t, s)
				change := p.arm(p.fault(fault.HTTPSlowBody, func(q fault.Params) { *q.(*fault.SlowBody) = tt.params }))
				head, first, last, body := timed(t, c, p.url(tt.path))
				if body != "" && body != text {
					t.Errorf("%d bytes are not what was sent", len(body))
				}
				if first < tt.first || last < tt.last || tt.first > 0 && head >= first {
					t.Errorf("head after %s, first byte after %s, last after %s", head, first, last)
				}
				want := fault.Receipt{Unit: fault.Exchange, Matched: 1, Injected: 1}
				if tt.skipped {
					want.Injected, want.Skipped = 0, 1
				}
				if r := p.done(change, 1); r != want {
					t.Errorf("%+v", r)
				}
				p.lift(change)
				fast(t, "after", func() time.Duration {
					_, _, last, _ := timed(t, c, p.url(tt.path))
					return last
				})
			})
		}
	}
}

// At the lift the rest of a body goes on at full speed; before, little of it is read
// ahead of what was sent.
func TestSlowBodyAtTheLift(t *testing.T) {
	const size = 32 << 20
	sent := make(chan int, 1)
	answer := func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for b := make([]byte, 1<<16); n < size; n += len(b) {
			select {
			case <-sent:
			default:
			}
			sent <- n
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
	for _, s := range protocols {
		p := placeFor(t, s, answer)
		change := p.arm(p.fault(fault.HTTPSlowBody, func(q fault.Params) { q.(*fault.SlowBody).Rate = 1000 }))
		resp, err := p.client(t, s).Get(p.url(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
		if n := <-sent; n > size/2 { // what sockets take
			t.Errorf("by %s: the callee has sent %d bytes of %d already", s, n, size)
		}
		p.lift(change)
		n, err := io.Copy(io.Discard, resp.Body) // within the client's patience, by far
		if resp.Body.Close(); err != nil || n != size-200 {
			t.Errorf("by %s: %d bytes, %v", s, n, err)
		}
	}
}
