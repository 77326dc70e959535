//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// plain builds chaosctl as users have it: without the race detector, whatever these
// tests have.
func plain(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "chaosctl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// toxi is a server in the place of Toxiproxy's, a process of its own.
type toxi struct {
	*proc
	t    testing.TB
	api  string // of Toxiproxy, a URL
	own  string // chaosctl's own, a URL
	http *http.Client
}

// startToxi starts a server; bin is a program, empty for this test's own.
func startToxi(t testing.TB, bin string, args ...string) *toxi {
	t.Helper()
	if bin == "" {
		bin = "chaosctl"
	}
	home := t.TempDir()
	cmd := exec.Command(bin, append([]string{"toxiproxy", "-host", "127.0.0.1", "-port", "0", "-api", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "CHAOSCTL_STATE_DIR="+filepath.Join(home, "state"), "LOG_LEVEL=info", "CHAOSCTL_TOKEN_FILE=", "CHAOSCTL_SERVER=")
	p := &proc{cmd: cmd, grown: make(chan struct{}), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = tee{p, &p.stdout}, tee{p, nil}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	s := &toxi{proc: p, t: t, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: patience}}
	t.Cleanup(s.http.CloseIdleConnections)
	for message, url := range map[string]*string{"the API listens": &s.api, "the API of chaosctl listens": &s.own} {
		m, err := p.await(regexp.MustCompile(`"message":"` + message + `","address":"([^"]+)"`))
		if err != nil {
			t.Fatal(err)
		}
		*url = "http://" + m[1]
	}
	return s
}

// in is the server within a subtest.
func (s *toxi) in(t testing.TB) *toxi {
	c := *s
	c.t = t
	return &c
}

// stop ends the server as a user would, and looks at how it ended.
func (s *toxi) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("the server is gone: %v", err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		s.t.Error("the server goes on after SIGTERM")
		s.kill()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out.Bytes()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("the server ended with %d:\n%s", code, out[max(0, len(out)-4000):])
	}
	for _, word := range []string{"DATA RACE", "panic:", "goroutine "} {
		if i := bytes.Index(out, []byte(word)); i >= 0 {
			s.t.Errorf("the server said:\n%s", out[i:min(len(out), i+6000)])
			break
		}
	}
}

// call sends a request to one of the APIs.
func (s *toxi) call(client *http.Client, method, url, body string) (code int, answer []byte, err error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// must is call where the answer has to be good.
func (s *toxi) must(method, path, body string) []byte {
	s.t.Helper()
	code, answer, err := s.call(s.http, method, s.api+path, body)
	if err != nil || code >= 300 {
		s.t.Fatalf("%s %s %s: %d %s %v", method, path, body, code, answer, err)
	}
	return answer
}

// proxy makes a proxy and returns where it listens. more is further fields.
func (s *toxi) proxy(name, upstream, more string) string {
	s.t.Helper()
	var p struct{ Listen string }
	answer := s.must("POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:0","upstream":%q%s}`, name, upstream, more))
	if err := json.Unmarshal(answer, &p); err != nil {
		s.t.Fatal(err)
	}
	return p.Listen
}

// usage is what a process holds.
type usage struct {
	goroutines  int
	descriptors int   // but for pipes
	pipes       int   // ends of pipes; a few are kept for splicing
	memory      int64 // bytes resident
	cpu         time.Duration
	names       []string // of the descriptors
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d+%d descriptors, %d MiB, %s of CPU", u.goroutines, u.descriptors, u.pipes, u.memory>>20, u.cpu)
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

// usage looks at the process. It wants -runtime-metrics.
func (s *toxi) usage() usage {
	s.t.Helper()
	// A connection for this alone, which is counted each time.
	s.http.CloseIdleConnections()
	m := goroutines.FindSubmatch(s.must("GET", "/metrics", ""))
	if m == nil {
		s.t.Fatal("no go_goroutines in /metrics")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		s.t.Fatal(err)
	}
	u := s.resources()
	u.goroutines = n
	return u
}

// resources is usage without what only the process knows.
func (s *toxi) resources() usage {
	s.t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		s.t.Fatal(err)
	}
	statm, err := os.ReadFile(filepath.Join(dir, "statm"))
	if err != nil {
		s.t.Fatal(err)
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		s.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := int64(0)
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	u := usage{memory: pages * int64(os.Getpagesize()), cpu: time.Duration(ticks) * 10 * time.Millisecond}
	for _, f := range fds {
		to, err := os.Readlink(filepath.Join(dir, "fd", f.Name()))
		u.names = append(u.names, f.Name()+" "+to)
		switch {
		case err != nil: // closed since
		case strings.HasPrefix(to, "pipe:"):
			u.pipes++
		default:
			u.descriptors++
		}
	}
	return u
}

// period is the length after which a text repeats itself; no multiple of what
// anybody moves at a time.
const period = 1<<20 + 7

var noise = sync.OnceValue(func() []byte {
	var seed [32]byte
	b := make([]byte, period, period+maxText)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return append(b, b[:maxText]...)
})

const maxText = 64 << 10

// text is n bytes, at most maxText, at an offset of the endless text of a seed.
func text(seed, offset uint64, n int) []byte {
	at := int((seed*7_777_777 + offset) % period)
	return noise()[at : at+n]
}

// follow reads c to its end, and checks that it is the text of a seed from an
// offset on. seen gets every piece that was good.
func follow(c io.Reader, seed, offset uint64, b []byte, seen func(n int) error) (total uint64, err error) {
	for {
		n, err := c.Read(b)
		if want := text(seed, offset+total, n); !bytes.Equal(b[:n], want) {
			i := 0
			for b[i] == want[i] {
				i++
			}
			return total, fmt.Errorf("byte %d is another: % x, want % x", total+uint64(i), b[i:min(n, i+16)], want[i:min(n, i+16)])
		}
		total += uint64(n)
		if n > 0 && seen != nil {
			if err := seen(n); err != nil {
				return total, err
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// upstream is a server that serve has the connections of; they end with the test.
func upstream(t testing.TB, addr string, serve func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[*net.TCPConn]bool{}
	closed := false
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c := conn.(*net.TCPConn)
			mu.Lock()
			open[c] = true
			if closed {
				_ = c.Close()
			}
			mu.Unlock()
			work.Go(func() {
				serve(c)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		closed = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return l.Addr().String()
}

// dialFrom connects from an address of this machine, so that no pair of
// addresses runs out of ports.
func dialFrom(ip, addr string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if ip != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(ip)}
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	return tcp, tcp.SetDeadline(time.Now().Add(2 * patience))
}

// problems are what went wrong in many places; the first ones are kept.
type problems struct {
	mu    sync.Mutex
	first []error
	count int
}

func (p *problems) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count++; len(p.first) < 20 {
		p.first = append(p.first, fmt.Errorf(format, args...))
	}
}

func (p *problems) report(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.first {
		t.Error(err)
	}
	if p.count > len(p.first) {
		t.Errorf("and %d more", p.count-len(p.first))
	}
}

// pause waits, unless done closes first.
func pause(timer *time.Timer, d time.Duration, done <-chan struct{}) bool {
	timer.Reset(d)
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// soaks tells whether there is time for long tests.
func soaks() bool { return os.Getenv("CHAOSCTL_SOAK") != "" }

// mayOpen skips a test where this process may not open so many descriptors.
func mayOpen(t *testing.T, n uint64) {
	t.Helper()
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || r.Cur < n {
		t.Skipf("%d descriptors are needed, %d allowed (%v): raise ulimit -n", n, r.Cur, err)
	}
}

// percentile of durations, in order afterwards.
func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(float64(len(d))*p))]
}
