package peers

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// wsServer sends back what it gets.
func wsServer(t *testing.T) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestWebSocket(t *testing.T) {
	s := serve(t, httpTopology(wsServer(t)))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	url := "ws://" + s.listens[edgeName]
	open := func() (*websocket.Conn, error) {
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err == nil {
			c.SetReadLimit(-1)
			t.Cleanup(func() { c.CloseNow() })
		}
		return c, err
	}
	echo := func(c *websocket.Conn, b []byte) (time.Duration, error) {
		began := time.Now()
		if err := c.Write(ctx, websocket.MessageBinary, b); err != nil {
			return 0, err
		}
		_, got, err := c.Read(ctx)
		if err == nil && !bytes.Equal(got, b) {
			t.Errorf("%d bytes came back of %d", len(got), len(b))
		}
		return time.Since(began), err
	}
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if c.Subprotocol() != "echo" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
		if _, err := echo(c, bytes.Repeat([]byte("w"), n)); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.Ping(pinged(ctx, c)); err != nil {
		t.Error("ping:", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Error("close:", err)
	}

	id := s.inject("far", "--latency", "300ms")
	if c, err = open(); err != nil {
		t.Fatal(err)
	}
	if took, err := echo(c, []byte("late")); err != nil || took < 300*time.Millisecond {
		t.Errorf("%v after %s", err, took)
	}
	if r := s.receipt(id); r.Matched != 1 || r.Injected != 1 {
		t.Errorf("%+v", r)
	}
	s.lift(id)
	if _, err := echo(c, []byte("healed")); err != nil {
		t.Error("the same connection after the lift:", err)
	}

	id = s.inject("far", "--status", "503")
	if _, err := open(); err == nil {
		t.Error("opened with a 503 in force")
	}
	s.lift(id)
	if _, err := open(); err != nil {
		t.Error(err)
	}
}

// pinged has somebody read c, as a ping needs, until it ends.
func pinged(ctx context.Context, c *websocket.Conn) context.Context {
	return c.CloseRead(ctx)
}
