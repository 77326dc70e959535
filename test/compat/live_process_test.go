//go:build linux

package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// answered tells whether an API call is answered in a time that is short for a
// person and long for a machine.
func (r *rig) answered(name, method, path, body string) {
	r.Helper()
	a, err := r.within(1500*ms, method, path, body)
	if err != nil {
		r.saw(name, "no answer")
		return
	}
	r.sawf(name, "%d", a.status)
}

// stuckScenarios are where the original hangs or dies: servers of their own, like
// all.
func stuckScenarios() []scenario {
	const hangs = "the original's API waits for the data"
	const crash = "the original dies of it"
	died := func(r *rig) {
		r.Helper()
		select {
		case <-r.ended:
		case <-time.After(500 * ms):
		}
		r.sawf("the server lives", "%v", r.alive())
	}
	// poison puts on a toxic and lets data meet it.
	poison := func(body string) func(r *rig) {
		return func(r *rig) {
			f := r.front("p")
			a, err := r.try("POST", "/proxies/p/toxics", body)
			if err != nil {
				r.Fatal(err)
			}
			r.sawf("status", "%d", a.status)
			l := f.connect()
			// It depends on chance for some: once is enough where nothing dies.
			for n := 0; n == 0 || n < 100 && (r.side == original || built.self) && r.alive(); n++ {
				_, werr := l.server.Write([]byte(payload(1000)))
				_ = l.client.SetReadDeadline(time.Now().Add(patience))
				if _, err := l.client.Read(make([]byte, 1000)); err != nil && r.side == ours && !built.self {
					r.Errorf("data does not pass: %v, %v", werr, err)
				}
			}
			died(r)
		}
	}
	kills := func(ok string) map[string]declared {
		return map[string]declared{"status": {"said at once", "200", ok}, "the server lives": {crash, "false", "true"}}
	}
	return []scenario{
		{name: "a client that does not read", differs: map[string]declared{
			"add a toxic":  {hangs, "no answer", "200"},
			"list":         {hangs, "no answer", "200"},
			"look at it":   {hangs, "no answer", "200"},
			"remove it":    {hangs, "no answer", "204"},
			"another list": {hangs, "no answer", "200"},
		}, run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			if err := l.client.SetReadBuffer(4096); err != nil {
				r.Fatal(err)
			}
			r.fill(l.server)
			r.answered("add a toxic", "POST", "/proxies/p/toxics", `{"name":"t","type":"latency","attributes":{"latency":10}}`)
			r.answered("list", "GET", "/proxies", "")
			r.answered("look at it", "GET", "/proxies/p", "")
			r.answered("remove it", "DELETE", "/proxies/p/toxics/t", "")
			r.answered("another list", "GET", "/proxies/p/toxics", "")
			_ = l.client.Close() // free the original
		}},
		{name: "an upstream that does not answer", differs: map[string]declared{
			"disable":      {hangs, "no answer", "200"},
			"delete":       {hangs, "no answer", "204"},
			"make another": {hangs, "no answer", "201"},
			"list":         {hangs, "no answer", "200"},
		}, run: func(r *rig) {
			addr := r.proxy(r, "p", r.deaf())
			r.dial(addr)
			time.Sleep(100 * ms) // it must have begun to connect
			r.answered("disable", "POST", "/proxies/p", `{"enabled":false}`)
			r.answered("delete", "DELETE", "/proxies/p", "")
			r.answered("make another", "POST", "/proxies", `{"name":"q","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`)
			r.answered("list", "GET", "/proxies", "")
		}},
		{name: "crash: slicer of size 0", differs: kills("400"), run: poison(`{"type":"slicer","attributes":{"average_size":0}}`)},
		{name: "crash: slicer with nothing said", differs: kills("400"), run: poison(`{"type":"slicer"}`)},
		{name: "crash: slicer with more variation than size", differs: kills("400"), run: poison(`{"type":"slicer","attributes":{"average_size":10,"size_variation":100}}`)},
		{name: "crash: bandwidth below 0", differs: kills("400"), run: poison(`{"type":"bandwidth","attributes":{"rate":-1}}`)},
		{name: "crash: a jitter beyond all bounds", differs: kills("400"), run: poison(`{"type":"latency","attributes":{"latency":1,"jitter":4611686018427387904}}`)},
	}
}

// fill writes until nothing more goes in, for a while.
func (r *rig) fill(c *net.TCPConn) {
	r.Helper()
	block := make([]byte, 1<<16)
	for idle := 0; idle < 4; {
		if err := c.SetWriteDeadline(time.Now().Add(150 * ms)); err != nil {
			r.Fatal(err)
		}
		n, err := c.Write(block)
		if err != nil && ending(err) != "open" {
			r.Fatal(err)
		}
		idle++
		if n > 0 {
			idle = 0
		}
	}
}

// deaf is an address where connecting hangs: its backlog is full.
func (r *rig) deaf() string {
	r.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		r.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		r.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		r.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 200*ms)
		if err != nil {
			return addr
		}
		r.Cleanup(func() { _ = c.Close() })
	}
	r.Fatal("the backlog is never full")
	return ""
}

var (
	metricName = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	listenPort = regexp.MustCompile(`(listener|upstream)="127\.0\.0\.1:\d+"`)
)

func processScenarios() []scenario {
	const broken = "a configuration that cannot be had is said at once, and nothing is started: the original runs on without it"
	return []scenario{
		{name: "metrics of proxies", args: []string{"-proxy-metrics"}, run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			r.send(l.client, payload(100))
			r.receive(l.server, 100)
			r.send(l.server, payload(250))
			r.receive(l.client, 250)
			r.shut(l.server)
			r.rest(l.client)
			r.shut(l.client)
			var lines []string
			for deadline := time.Now().Add(patience); len(lines) < 4 && time.Now().Before(deadline); {
				lines = nil
				for line := range strings.Lines(r.do(r, "GET", "/metrics", "")) {
					if strings.HasPrefix(line, "toxiproxy_proxy_") && !strings.HasSuffix(line, " 0\n") {
						lines = append(lines, listenPort.ReplaceAllString(strings.TrimSpace(line), `$1="(address)"`))
					}
				}
			}
			slices.Sort(lines)
			for i, line := range lines {
				r.sawf(fmt.Sprintf("line %d", i), "%s", line)
			}
			r.sawf("families", "%v", families(r))
		}},
		{name: "metrics of the process", args: []string{"-runtime-metrics"}, run: func(r *rig) {
			have := strings.Join(families(r), "\n")
			for _, name := range []string{"go_goroutines", "go_gc_duration_seconds", "go_info", "go_memstats_alloc_bytes", "go_threads", "go_build_info", "process_cpu_seconds_total", "process_open_fds",
				"process_resident_memory_bytes", "process_start_time_seconds", "promhttp_metric_handler_errors_total", "toxiproxy_proxy_sent_bytes_total"} {
				r.sawf(name, "%v", strings.Contains(have, name+" "))
			}
		}},
		{name: "metrics of neither", run: func(r *rig) {
			a, err := r.try("GET", "/metrics", "")
			r.sawf("status", "%d %v", a.status, err)
		}},
		{name: "a configuration file", run: func(r *rig) {
			up := r.listen()
			port := freePort(r)
			file := filepath.Join(r.TempDir(), "c.json")
			text := fmt.Sprintf(`[{"name":"a","listen":"127.0.0.1:%s","upstream":%q,"enabled":true},{"name":"b","listen":"127.0.0.1:0","upstream":"x:1","enabled":false}]`, port, up.Addr())
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				r.Fatal(err)
			}
			s := start(r, r.side, "-config", file)
			r.sawf("proxies", "%s", strings.NewReplacer(port, "(port)", up.Addr().String(), "(upstream)").Replace(s.do(r, "GET", "/proxies", "")))
			f := &front{r: r, name: "a", addr: "127.0.0.1:" + port, upstream: up}
			l := f.open()
			r.saw("bytes", r.carry(l.client, l.server, payload(1000)))
		}},
		{name: "configuration files that are none", differs: map[string]declared{
			"an empty file":      {broken, "runs with 0 proxies", "ends"},
			"text":               {broken, "runs with 0 proxies", "ends"},
			"no name":            {broken, "runs with 0 proxies", "ends"},
			"half of it is good": {broken, "runs with 1 proxies", "ends"},
			"a missing file":     {broken, "runs with 0 proxies", "ends"},
		}, run: func(r *rig) {
			for _, c := range [][2]string{{"an empty file", ""}, {"text", "nonsense"}, {"no name", `[{"upstream":"x:1"}]`},
				{"half of it is good", `[{"name":"a","listen":"127.0.0.1:0","upstream":"x:1"},{"name":"b","listen":"nonsense","upstream":"x:1"}]`}} {
				file := filepath.Join(r.TempDir(), "c.json")
				if err := os.WriteFile(file, []byte(c[1]), 0o600); err != nil {
					r.Fatal(err)
				}
				r.saw(c[0], r.configured(file))
			}
			r.saw("a missing file", r.configured(filepath.Join(r.TempDir(), "nowhere.json")))
		}},
		{name: "flags of either spelling", run: func(r *rig) {
			for _, dash := range []string{"-", "--"} {
				s := start(r, r.side, dash+"seed", "5", dash+"runtime-metrics=false", dash+"proxy-metrics=true")
				a, err := s.try("GET", "/metrics", "")
				r.sawf(dash, "%d %v", a.status, err)
			}
			for _, flag := range []string{"-version", "--version"} {
				line := command(r.side, flag)
				out, err := exec.Command(line[0], line[1:]...).Output()
				r.sawf(flag, "%s %v", regexp.MustCompile(`\d+\.\d+\.\d+\S*`).FindString(string(out)), err)
			}
			line := command(r.side, "-nonsense")
			err := exec.Command(line[0], line[1:]...).Run()
			r.sawf("a flag that is none", "%v", err)
		}},
		{name: "SIGTERM with open connections", run: func(r *rig) { r.stop(syscall.SIGTERM) }},
		{name: "SIGINT with open connections", run: func(r *rig) { r.stop(syscall.SIGINT) }},
		{name: "the port of the API is taken", differs: map[string]declared{
			"the process": {"the original stays, without an API", "stays", "ends"},
		}, run: func(r *rig) {
			_, port, _ := net.SplitHostPort(r.addr)
			line := command(r.side, "-host", "127.0.0.1", "-port", port)
			cmd := exec.Command(line[0], line[1:]...)
			if err := cmd.Start(); err != nil {
				r.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			limit := patience
			if r.side == original || built.self {
				limit = time.Second
			}
			select {
			case <-ended:
				r.saw("the process", "ends")
			case <-time.After(limit):
				r.saw("the process", "stays")
				_ = cmd.Process.Kill()
				<-ended
			}
		}},
		{name: "help", run: func(r *rig) {
			for _, flag := range []string{"-h", "-help", "--help"} {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				line := command(r.side, flag)
				cmd := exec.CommandContext(ctx, line[0], line[1:]...)
				out, err := cmd.CombinedOutput()
				cancel()
				r.sawf(flag, "%v", err)
				for _, name := range []string{"-config", "-host", "-port", "-seed", "-proxy-metrics", "-runtime-metrics", "-version"} {
					r.sawf(flag+" names "+name, "%v", strings.Contains(string(out), name))
				}
			}
		}},
		{name: "the log is lines of JSON", run: func(r *rig) {
			f := r.front("p")
			f.open()
			wrong := 0
			for line := range strings.Lines(r.log.String()) {
				if !strings.HasPrefix(line, "{") {
					wrong++
				}
			}
			r.sawf("lines that are no objects", "%d", wrong)
			for _, key := range []string{`"level":"info"`, `"time":"`, `"message":"`} {
				for deadline := time.Now().Add(time.Second); !strings.Contains(r.log.String(), key) && time.Now().Before(deadline); {
					time.Sleep(5 * ms)
				}
				r.sawf(key, "%v", strings.Contains(r.log.String(), key))
			}
		}},
	}
}

// configured starts a server with a configuration and tells what it does.
func (r *rig) configured(file string) string {
	r.Helper()
	port := freePort(r)
	s, err := launch(r, r.side, net.JoinHostPort("127.0.0.1", port), []string{"-host", "127.0.0.1", "-port", port, "-config", file})
	if errors.Is(err, errGone) {
		return "ends"
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("runs with %d proxies", strings.Count(s.do(r, "GET", "/proxies", ""), `"name"`))
}

// families are the metrics that are there, with their types.
func families(r *rig) []string {
	var all []string
	for _, m := range metricName.FindAllStringSubmatch(r.do(r, "GET", "/metrics", ""), -1) {
		all = append(all, m[1]+" "+m[2])
	}
	slices.Sort(all)
	return all
}

// stop ends the server by a signal while a connection is open.
func (r *rig) stop(sig syscall.Signal) {
	l := r.front("p").connect()
	if err := syscall.Kill(r.pid, sig); err != nil {
		r.Fatal(err)
	}
	select {
	case <-r.ended:
		r.saw("the process", "ends")
	case <-time.After(patience):
		r.saw("the process", "stays")
	}
	_, err := io.ReadAll(l.client)
	r.sawf("the connection is gone", "%v", ending(err) != "open")
}
