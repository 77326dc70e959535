package relay_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// run starts a tool and returns what it says. Without the tool the test is skipped.
func run(t *testing.T, stdin io.Reader, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("%s is not installed here: what it would show is not shown", tool)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// both serves HTTP/1 and HTTP/2 on one port, and opens an edge of a protocol to it.
func both(t *testing.T, p experiment.Protocol, h http.HandlerFunc) (*world, *relay.Edge) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = h2c()
	srv.Config.Protocols.SetHTTP1(true)
	srv.Start()
	t.Cleanup(srv.Close)
	w := newWorld(t)
	return w, w.open("api", "auth", p, srv.Listener.Addr().String())
}

// TestCurl has curl send and fetch by every version, through edges that see requests
// in either way.
func TestCurl(t *testing.T) {
	body := make([]byte, 5<<20)
	newStream(9).Read(body)
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	for _, p := range []experiment.Protocol{experiment.HTTP, experiment.Auto} {
		w, e := both(t, p, func(rw http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case "GET":
				rw.Write(body)
			default:
				h := sha256.New()
				io.Copy(h, r.Body)
				fmt.Fprintf(rw, "%s %x %s", r.Proto, h.Sum(nil), r.Header.Get("Expect"))
			}
		})
		url := "http://" + e.Spec().Listen + "/x?y=z"
		for version, proto := range map[string]string{"--http1.0": "HTTP/1.0", "--http1.1": "HTTP/1.1", "--http2-prior-knowledge": "HTTP/2"} {
			got := run(t, nil, "curl", "-sS", version, url)
			if got != string(body) {
				t.Errorf("%s %s: %d bytes of %d", p, version, len(got), len(body))
			}
			callee := map[string]string{"HTTP/1.0": "HTTP/1.1", "HTTP/2": "HTTP/2.0"}[proto]
			if callee == "" {
				callee = proto
			}
			for _, extra := range [][]string{{}, {"-H", "Expect: 100-continue"}, {"-H", "Expect:", "-H", "Transfer-Encoding: chunked"}} {
				if proto == "HTTP/1.0" && len(extra) > 2 {
					continue
				}
				got := run(t, bytes.NewReader(body), "curl", append([]string{"-sS", version, "--data-binary", "@" + file, url}, extra...)...)
				if !strings.HasPrefix(got, callee+" "+sum) {
					t.Errorf("%s %s %v: %s", p, version, extra, got)
				}
			}
		}
		if len(w.exchanges()) == 0 || t.Failed() {
			return
		}
		for _, x := range w.exchanges() {
			if x.Status != 200 || x.Query != "y=z" || x.Host != e.Spec().Listen || x.Proto == "" {
				t.Errorf("%+v", x)
			}
		}
	}
}

func TestNghttpAndH2load(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.HTTP, experiment.Auto} {
		_, e := both(t, p, hello)
		url := "http://" + e.Spec().Listen + "/x"
		if got := run(t, nil, "nghttp", url); strings.TrimSpace(got) != "hello /x" {
			t.Errorf("%q", got)
		}
		for _, args := range [][]string{{"-n", "2000", "-c", "4", "-m", "100"}, {"-n", "500", "-c", "4", "--h1"}} {
			got := run(t, nil, "h2load", append(args, url)...)
			if want := fmt.Sprintf("%s succeeded, 0 failed, 0 errored, 0 timeout", args[1]); !strings.Contains(got, want) {
				t.Errorf("%v:\n%s", args, got)
			}
		}
	}
}

func TestWebSocket(t *testing.T) {
	srv := httptest.NewServer(websocket.Handler(func(c *websocket.Conn) {
		for {
			var m []byte
			if websocket.Message.Receive(c, &m) != nil {
				return
			}
			websocket.Message.Send(c, m)
		}
	}))
	t.Cleanup(srv.Close)
	for _, p := range []experiment.Protocol{experiment.HTTP, experiment.Auto} {
		w := newWorld(t)
		e := w.open("api", "auth", p, srv.Listener.Addr().String())
		url := "ws://" + e.Spec().Listen + "/chat?token=t0p&room=1"
		c, err := websocket.Dial(url, "", "http://origin")
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		for _, size := range []int{0, 1, 125, 126, 70000, 1 << 20} {
			m := make([]byte, size)
			newStream(1).Read(m)
			if err := websocket.Message.Send(c, m); err != nil {
				t.Fatal(err)
			}
			var got []byte
			if err := websocket.Message.Receive(c, &got); !bytes.Equal(got, m) || err != nil {
				t.Fatalf("%d bytes: %d, %v", size, len(got), err)
			}
		}
		c.Close()
		until(t, "an exchange", func() bool { return len(w.exchanges()) == 1 })
		if x := w.exchanges()[0]; x.Proto != "websocket" || x.MessagesIn != 6 || x.MessagesOut != 6 || x.Status != 101 || x.Query != "token=(secret)&room=1" {
			t.Errorf("%+v", x)
		}
	}
}

const pythonServer = `
import asyncio, websockets
async def echo(ws, *_):
    async for message in ws:
        await ws.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print("%s:%d" % server.sockets[0].getsockname()[:2], flush=True)
        await asyncio.Future()
asyncio.run(main())
`

const pythonClient = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=None) as ws:
        for size in (0, 1, 126, 70000):
            text = "x" * size
            for message in (text, [text[:size//2], text[size//2:]], text.encode()):
                await ws.send(message)
                await (await ws.ping())
                whole = "".join(message) if isinstance(message, list) else message
                assert await ws.recv() == whole, size
    print("fine")
asyncio.run(main())
`

func TestWebSocketOfPython(t *testing.T) {
	python := ""
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import websockets").Run() == nil {
			python = p
		}
	}
	if python == "" {
		t.Skip("python3 with websockets is not installed here: what it would show is not shown")
	}
	srv := exec.Command(python, "-c", pythonServer)
	out, err := srv.StdoutPipe()
	if err == nil {
		err = srv.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Process.Kill(); srv.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, strings.TrimSpace(addr))
	if got := run(t, nil, python, "-c", pythonClient, "ws://"+e.Spec().Listen); !strings.Contains(got, "fine") {
		t.Error(got)
	}
	until(t, "an exchange", func() bool { return len(w.exchanges()) == 1 })
	if x := w.exchanges()[0]; x.MessagesIn != 12 || x.MessagesOut != 12 {
		t.Errorf("%+v", x)
	}
}

// TestServerSentEvents: an event arrives before the next one is sent.
func TestServerSentEvents(t *testing.T) {
	for name, p := range map[string]*http.Protocols{"HTTP/1": nil, "HTTP/2": h2c()} {
		next := make(chan struct{})
		w, e := both(t, experiment.HTTP, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			for i := 0; ; i++ {
				fmt.Fprintf(rw, "data: %d\n\n", i)
				rw.(http.Flusher).Flush()
				select {
				case <-next:
				case <-r.Context().Done():
					close(next)
					return
				}
			}
		})
		tr := &http.Transport{Protocols: p}
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://" + e.Spec().Listen)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			want := fmt.Sprintf("data: %d\n\n", i)
			b := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, b); string(b) != want || err != nil {
				t.Fatalf("%s: %q, %v", name, b, err)
			}
			if i < 4 {
				next <- struct{}{}
			}
		}
		resp.Body.Close() // the caller has enough
		<-next
		tr.CloseIdleConnections()
		until(t, "an exchange", func() bool { return len(w.exchanges()) == 1 })
		if x := w.exchanges()[0]; x.EndedBy != "caller" {
			t.Errorf("%s: %+v", name, x)
		}
	}
}
