package relay_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// A connection to the callee that net/http gives up by itself, because on a busy machine
// it hears too late that the request was written, costs the caller nothing.
func TestTransportGivesUpCallee(t *testing.T) {
	w := newWorld(t)
	w.set.Portable() // the server has connections from the start
	e := w.open("api", "auth", experiment.HTTP, server(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			if _, err := io.WriteString(c, yes); err != nil {
				return
			}
		}
	}))
	a := (&web{world: w, edge: e}).asker()
	until(t, "the connection to be there", func() bool { return e.Met() == 1 })
	closed, err := e.LateCallee()
	if err != nil {
		t.Fatal(err)
	}
	if code, err := a.ask(); code != 200 || err != nil {
		t.Fatal(code, err)
	}
	<-closed
	for i := range 3 {
		if code, err := a.ask(); code != 200 || err != nil {
			t.Fatalf("request %d after that: %d %v", i, code, err)
		}
	}
}
