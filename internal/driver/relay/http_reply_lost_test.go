package relay_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
)

// The callee does its work once per attempt, and gives its whole answer; the caller
// has none of it.
func TestReplyLostAfterTheWorkIsDone(t *testing.T) {
	var done, undone atomic.Int32
	answer := func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "pay" {
			undone.Add(1)
			return
		}
		for range 64 {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				undone.Add(1)
				return
			}
		}
		done.Add(1)
	}
	for _, s := range protocols {
		for _, how := range []string{"close", "reset"} {
			t.Run(string(s)+" "+how, func(t *testing.T) {
				p := placeFor(t, s, answer)
				done.Store(0)
				change := p.arm(p.fault(fault.HTTPReplyLost, func(q fault.Params) { q.(*fault.ReplyLost).How = how }))
				for i := range 5 {
					a := p.ask(t, s, "POST", "/", "pay", nil)
					if a.err == nil || a.status != 0 {
						t.Fatalf("attempt %d: %d, %v", i+1, a.status, a.err)
					}
					if reset := errors.Is(a.err, syscall.ECONNRESET); (s == plain || s == https) && reset != (how == "reset") {
						t.Errorf("attempt %d: %v", i+1, a.err)
					}
					if x := p.end(); x.EndedBy != "relay" || x.Status != 200 || len(x.Faults) != 1 {
						t.Errorf("the record says %+v", x)
					}
				}
				if done.Load() != 5 || undone.Load() != 0 {
					t.Errorf("the work was done %d times, and not %d times", done.Load(), undone.Load())
				}
				if r := p.done(change); r.Injected != 5 || r.Matched != 5 {
					t.Errorf("%+v", r)
				}
				p.lift(change)
				if a := p.ask(t, s, "POST", "/", "pay", nil); a.err != nil || len(a.body) != 64<<16 {
					t.Errorf("after: %d bytes, %v", len(a.body), a.err)
				}
				p.end()
			})
		}
	}
}

// An answer without an end is lost until the lift, which ends the connection.
func TestReplyLostOfAStreamEndsAtTheLift(t *testing.T) {
	begun := make(chan struct{}, 1)
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		begun <- struct{}{}
		<-r.Context().Done()
	}
	for _, s := range protocols {
		p := placeFor(t, s, answer)
		change := p.arm(p.fault(fault.HTTPReplyLost, nil))
		got := make(chan answered, 1)
		go func() { got <- p.ask(t, s, "POST", "/", "", nil) }()
		<-begun
		for p.done(change).Injected == 0 {
			select {
			case a := <-got:
				t.Fatalf("ended before: %+v", a)
			default:
			}
		}
		p.lift(change)
		if a := <-got; a.err == nil {
			t.Errorf("by %s: %+v", s, a)
		}
	}
}
