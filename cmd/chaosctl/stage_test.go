//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
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
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of the scripts; it is never what makes one pass.
const patience = 30 * time.Second

type stageKey struct{}

// stage is what a script has running: processes, servers and one HTTP client,
// which keeps its connections.
type stage struct {
	client *http.Client

	mu       sync.Mutex
	procs    map[string]*proc
	backends map[string]*backend
}

type backend struct {
	*httptest.Server
	hits  atomic.Int64
	delay atomic.Int64 // nanoseconds

	heals time.Duration
	mu    sync.Mutex
	last  time.Time // request
	well  time.Time // from then on
}

// sick notes a request and tells whether it finds the backend ill.
func (b *backend) sick() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.heals > 0 && !b.last.IsZero() && now.Sub(b.last) > 2*time.Second {
		b.well = now.Add(b.heals)
	}
	b.last = now
	return now.Before(b.well)
}

func newStage(*testscript.Env) *stage {
	return &stage{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: patience},
		procs:  map[string]*proc{}, backends: map[string]*backend{},
	}
}

func (s *stage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		p.kill()
	}
	s.client.CloseIdleConnections()
	for _, b := range s.backends {
		b.CloseClientConnections()
		b.Close()
	}
}

func of(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// proc is a process under way whose output is kept.
type proc struct {
	cmd   *exec.Cmd
	stdin io.Closer

	mu     sync.Mutex
	out    bytes.Buffer // stdout and stderr
	stdout bytes.Buffer
	grown  chan struct{} // closed and replaced when out grows
	done   chan struct{}
}

type tee struct {
	p  *proc
	to *bytes.Buffer
}

func (t tee) Write(b []byte) (int, error) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.p.out.Write(b)
	if t.to != nil {
		t.to.Write(b)
	}
	close(t.p.grown)
	t.p.grown = make(chan struct{})
	return len(b), nil
}

func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.stdin.Close()
	<-p.done
}

// await waits until the output fits.
func (p *proc) await(re *regexp.Regexp) ([]string, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		p.mu.Lock()
		m, text, grown := re.FindStringSubmatch(p.out.String()), p.out.String(), p.grown
		p.mu.Unlock()
		if m != nil {
			return m, nil
		}
		select {
		case <-grown:
		case <-p.done:
			p.mu.Lock()
			m, text = re.FindStringSubmatch(p.out.String()), p.out.String()
			p.mu.Unlock()
			if m != nil {
				return m, nil
			}
			return nil, fmt.Errorf("ended without %q:\n%s", re, text)
		case <-limit.C:
			return nil, fmt.Errorf("no %q in time:\n%s", re, text)
		}
	}
}

// cmdExits runs a program that must end with one exit code:
//
//	exits 2 chaosctl serve
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ee *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &ee):
		got = ee.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// cmdStart starts a program and waits for its output to fit; named groups
// become variables:
//
//	start server 'api (?P<API>\S+),' chaosctl serve --topology t.yaml
//
// NAME.pid holds its pid as the variable NAME_PID.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME REGEXP PROGRAM ARG...")
	}
	name, s := args[0], of(ts)
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, k := range []string{"PATH", "HOME", "USER", "WORK", "TMPDIR", "CHAOSCTL_STATE_DIR", "CHAOSCTL_SERVER", "CHAOSCTL_TOKEN_FILE", "GOCOVERDIR"} {
		if v := ts.Getenv(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	p := &proc{cmd: cmd, grown: make(chan struct{}), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = tee{p, &p.stdout}, tee{p, nil}
	p.stdin, err = cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	s.procs[name] = p
	s.mu.Unlock()
	ts.Setenv(strings.ToUpper(name)+"_PID", strconv.Itoa(cmd.Process.Pid))
	setGroups(ts, re, p)
}

func setGroups(ts *testscript.TestScript, re *regexp.Regexp, p *proc) {
	m, err := p.await(re)
	ts.Check(err)
	for i, group := range re.SubexpNames() {
		if group != "" {
			ts.Setenv(group, m[i])
		}
	}
}

// cmdAwait waits until the output of a program under way fits.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	setGroups(ts, re, find(ts, args[0]))
}

func find(ts *testscript.TestScript, name string) *proc {
	s := of(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.procs[name]
	if !ok {
		ts.Fatalf("nothing was started as %s", name)
	}
	return p
}

// cmdEnd signals a program and waits for it; CODE, if given, must be its exit
// code. Its output is in NAME.out, that of stdout alone in NAME.stdout:
//
//	end server TERM 0
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: end NAME INT|TERM|QUIT|KILL|TWICE|NONE [CODE]")
	}
	p := find(ts, args[0])
	if sig := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "QUIT": syscall.SIGQUIT, "KILL": os.Kill}[args[1]]; sig != nil {
		ts.Check(p.cmd.Process.Signal(sig))
	}
	if args[1] == "TWICE" { // once it has heard the first
		ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
		_, err := p.await(regexp.MustCompile("stopping"))
		ts.Check(err)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for again := true; again; {
			select {
			case <-p.done:
				again = false
			case <-tick.C: // it may have been too early
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s goes on after %s:\n%s", args[0], args[1], p.out.String())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), p.out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stdout"), p.stdout.Bytes(), 0o600))
	if len(args) > 2 {
		if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[2] {
			ts.Fatalf("%s ended with %s, want %s:\n%s", args[0], got, args[2], p.out.String())
		}
	}
}

// cmdBackend starts an HTTP server that answers 200, or changes how long it
// takes. NAME, in capitals, becomes its address:
//
//	backend AUTH
//	backend AUTH 50ms
//	backend AUTH heals 3s
//
// The last one falls ill when nobody calls for 2 s, and then needs so long
// from the next request on.
func cmdBackend(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if neg || len(args) < 1 {
		ts.Fatalf("usage: backend NAME [[heals] TIME]")
	}
	s.mu.Lock()
	b := s.backends[args[0]]
	if b == nil {
		b = &backend{}
		b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.hits.Add(1)
			if b.sick() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			select {
			case <-time.After(time.Duration(b.delay.Load())):
				_, _ = io.WriteString(w, "ok\n")
			case <-r.Context().Done():
			}
		}))
		s.backends[args[0]] = b
	}
	s.mu.Unlock()
	if len(args) > 1 {
		d, err := time.ParseDuration(args[len(args)-1])
		ts.Check(err)
		if len(args) == 3 {
			b.mu.Lock()
			b.heals, b.last = d, time.Time{}
			b.mu.Unlock()
		} else {
			b.delay.Store(int64(d))
		}
	}
	ts.Setenv(args[0], b.Listener.Addr().String())
}

// cmdCount checks how many requests reached a backend: count AUTH 3.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: count NAME N")
	}
	if got := strconv.FormatInt(of(ts).backends[args[0]].hits.Load(), 10); (got == args[1]) == neg {
		ts.Fatalf("%s requests reached %s", got, args[0])
	}
}

// cmdAnswers asks a URL, over connections that are kept, and checks the status
// and how long it took:
//
//	answers 200 http://$AUTH_RELAY/ slower 500ms
//	answers 200 http://$AUTH_RELAY/ faster 400ms
func cmdAnswers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && len(args) != 4 {
		ts.Fatalf("usage: answers STATUS URL [slower|faster D]")
	}
	start := time.Now()
	resp, err := of(ts).client.Get(args[1])
	ts.Check(err)
	_, err = io.Copy(io.Discard, resp.Body)
	took := time.Since(start)
	ts.Check(errors.Join(err, resp.Body.Close()))
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s answered %s, want %s", args[1], got, args[0])
	}
	if len(args) == 4 {
		d, err := time.ParseDuration(args[3])
		ts.Check(err)
		if slower := took >= d; slower != (args[2] == "slower") {
			ts.Fatalf("%s took %s, which is not %s than %s", args[1], took, args[2], d)
		}
	}
}

// cmdFails asks a URL that must not answer, within a time: fails http://... 300ms.
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fails URL TIME")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: d}).Get(args[0])
	if err == nil {
		_ = resp.Body.Close()
		ts.Fatalf("%s answered %s", args[0], resp.Status)
	}
}

// cmdJSON looks into JSON at a path of names and indices; == compares, as stores
// the value in a variable, len compares the length of a list:
//
//	json stdout verdict.exit == 3
//	json stdout id as ID
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 && len(args) != 2 {
		ts.Fatalf("usage: json FILE PATH [==|as|len VALUE]")
	}
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
		ts.Fatalf("%s is not JSON: %v\n%s", args[0], err, ts.ReadFile(args[0]))
	}
	for _, part := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: there is no %s in a list of %d", args[1], part, len(at))
			}
			v = at[i]
		default:
			if part != "" {
				ts.Fatalf("%s: there is no %s in %v", args[1], part, v)
			}
		}
	}
	if len(args) == 2 {
		if (v == nil) != neg {
			ts.Fatalf("%s is %v", args[1], v)
		}
		return
	}
	text := fmt.Sprint(v)
	switch args[2] {
	case "as":
		ts.Setenv(args[3], text)
		return
	case "len":
		list, _ := v.([]any)
		text = strconv.Itoa(len(list))
	}
	if (text == args[3]) == neg {
		ts.Fatalf("%s is %s, not %s", args[1], text, args[3])
	}
}

// cmdPort stores the address of a port that is free, or with -busy one that
// stays taken until the script ends.
func cmdPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: port [-busy] VAR...")
	}
	busy := args[0] == "-busy"
	if busy {
		args = args[1:]
	}
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		if busy {
			ts.Defer(func() { _ = l.Close() })
		} else {
			defer l.Close() // all of them differ
		}
	}
}

// cmdState waits until a process is in a state of /proc/PID/stat: state $PID T.
func cmdState(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: state PID LETTERS")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		b, err := os.ReadFile(filepath.Join("/proc", args[0], "stat"))
		ts.Check(err)
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if strings.Contains(args[1], fields[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			ts.Fatalf("process %s is in state %s, not %s", args[0], fields[0], args[1])
		}
	}
}

// cmdFill puts variables in the place of @NAME@ in files.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE...")
	}
	name := regexp.MustCompile(`@[A-Z_]+@`)
	for _, f := range args {
		text := name.ReplaceAllStringFunc(ts.ReadFile(f), func(m string) string {
			v := ts.Getenv(strings.Trim(m, "@"))
			if v == "" {
				ts.Fatalf("%s: %s is not set", f, m)
			}
			return v
		})
		ts.Check(os.WriteFile(ts.MkAbs(f), []byte(text), 0o600))
	}
}

// cmdUntil asks a URL until it answers with a status: until 200 http://...
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until STATUS URL")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		resp, err := of(ts).client.Get(args[1])
		if err == nil {
			_ = resp.Body.Close()
			if strconv.Itoa(resp.StatusCode) == args[0] {
				return
			}
		}
		select {
		case <-tick.C:
		case <-limit.C:
			ts.Fatalf("%s never answered %s", args[1], args[0])
		}
	}
}

// cmdHold opens a TCP connection that stays open until the script ends.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold ADDRESS")
	}
	c, err := net.Dial("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { _ = c.Close() })
}

// cmdStorm sends requests one after the other. VAR becomes the sequence of the
// last digits of their statuses, VAR_N how many of them were N:
//
//	storm FIRST 1000 http://$RELAY/ 503
func cmdStorm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: storm VAR COUNT URL STATUS")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var seq strings.Builder
	count := 0
	for range n {
		resp, err := of(ts).client.Get(args[2])
		ts.Check(err)
		_, _ = io.Copy(io.Discard, resp.Body)
		ts.Check(resp.Body.Close())
		status := strconv.Itoa(resp.StatusCode)
		if status == args[3] {
			count++
		}
		seq.WriteString(status[2:])
	}
	ts.Setenv(args[0], seq.String())
	ts.Setenv(args[0]+"_N", strconv.Itoa(count))
}

// cmdWithin checks a number or a duration: within $N 150 250.
func cmdWithin(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: within N LEAST MOST")
	}
	var v [3]float64
	for i, a := range args {
		f, err := strconv.ParseFloat(a, 64)
		if d, derr := time.ParseDuration(a); derr == nil {
			f, err = d.Seconds(), nil
		}
		ts.Check(err)
		v[i] = f
	}
	if (v[0] >= v[1] && v[0] <= v[2]) == neg {
		ts.Fatalf("%s, from %s to %s", args[0], args[1], args[2])
	}
}

// cmdSame compares two texts: same $A $B.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same A B")
	}
	if (args[0] == args[1]) == neg {
		ts.Fatalf("%s\n%s", args[0], args[1])
	}
}
