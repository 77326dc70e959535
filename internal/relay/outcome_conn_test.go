package relay_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// nobody is an address at which nobody answers.
func nobody(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A callee that cannot be reached is an exchange without an answer, whichever way.
func TestOutcomesWithoutCallee(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			spec := relay.Spec{To: "b", Protocol: experiment.HTTP, Upstreams: []string{nobody(t)}}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			scheme := "http://"
			switch way {
			case "h2c":
				tr.Protocols = h2c()
			case "tls", "tls-h2":
				a := newAuthority(t)
				scheme = "https://"
				tr.TLSClientConfig, tr.ForceAttemptHTTP2 = &tls.Config{RootCAs: a.roots}, way == "tls-h2"
				spec.TLS = &relay.TLS{Certificate: a.show, Upstream: &tls.Config{RootCAs: a.roots}}
			}
			e := w.openSpec(spec)
			if way == "engine" {
				arm(t, e, "wait", waiter{1})
			}
			if _, err := (&http.Client{Transport: tr, Timeout: patience}).Get(scheme + e.Spec().Listen + "/x"); err == nil {
				t.Fatal("it was answered")
			}
			until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
			x := w.exchanges()[0]
			if x.Status != 0 || !x.Cut || x.EndedBy != "callee" || !x.FirstByte.IsZero() || x.End.Before(x.Start) {
				t.Errorf("%+v", x)
			}
			if strings.HasPrefix(way, "tls") != (x.Method == "") {
				t.Errorf("asked for %s %s", x.Method, x.Path)
			}
		})
	}
}

// What is told of a connection of an edge of bytes says how it ended.
func TestOutcomesOfConnections(t *testing.T) {
	type outcome struct {
		effect relay.Effect
		callee func(c *net.TCPConn) // once it has read a byte; it closes then
		caller func(c *net.TCPConn) // once it has sent one; it closes then
		by     string
		cut    bool
		leaves bool // the caller's leaving is the end
	}
	answer := func(c *net.TCPConn) { c.Write([]byte{1}) }
	keep := func(c *net.TCPConn) { c.Write([]byte{1}); io.ReadAll(c) }
	silent := func(c *net.TCPConn) { io.ReadAll(c) }
	readAll := func(c *net.TCPConn) { io.ReadAll(c) }
	readOne := func(c *net.TCPConn) { c.Read(make([]byte, 1)) }
	leave := func(*net.TCPConn) {}
	reset := func(c *net.TCPConn) { c.SetLinger(0) }
	for name, o := range map[string]outcome{
		"closed by the callee":     {callee: answer, caller: readAll, by: "callee"},
		"closed by the caller":     {callee: keep, caller: readOne, by: "caller"},
		"half closed":              {callee: func(c *net.TCPConn) { io.ReadAll(c); c.Write([]byte{1}) }, caller: func(c *net.TCPConn) { c.CloseWrite(); io.ReadAll(c) }, by: "caller"},
		"reset by the callee":      {callee: func(c *net.TCPConn) { c.SetLinger(0) }, caller: readAll, by: "callee", cut: true},
		"closed without an answer": {callee: func(*net.TCPConn) {}, caller: readAll, by: "callee", cut: true},
		"hung up":                  {callee: silent, caller: leave, by: "caller", cut: true, leaves: true},
		"reset by the caller":      {callee: silent, caller: reset, by: "caller", cut: true, leaves: true},
		"reset once answered":      {callee: answer, caller: func(c *net.TCPConn) { readAll(c); c.SetLinger(0) }, by: "callee"},
		"swallowed, hung up":       {effect: hole{}, callee: answer, caller: leave, by: "caller", cut: true, leaves: true},
		"delayed, hung up":         {effect: slow(time.Hour, relay.Up), callee: silent, caller: leave, by: "caller", cut: true, leaves: true},
		"delayed":                  {effect: slow(time.Millisecond, relay.Up), callee: answer, caller: readAll, by: "callee"},
		"ended by a fault":         {effect: ender{how: relay.Reset}, callee: silent, caller: readAll, by: "relay", cut: true},
		"closed by a fault":        {effect: ender{how: relay.Close}, callee: silent, caller: readAll, by: "relay", cut: true},
		"nobody there":             {caller: readAll, by: "callee", cut: true},
	} {
		for _, loops := range []bool{true, false} {
			t.Run(name+map[bool]string{true: "/loops", false: "/portable"}[loops], func(t *testing.T) {
				w := newWorld(t)
				if !loops {
					w.set.Portable()
				}
				to := nobody(t)
				if o.callee != nil {
					to = server(t, func(c *net.TCPConn) {
						if _, err := c.Read(make([]byte, 1)); err == nil {
							o.callee(c)
						}
					})
				}
				e := w.open("a", "b", experiment.TCP, to)
				if o.effect != nil {
					arm(t, e, "hurt", o.effect)
				}
				var gone time.Time
				if c, err := net.Dial("tcp", e.Spec().Listen); err == nil { // else it was reset at once
					c.SetDeadline(time.Now().Add(patience))
					c.Write([]byte{1})
					until(t, "its byte", func() bool { return w.set.Status()[0].BytesIn == 1 || len(w.exchanges()) == 1 })
					o.caller(c.(*net.TCPConn))
					gone = time.Now()
					c.Close()
				}
				if o.effect != nil && o.leaves {
					until(t, "the caller's end", func() bool { return time.Since(gone) > 50*time.Millisecond })
					lift(t, e, "hurt")
				}
				until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
				x := w.exchanges()[0]
				if x.EndedBy != o.by || x.Cut != o.cut || x.End.Before(x.Start) {
					t.Errorf("ended by %s, cut %v: %+v", x.EndedBy, x.Cut, x)
				}
				if o.leaves && (x.End.Before(gone) || x.End.Sub(gone) > patience/4) {
					t.Errorf("the caller left %s before the end", x.End.Sub(gone))
				}
			})
		}
	}
}

// What has changed its protocol ends as connections do.
func TestOutcomesOfUpgrades(t *testing.T) {
	const ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	for name, o := range map[string]struct {
		callee func(c *net.TCPConn)
		caller func(c *net.TCPConn)
		by     string
		cut    bool
	}{
		"closed by the callee": {func(*net.TCPConn) {}, func(c *net.TCPConn) { io.ReadAll(c) }, "callee", false},
		"closed by the caller": {func(c *net.TCPConn) { io.ReadAll(c) }, func(c *net.TCPConn) { c.CloseWrite(); io.ReadAll(c) }, "caller", false},
		"reset by the callee":  {func(c *net.TCPConn) { c.SetLinger(0) }, func(c *net.TCPConn) { io.ReadAll(c) }, "callee", true},
		"reset by the caller":  {func(c *net.TCPConn) { io.ReadAll(c) }, func(c *net.TCPConn) { c.SetLinger(0) }, "caller", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := w.open("a", "b", experiment.HTTP, server(t, func(c *net.TCPConn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
					o.callee(c)
				}
			}))
			c := dial(t, e.Spec().Listen)
			io.WriteString(c, ask)
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 101 {
				t.Fatal(resp, err)
			}
			o.caller(c)
			c.Close()
			until(t, "the record", func() bool { return len(w.exchanges()) == 1 })
			if x := w.exchanges()[0]; x.EndedBy != o.by || x.Cut != o.cut || x.Status != 101 || x.Proto != "websocket" {
				t.Errorf("ended by %s, cut %v: %+v", x.EndedBy, x.Cut, x)
			}
		})
	}
}

// Datagrams that nobody takes are a session without an answer.
func TestOutcomesOfDatagrams(t *testing.T) {
	echo, _ := echoer(t, "", "127.0.0.1:0")
	for name, o := range map[string]struct {
		up, by string
		cut    bool
	}{
		"answered": {up: echo, by: "relay"},
		"nobody":   {up: nobody(t), by: "callee", cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, e, ended := udpSet(t, relay.Options{}, relay.Spec{Upstreams: []string{o.up}, Idle: 100 * time.Millisecond})
			if _, err := caller(t, e.Spec().Listen).Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if x := <-ended; x.EndedBy != o.by || x.Cut != o.cut || x.MessagesIn != 1 {
				t.Errorf("%+v", x)
			}
		})
	}
}
