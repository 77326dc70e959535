//go:build linux

package compat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCLI drives toxiproxy-cli, as built from the original's module, and holds
// what it prints and its exit code against what they are with the original's
// server.
func TestCLI(t *testing.T) {
	t.Parallel()
	up := echo(t)
	lines := strings.Split(strings.TrimSpace(`
list
create -l 127.0.0.1:{p1} -u {echo} redis
create --listen 127.0.0.1:{p2} --upstream 127.0.0.1:1 mysql
c -l localhost:{p3} -u 127.0.0.1:1 third
create -l 127.0.0.1:{p1} -u 127.0.0.1:1 redis
create -l 127.0.0.1:{p1} -u 127.0.0.1:1 taken
create -l nonsense -u 127.0.0.1:1 wrong
create -u 127.0.0.1:1 nolisten
create -l 127.0.0.1:0 noupstream
create -l 127.0.0.1:0 -u 127.0.0.1:1
list
ls
l
inspect redis
i none
inspect
toggle mysql
list
toggle mysql
tog none
toxic add -t latency -a latency=100 -a jitter=50 redis
toxic add -n lat2 -t latency -a latency=10 --upstream --toxicity 0.5 redis
toxic add --toxicName bw --type bandwidth --attribute rate=1000 --downstream redis
t a -n sl -t slicer -a average_size=64 -a size_variation=32 -a delay=10 redis
toxic add -n sc -t slow_close -a delay=10 redis
toxic add -n to -t timeout -a timeout=10 --tox 0 redis
toxic add -n rp -t reset_peer -a timeout=2000 redis
toxic add -n ld -t limit_data -a bytes=100000 -u redis
toxic add -n no -t noop redis
toxic add -t latency redis
toxic add -n x -t nonsense redis
toxic add -n x -t latency none
toxic add -n x redis
toxic add -n x -t latency -u -d redis
toxic add -n x -t latency --toxicity 2 redis
toxic add -n x -t latency -a latency=long redis
toxic add -n half -t latency -a latency=0.5 redis
toxic add -n third -t noop --toxicity 0.333 redis
toxic add -n nokey -t latency -a latency redis
inspect redis
list
toxic update -n lat2 -a latency=20 redis
toxic update -n latency_downstream --toxicity 0.7 -a jitter=20 redis
toxic update -n none -a latency=1 redis
toxic update -n lat2 -a latency=long redis
toxic update -n lat2 -a latency=1 none
inspect redis
toxic remove -n lat2 redis
toxic delete -n bw redis
t r -n sl redis
t d -n none redis
toxic remove -n lat2 none
inspect redis
delete mysql
d none
delete
list
`), "\n")
	var said [2][]string
	for i, s := range pair(t) {
		said[i] = cliSession(t, s, up, lines)
	}
	for i, line := range lines {
		if said[0][i] != said[1][i] {
			t.Errorf("toxiproxy-cli %s\n--- original\n%s\n--- ours\n%s", line, said[0][i], said[1][i])
		}
	}
	t.Logf("for example\n%s", said[1][39])
	tell(t, "toxiproxy-cli: %d commands print and end alike", len(lines))
}

// cliSession runs the lines and returns what each printed and its exit code.
func cliSession(t *testing.T, s *server, up string, lines []string) (said []string) {
	t.Helper()
	m := newMask(s)
	for i, line := range lines {
		line = placeholder.ReplaceAllStringFunc(line, func(name string) string { return m.port(t, name) })
		line = strings.ReplaceAll(line, "{echo}", up)
		// By the flag and by the environment in turn.
		args, env := strings.Fields(line), []string{}
		if i%2 == 0 {
			args = append([]string{"-h", s.addr}, args...)
		} else {
			env = append(env, "TOXIPROXY_URL=http://"+s.addr)
		}
		cmd := exec.Command(built.cli, args...)
		cmd.Env = append(env, "PATH="+os.Getenv("PATH"))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		said = append(said, sameWords(m.hide(strings.ReplaceAll(fmt.Sprintf("%s%s(%v)", &stdout, &stderr, err), up, "{echo}"))))
		if strings.HasPrefix(lines[i], "create -l 127.0.0.1:{p1} -u {echo}") {
			if got := speak("127.0.0.1:"+m.port(t, "{p1}"), "hello"); got != "hello" {
				t.Errorf("%s: through the proxy: %q", s.side, got)
			}
		}
	}
	return said
}
