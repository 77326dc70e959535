//go:build linux

package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; what comes in time does
// not wait for it.
const patience = 20 * time.Second

// side names which of the two a server is.
type side string

const (
	original side = "original"
	ours     side = "ours"
)

// server is one of the two, running.
type server struct {
	side  side
	addr  string // of its API
	log   *logBuffer
	ended chan struct{} // closed when the process is gone
	http  *http.Client
	pid   int
}

// logBuffer keeps what a server prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command is the command line that starts a side's server.
func command(s side, args ...string) []string {
	if s == original || built.self {
		return append([]string{built.original}, args...)
	}
	return append([]string{built.chaosctl, "toxiproxy"}, args...)
}

// start runs a server with the original's flags until the test ends.
func start(t testing.TB, s side, args ...string) *server {
	t.Helper()
	for range 10 {
		port := freePort(t)
		addr := net.JoinHostPort("127.0.0.1", port)
		srv, err := launch(t, s, addr, append([]string{"-host", "127.0.0.1", "-port", port}, args...))
		if err == nil {
			return srv
		}
		t.Logf("%s: %v", s, err)
	}
	t.Fatalf("%s: no server after ten tries", s)
	return nil
}

// pair starts both.
func pair(t testing.TB, args ...string) [2]*server {
	t.Helper()
	return [2]*server{start(t, original, args...), start(t, ours, args...)}
}

func launch(t testing.TB, s side, addr string, args []string) (*server, error) {
	line := command(s, args...)
	srv := &server{side: s, addr: addr, log: &logBuffer{}, ended: make(chan struct{}),
		http: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = []string{"LOG_LEVEL=info", "HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = srv.log, srv.log
	// It must not outlive a test run that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	srv.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // how it ended is seen from what it no longer answers
		close(srv.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone already
		<-srv.ended
		srv.http.CloseIdleConnections()
		if said := strings.SplitAfter(srv.log.String(), "\n"); t.Failed() && testing.Verbose() {
			t.Logf("%s said last:\n%s", s, strings.Join(said[max(0, len(said)-8):], ""))
		}
	})
	if err := srv.ready(); err != nil {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%w; it says:\n%s", err, srv.log)
	}
	return srv, nil
}

// ready waits until the API answers.
func (s *server) ready() error {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		select {
		case <-s.ended:
			return errGone
		case <-tick.C:
		}
		// The original stays without an API when its port is taken.
		if strings.Contains(s.log.String(), "address already in use") {
			return syscall.EADDRINUSE
		}
		if _, err := s.try("GET", "/version", ""); err == nil {
			return nil
		}
	}
	return context.DeadlineExceeded
}

// alive tells whether the process still runs.
func (s *server) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// answer is what an API call gave.
type answer struct {
	status int
	body   string
}

func (s *server) try(method, path, body string) (answer, error) {
	return s.within(patience, method, path, body)
}

// within is a call that is given up after a time.
func (s *server) within(limit time.Duration, method, path, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, in)
	if err != nil {
		return answer{}, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(b)}, err
}

// do is a call that must succeed.
func (s *server) do(t testing.TB, method, path, body string) string {
	t.Helper()
	a, err := s.try(method, path, body)
	if err != nil {
		t.Fatalf("%s: %s %s %s: %v", s.side, method, path, body, err)
	}
	if a.status >= 300 {
		t.Fatalf("%s: %s %s %s: %d %s", s.side, method, path, body, a.status, a.body)
	}
	return a.body
}

// proxyInfo is what an answer says of a proxy.
type proxyInfo struct {
	Name, Listen, Upstream string
	Enabled                bool
	Toxics                 []json.RawMessage
}

// proxy makes one and returns its address.
func (s *server) proxy(t testing.TB, name, upstream string) string {
	t.Helper()
	body := s.do(t, "POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:%s","upstream":%q}`, name, freePort(t), upstream))
	var p proxyInfo
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%s: %v in %s", s.side, err, body)
	}
	return p.Listen
}

// Ports that a test names come from below the range out of which the kernel
// gives ports away, so that nobody gets one by chance while it is free for a
// moment.
var (
	portsMu sync.Mutex
	ports   = map[int]bool{}
)

// freePort is a port that nobody listens on and no other test here has got.
func freePort(t testing.TB) string {
	t.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		p := 12000 + rand.IntN(18000)
		if ports[p] {
			continue
		}
		if !free(p) {
			continue
		}
		ports[p] = true
		t.Cleanup(func() {
			portsMu.Lock()
			defer portsMu.Unlock()
			delete(ports, p)
		})
		return strconv.Itoa(p)
	}
	t.Fatal("no free port")
	return ""
}

// free tells whether nobody listens on a port. No process is started meanwhile:
// until it runs its own program it has all files of ours, that socket too, and
// the port would be taken for a moment longer than it looks.
func free(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
