package traffic

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// dead is a connection whose writes fail from the second on: what a kept
// connection looks like whose end has gone meanwhile.
type dead struct {
	net.Conn
	writes atomic.Int32
	taken  int // bytes that a failing write takes
}

func (d *dead) Write(p []byte) (int, error) {
	if d.writes.Add(1) == 1 {
		return d.Conn.Write(p)
	}
	return min(d.taken, len(p)), syscall.EPIPE
}

// TestStaleConnection: with nothing written, the request goes out on the next
// connection; with some of it written, it has failed.
func TestStaleConnection(t *testing.T) {
	for taken, want := range map[int]bool{0: true, 5: false} {
		var seen atomic.Int32
		addr := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.Add(1) })
		c := newClient(1, nil)
		dial := c.transport.DialContext
		dials := 0
		c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if dials++; dials == 1 && err == nil {
				return &counted{Conn: &dead{Conn: conn, taken: taken}}, nil
			}
			return conn, err
		}
		tpl, err := newTemplate(Config{Flow: flow("f", 1, time.Minute), Address: addr})
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(2) {
			resp, err := c.do(t.Context(), tpl, i)
			if ok := err == nil; ok != (i == 0 || want) {
				t.Errorf("%d bytes written, request %d: %v", taken, i, err)
			}
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		if n := seen.Load(); (n == 2) != want {
			t.Errorf("%d bytes written: the server saw %d requests", taken, n)
		}
		c.close()
	}
}
