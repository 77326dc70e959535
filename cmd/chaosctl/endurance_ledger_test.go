//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// Every exchange of a busy edge is in the ledger, and memory stays small, judging
// included: 5,000 a second for a minute with CHAOSCTL_SOAK, else fewer.
func TestLedgerKeepsUp(t *testing.T) {
	rate, lasts := 1500, 4*time.Second
	if soaks() {
		rate, lasts = 5000, time.Minute
	}
	bin := plain(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"ok":true}`) }))
	defer backend.Close()
	upstream := strings.TrimPrefix(backend.URL, "http://")
	relay := freePort(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "load.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: load}
spec:
  topology:
    services:
      api: {address: %[1]q, protocol: http}
      auth: {address: %[1]q, protocol: http}
    edges: [{from: api, to: auth, listen: %[2]q}]
  traffic: [{name: all, service: api, http: {path: /}, rate: 20/s, timeout: 10s}]
  steady: {for: 1s}
  steps:
    - {name: busy, for: %[3]s, faults: [{kind: http.status, target: {edge: api -> auth}, params: {code: 503}, share: 0.1}]}
  recovery: {within: 5s, hold: 500ms}
`, upstream, relay, lasts+3*time.Second), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	cmd := exec.Command(bin, "run", file, "-o", "json", "--state-dir", state)
	cmd.Env = append(os.Environ(), "CHAOSCTL_SERVER=", "CHAOSCTL_TOKEN_FILE=")
	out, told := &bytes.Buffer{}, &watched{want: " hurt (", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, told
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	peakOf := watchMemory(cmd.Process.Pid)
	select {
	case <-told.seen:
	case <-time.After(time.Minute):
		t.Fatalf("it hurts nobody: %s", told.text())
	}
	sent, broken, took := pour(t, relay, rate, lasts)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != experiment.ExitOK {
		t.Fatalf("%v: %s", err, told.text())
	}
	peak := peakOf()
	var run experiment.Run
	if err := json.Unmarshal(out.Bytes(), &run); err != nil {
		t.Fatal(err)
	}
	var written, flows uint64
	if err := ledger.Scan(filepath.Join(state, "runs", run.ID+".ledger"), func(x *experiment.Exchange) error {
		switch {
		case x.Flow != "":
			flows++
		case x.Edge == "api -> auth":
			written++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	l := run.Ledger
	if l == nil || l.Lost != 0 || written < sent || written > sent+broken || l.Requests != flows || l.Judged > l.Exchanges+l.Requests || l.Judged == 0 {
		t.Errorf("%d were answered and %d were not, %d are written; %+v", sent, broken, written, l)
	}
	const most = 200 << 10
	t.Logf("%d exchanges in %s: %.0f/s; %d bytes an exchange, %d judged; %d connections broke; at most %d MiB", sent, took.Round(time.Millisecond), float64(sent)/took.Seconds(), l.Bytes/max(1, l.Exchanges+l.Requests), l.Judged, broken, peak>>10)
	if peak == 0 || peak > most {
		t.Errorf("it took %d KiB", peak)
	}
}

// mostBroken is how many connections may end without an answer.
const mostBroken = 10

// pour sends requests over kept connections, and returns how many were answered and how
// many connections ended instead. It
// takes the machine as little as it can: it shares it with what is measured.
func pour(t *testing.T, addr string, rate int, lasts time.Duration) (answered, broken uint64, took time.Duration) {
	t.Helper()
	due := make(chan struct{}, rate)
	var heard, lost atomic.Uint64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for c := (&caller{addr: addr}); ; heard.Add(1) {
				if _, more := <-due; !more {
					c.close()
					return
				}
				for c.ask() != nil { // a kept connection may end; whether it was asked then, only the relay knows
					c.close()
					if lost.Add(1) > mostBroken {
						t.Error("connections break all the time")
						return
					}
				}
			}
		})
	}
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	asked := 0
	for now := range tick.C {
		passed := now.Sub(began)
		for ; asked < int(float64(rate)*min(passed, lasts).Seconds()); asked++ {
			select {
			case due <- struct{}{}:
			default: // the machine is too slow for this rate
			}
		}
		if passed >= lasts {
			break
		}
	}
	close(due)
	all.Wait()
	return heard.Load(), lost.Load(), time.Since(began)
}

// caller sends one request after the other over a connection.
type caller struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *caller) ask() error {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return err
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 2048)
	}
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.conn, "POST /verify HTTP/1.1\r\nHost: auth\r\nContent-Length: 0\r\n\r\n"); err != nil {
		return err
	}
	body, last := 0, false
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(line)), ": ")
		switch name {
		case "content-length":
			if body, err = strconv.Atoi(value); err != nil {
				return err
			}
		case "connection":
			last = value == "close"
		case "":
			if _, err := c.in.Discard(body); err != nil {
				return err
			}
			if last {
				c.close()
			}
			return nil
		}
	}
}

// watchMemory looks at the peak memory of a process until it is asked what it was, in
// KiB. (What wait4 says of a child counts what its parent had when it was forked.)
func watchMemory(pid int) (peak func() int) {
	stop, done := make(chan struct{}), make(chan int, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		most := 0
		for {
			select {
			case <-tick.C:
			case <-stop:
				done <- most
				return
			}
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may be gone
			if m := peakMemory.FindSubmatch(b); m != nil {
				kb, _ := strconv.Atoi(string(m[1]))
				most = max(most, kb)
			}
		}
	}()
	return func() int { close(stop); return <-done }
}

var peakMemory = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// watched is an output in which something is waited for.
type watched struct {
	mu   sync.Mutex
	b    strings.Builder
	want string
	once sync.Once
	seen chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(p)
	if strings.Contains(w.b.String(), w.want) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}
