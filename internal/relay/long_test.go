package relay_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/internal/relay"
)

// Of a target or a method that is endless, its beginning is told, on both paths; the
// callee has it whole, and requests that differ behind that are no attempts of one call.
func TestLongTargetsAreClipped(t *testing.T) {
	whole := make(chan int, 8)
	w := bytesWeb(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			whole <- len(r.URL.Path) + len(r.Method)
			if _, err := io.WriteString(c, yes); err != nil {
				return
			}
		}
	})
	path, method := "/"+strings.Repeat("é", 10_000), strings.Repeat("M", 500)
	for round := range 2 {
		for _, end := range []string{"1", "2"} {
			c := w.raw(method + " " + path + end + " HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			if n := <-whole; n != len(path)+1+len(method) {
				t.Errorf("the callee has %d bytes", n)
			}
		}
		if round == 0 {
			if err := w.edge.Arm(relay.Armed{ID: "rare", Name: "rare", Effect: answerer{503}, Share: 1e-9, Seed: 7}); err != nil { // no fast path
				t.Fatal(err)
			}
		}
	}
	until(t, "the records", func() bool { return len(w.exchanges()) == 4 })
	for _, x := range w.exchanges() {
		if len(x.Path) > 1100 || !strings.HasPrefix(x.Path, path[:1000]) || len(x.Method) > 40 || x.Method[:32] != method[:32] || x.Key.IsZero() {
			t.Errorf("%d bytes of the path, method %s, key %s", len(x.Path), x.Method, x.Key)
		}
	}
	if xs := w.exchanges(); xs[0].Key == xs[1].Key || xs[0].Key != xs[2].Key {
		t.Error("the keys are not those of whole targets")
	}
}
