package relay_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// large is how many bytes TestLargeBodies sends; 10 GiB take some minutes.
var large = flag.Int64("large", 64<<20, "bytes of a large body")

// zeros is an endless body that costs nothing; seen counts what was read.
type zeros struct {
	left  int64
	every int64 // look is called about that often
	look  func()
}

func (z *zeros) Read(b []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	if z.left/z.every != (z.left-n)/z.every {
		z.look()
	}
	z.left -= n
	return int(n), nil
}

// TestLargeBodies streams a body up and another down and looks at the memory in use
// meanwhile, which is that of the relay, of the caller and of the callee.
func TestLargeBodies(t *testing.T) {
	const bound = 32 << 20
	for name, p := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
		for _, armed := range []bool{false, true} {
			w, e := both(t, experiment.HTTP, func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					io.CopyN(rw, &zeros{left: *large, every: *large, look: func() {}}, *large)
					return
				}
				n, _ := io.Copy(io.Discard, r.Body)
				fmt.Fprint(rw, n)
			})
			if armed {
				arm(t, e, "wait", waiter{1})
			}
			tr := &http.Transport{Protocols: p, DisableCompression: true}
			client := &http.Client{Transport: tr}
			before, most := heap(), int64(0)
			look := func() { most = max(most, heap()-before) }
			resp, err := client.Post("http://"+e.Spec().Listen, "", &zeros{left: *large, every: *large / 8, look: look})
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(b) != fmt.Sprint(*large) {
				t.Errorf("%s: %s bytes arrived", name, b)
			}
			resp, err = client.Get("http://" + e.Spec().Listen)
			if err != nil {
				t.Fatal(err)
			}
			var n int64
			for n < *large && err == nil {
				var m int64
				m, err = io.CopyN(io.Discard, resp.Body, *large/8)
				n += m
				look()
			}
			resp.Body.Close()
			if n != *large {
				t.Errorf("%s: %d bytes came back, %v", name, n, err)
			}
			tr.CloseIdleConnections()
			t.Logf("%s, armed %v: %d MiB more at most", name, armed, most>>20)
			if most > bound {
				t.Errorf("%s, armed %v: %d MiB more are in use", name, armed, most>>20)
			}
			if armed {
				lift(t, e, "wait")
			}
			until(t, "two exchanges", func() bool { return len(w.exchanges()) == 2 })
		}
	}
}
