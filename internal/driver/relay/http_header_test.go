package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
)

// Fields are removed, set and added, whatever their case, and the others stay.
func TestHeaderFields(t *testing.T) {
	seen := make(chan http.Header, 1)
	p := webPlace(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header()["X-Both"] = []string{"one", "two"}
		w.Header().Set("X-One", "kept")
		w.Header().Set("Content-Type", "text/odd")
		io.WriteString(w, "hello")
	})
	for name, tt := range map[string]struct {
		params fault.Header
		want   string // X-Both, X-One, X-New, Content-Type, Date is there, User-Agent
		hurt   bool
	}{
		"set":         {fault.Header{Set: map[string]string{"x-both": "new", "X-New": "n"}}, "[new] [kept] [n] [text/odd] true", true},
		"add":         {fault.Header{Add: map[string]string{"x-both": "three", "X-New": "n"}}, "[one two three] [kept] [n] [text/odd] true", true},
		"remove":      {fault.Header{Remove: []string{"x-BOTH", "content-type", "date"}}, "[] [kept] [] [] false", true},
		"nothing":     {fault.Header{Remove: []string{"X-Other"}, Set: map[string]string{"X-One": "kept"}}, "[one two] [kept] [] [text/odd] true", false},
		"all at once": {fault.Header{Remove: []string{"X-One"}, Set: map[string]string{"X-Both": "s"}, Add: map[string]string{"X-Both": "a"}}, "[s a] [] [] [text/odd] true", true},
	} {
		for _, on := range []fault.Direction{fault.Response, fault.Request} {
			t.Run(name+" on "+string(on), func(t *testing.T) {
				change := p.arm(p.fault(fault.HTTPHeader, func(q fault.Params) {
					*q.(*fault.Header) = tt.params
					q.(*fault.Header).On = on
				}))
				a := p.ask(t, plain, "PUT", "/", "", http.Header{
					"X-Both": {"one", "two"}, "X-One": {"kept"}, "Content-Type": {"text/odd"}, "Date": {"today"},
				})
				up, down := <-seen, a.header
				changed, other := down, up
				if on == fault.Request {
					changed, other = up, down
				}
				text := func(h http.Header) string {
					return fmt.Sprint(h["X-Both"], h["X-One"], h["X-New"], h["Content-Type"], h["Date"] != nil)
				}
				if got := text(changed); a.err != nil || a.body != "hello" || got != tt.want {
					t.Errorf("got  %s (%v)\nwant %s", got, a.err, tt.want)
				}
				if got := text(other); got != "[one two] [kept] [] [text/odd] true" {
					t.Errorf("the other side has %s", got)
				}
				want := fault.Receipt{Unit: fault.Exchange, Matched: 1, Injected: 1}
				if !tt.hurt {
					want.Injected, want.Skipped = 0, 1
				}
				if r := p.done(change, 1); r != want {
					t.Errorf("%+v", r)
				}
				p.lift(change)
			})
		}
	}
}

// A client's own User-Agent and idempotency key go as they came, and as they are
// changed to.
func TestHeaderFieldsThatTheRelayHandles(t *testing.T) {
	seen := make(chan http.Header, 1)
	p := webPlace(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	for _, tt := range []struct {
		params fault.Header
		want   string
	}{
		{fault.Header{Remove: []string{"User-Agent", "Idempotency-Key"}}, "[] []"},
		{fault.Header{Set: map[string]string{"User-Agent": "me", "Idempotency-Key": "k2"}}, "[me] [k2]"},
		{fault.Header{Add: map[string]string{"Idempotency-Key": "k2"}}, "[Go-http-client/1.1] [k1 k2]"},
	} {
		change := p.arm(p.fault(fault.HTTPHeader, func(q fault.Params) {
			*q.(*fault.Header) = tt.params
			q.(*fault.Header).On = fault.Request
		}))
		if a := p.ask(t, plain, "POST", "/", "x", http.Header{"Idempotency-Key": {"k1"}}); a.err != nil {
			t.Fatal(a.err)
		}
		if h := <-seen; fmt.Sprint(h["User-Agent"], h["Idempotency-Key"]) != tt.want {
			t.Errorf("%v %v, not %s", h["User-Agent"], h["Idempotency-Key"], tt.want)
		}
		p.lift(change)
	}
}
