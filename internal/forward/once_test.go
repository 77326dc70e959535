package forward

import (
	"bufio"
	"fmt"
	"net/http"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// A request that a fault ends is the caller's to retry: the proxy that did so would
// hide the fault, and count it more than once.
func TestSentOnce(t *testing.T) {
	p := newPlace(t, nil)
	host := p.server("a")
	if _, err := p.engine.Inject(t.Context(), experiment.InjectRequest{Owner: "cli", Faults: []fault.Fault{
		{Kind: "http.abort", Params: &fault.Abort{How: "close"}, Target: fault.Target{Service: "dependency-127.0.0.1"}, Share: 0.5},
	}}); err == nil {
		t.Fatal("a host that was never called has an edge")
	}
	call := func(head string) bool {
		c := p.dial()
		defer c.Close()
		fmt.Fprintf(c, head+"\r\nHost: %[1]s\r\n\r\n", host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}
	heads := []string{
		"GET http://%[1]s/ HTTP/1.1", "OPTIONS http://%[1]s/ HTTP/1.1", "TRACE http://%[1]s/ HTTP/1.1",
		"POST http://%[1]s/ HTTP/1.1\r\nContent-Length: 0\r\nIdempotency-Key: 1", "PUT http://%[1]s/ HTTP/1.1\r\nContent-Length: 0\r\nX-Idempotency-Key: 1",
	}
	for _, head := range heads {
		if !call(head) {
			t.Fatalf("%s fails with no fault", head)
		}
	}
	in, err := p.engine.Inject(t.Context(), experiment.InjectRequest{Owner: "cli", Faults: []fault.Fault{
		{Kind: "http.abort", Params: &fault.Abort{How: "close"}, Target: fault.Target{Service: "dependency-127.0.0.1"}, Share: 0.5},
	}})
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]uint64{}
	all, asked := uint64(0), uint64(0)
	for range 20 {
		for _, head := range heads {
			asked++
			if !call(head) {
				failed[head]++
				all++
			}
		}
	}
	over, err := p.engine.Lift(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	r := over.Receipt()
	if r.Matched != asked || r.Injected != all || all == 0 || all == asked {
		t.Errorf("%d requests of which %d failed (%v); the receipt says %+v", asked, all, failed, r)
	}
}
