package relay_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// A caller is answered before all of its request was read, and what follows the body,
// or what a badly framed body hides, is at once there. The relay neither panics nor
// takes any of it for a request.
func TestAnsweredBeforeTheBody(t *testing.T) {
	const smuggled = "POST /smuggled HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	chunked := " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	large := strings.Repeat("1000\r\n"+strings.Repeat("a", 4<<10)+"\r\n", 80) + "0\r\n\r\n" // more than is drained, less than twice that
	const answered, part, rest = "\x00", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n\r\n"
	for name, says := range map[string]string{
		"by the relay":              "POST /hurt" + chunked + large + strings.Repeat(smuggled, 8),
		"by the relay, bad chunks":  "POST /hurt" + chunked + "zz\r\n" + smuggled,
		"by the callee":             "POST /early" + chunked + part + answered + rest + smuggled,
		"by the callee, in chunks":  "POST /early/chunks" + chunked + part + answered + rest + smuggled,
		"by the relay, by a length": "POST /hurt HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n" + smuggled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			addr := server(t, func(c *net.TCPConn) {
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				io.WriteString(&rec.sent, r.URL.Path)
				answer := "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
				if r.URL.Path == "/early/chunks" {
					answer = "HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n2\r\nno\r\n0\r\nSum: 1\r\n\r\n"
				}
				io.WriteString(c, answer)
				io.Copy(io.Discard, c)
			})
			w := newWorld(t)
			e := w.open("api", "auth", experiment.HTTP, addr)
			if err := e.Arm(relay.Armed{ID: "h", Name: "h", Effect: answerer{503}, Match: &fault.Match{Path: "/hurt"}}); err != nil {
				t.Fatal(err)
			}
			c := dial(t, e.Spec().Listen)
			says, later, _ := strings.Cut(says, answered)
			go io.WriteString(c, says)
			c.SetReadDeadline(time.Now().Add(patience))
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 503 && resp.StatusCode != 413 {
				t.Errorf("%s, %v", resp.Status, err)
			}
			if strings.HasSuffix(name, "in chunks") && resp.Trailer.Get("Sum") != "1" {
				t.Errorf("trailers %v", resp.Trailer)
			}
			io.WriteString(c, later)
			if _, err := br.ReadByte(); err == nil {
				t.Error("another answer")
			}
			until(t, "the end", func() bool { return len(w.set.Connections("")) == 0 })
			if seen := rec.take(); strings.Contains(seen, "smuggled") {
				t.Errorf("the callee was sent %q", seen)
			}
		})
	}
}
