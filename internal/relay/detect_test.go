package relay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// TestAutoHTTP: requests are seen, by whatever version.
func TestAutoHTTP(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	srv.Config.Protocols = h2c()
	srv.Config.Protocols.SetHTTP1(true)
	srv.Start()
	t.Cleanup(srv.Close)
	w := newWorld(t)
	e := w.open("api", "auth", experiment.Auto, srv.Listener.Addr().String())
	for _, p := range []*http.Protocols{nil, h2c()} {
		tr := &http.Transport{Protocols: p}
		c := &web{w, e, "http://" + e.Spec().Listen, &http.Client{Transport: tr, Timeout: patience}}
		c.fine("/a")
		c.fine("/b")
		tr.CloseIdleConnections()
	}
	until(t, "four exchanges", func() bool { return len(w.exchanges()) == 4 })
	all := w.exchanges()
	slices.SortFunc(all, func(a, b experiment.Exchange) int { return a.Start.Compare(b.Start) })
	for i, want := range []string{"HTTP/1.1", "HTTP/1.1", "HTTP/2", "HTTP/2"} {
		if x := all[i]; x.Proto != want || x.Status != 200 {
			t.Errorf("exchange %d: %+v", i, x)
		}
	}
	if s := w.set.Status()[0]; s.Accepted != 2 {
		t.Errorf("%d connections", s.Accepted)
	}
}

// TestAutoSlowRequestLine sends a request in pieces with pauses longer than a caller
// has for being recognised.
func TestAutoSlowRequestLine(t *testing.T) {
	w := newWeb(t, hello)
	e := w.open("api", "auto", experiment.Auto, w.edge.Spec().Listen)
	c := dial(t, e.Spec().Listen)
	io.WriteString(c, "GET /sl")
	if !silent(t, c, 400*time.Millisecond) {
		t.Error("half a request line was answered")
	}
	io.WriteString(c, "ow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, _ := io.ReadAll(c); !bytes.HasSuffix(b, []byte("hello /slow")) {
		t.Errorf("%q", b)
	}
}

// TestAutoBytes: what is not HTTP passes as on a TCP edge, and none of the bytes by
// which that was told is lost.
func TestAutoBytes(t *testing.T) {
	for name, first := range map[string]string{
		"binary":                   "\x16\x03\x01\x02\x00",
		"nothing yet":              "",
		"a line":                   "PING\r\n",
		"a word":                   "PING",
		"a request of another":     "OPTIONS rtsp://example/ RTSP/1.0\r\n",
		"a method and a parameter": "USER me\r\n",
		"redis":                    "*1\r\n$4\r\nPING\r\n",
		"lower case":               "get / http/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan []byte, 1)
			addr := server(t, func(c *net.TCPConn) {
				io.WriteString(c, "hello from the callee")
				all, _ := io.ReadAll(c)
				got <- all
				c.Write(all)
			})
			w := newWorld(t)
			e := w.open("api", "db", experiment.Auto, addr)
			c := dial(t, e.Spec().Listen)
			io.WriteString(c, first)
			greeting := make([]byte, 21)
			if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "hello from the callee" {
				t.Fatalf("%q %v", greeting, err)
			}
			rest := make([]byte, 3<<20)
			newStream(5).Read(rest)
			var both sync.WaitGroup
			both.Go(func() { c.Write(rest); c.CloseWrite() })
			want := append([]byte(first), rest...)
			if all := <-got; !bytes.Equal(all, want) {
				t.Errorf("%d bytes arrived of %d", len(all), len(want))
			}
			if all, err := io.ReadAll(c); !bytes.Equal(all, want) || err != nil {
				t.Errorf("%d bytes came back of %d, %v", len(all), len(want), err)
			}
			both.Wait()
			until(t, "an exchange", func() bool { return len(w.exchanges()) == 1 })
			if x := w.exchanges()[0]; x.Proto != "" || x.Method != "" || x.BytesIn != uint64(len(want)) {
				t.Errorf("%+v", x)
			}
		})
	}
}

// TestAutoUnits: an effect that bytes and requests know hurts whole connections
// that are bytes, and exchanges of the others; one for requests spares bytes.
func TestAutoUnits(t *testing.T) {
	w := newWeb(t, hello)
	e := w.open("api", "auto", experiment.Auto, w.edge.Spec().Listen)
	bytesTo := w.open("api", "bytes", experiment.Auto, echo(t))
	for _, e := range []*relay.Edge{e, bytesTo} {
		arm(t, e, "slow", slow(50*time.Millisecond, relay.Down))
		arm(t, e, "answer", answerer{503})
	}
	auto := &web{w.world, e, "http://" + e.Spec().Listen, &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	defer auto.client.CloseIdleConnections()
	for range 2 {
		start := time.Now()
		if code, _, err := auto.get("/"); code != 503 || err != nil || time.Since(start) < 50*time.Millisecond {
			t.Errorf("%d %v after %v", code, err, time.Since(start))
		}
	}
	if r := receipt(t, e, "slow"); r.Injected != 2 || r.Unit != fault.Units {
		t.Errorf("requests: %+v", r)
	}
	c := dial(t, bytesTo.Spec().Listen)
	if took := ping(t, c); took < 50*time.Millisecond {
		t.Errorf("an echo after %v", took)
	}
	if r := receipt(t, bytesTo, "slow"); r.Injected != 1 {
		t.Errorf("a connection: %+v", r)
	}
	if r := receipt(t, bytesTo, "answer"); r.Matched != 0 {
		t.Errorf("an answer to a connection: %+v", r)
	}
}

// TestAutoUndecided: callers that have said nothing yet are listed, can be killed,
// and do not keep an edge from closing.
func TestAutoUndecided(t *testing.T) {
	w := newWorld(t)
	e := w.open("api", "db", experiment.Auto, echo(t))
	c := dial(t, e.Spec().Listen)
	io.WriteString(c, "GET /half") // stays undecided for a moment
	until(t, "the connection is listed", func() bool { return len(w.set.Connections("")) == 1 })
	w.set.CloseConnection(w.set.Connections("")[0].ID, true)
	if _, err := c.Read(make([]byte, 1)); !isReset(err) {
		t.Errorf("a killed newcomer: %v", err)
	}
	until(t, "the connection is forgotten", func() bool { return len(w.set.Connections("")) == 0 })
	other := dial(t, e.Spec().Listen)
	until(t, "the connection is listed", func() bool { return len(w.set.Connections("")) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.set.CloseEdge(ctx, e.Name()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := other.Read(make([]byte, 1)); err == nil {
		t.Error("a newcomer outlived its edge")
	}
}
