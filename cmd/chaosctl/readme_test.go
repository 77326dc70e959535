//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chaosctl/chaosctl/examples/shop"
)

// TestReadme runs every command of the README's `console` blocks, in their
// order, then those of its pipeline and those in its text that need no
// placeholder, from a folder that looks like a checkout whose shop is running.
//
//   - `$ chaosctl ...` and `$ ./bin/chaosctl ...` must end with exit code 0, or
//     with the N of a comment `# exit N` at the end of the line. `serve`, and
//     whatever ends with ` &`, goes on, and its ready line is awaited.
//   - `$ kill %1` ends what goes on; it must end with 0.
//   - `$ make ...`, `$ go ...`, `$ git ...` and `$ cd ...` are left to other tests.
//
// Any other command is a mistake. Lines without `$` are output and not compared.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if os.IsNotExist(err) {
		t.Skip("there is no README yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	commands := consoleCommands(string(text))
	if len(commands) == 0 {
		t.Fatal("the README has no console block with a command")
	}
	script, err := scriptOf(append(commands, otherCommands(string(text))...))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "readme.txtar")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	p := params(t, "")
	p.Files = []string{file}
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		if err := setup(e); err != nil {
			return err
		}
		return checkout(e)
	}
	testscript.Run(t, p)
}

// checkout starts the shop and writes its documents, with ports of their own.
func checkout(e *testscript.Env) error {
	at := map[string]string{}
	for _, edge := range shop.Edges() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		at[edge] = l.Addr().String()
		defer l.Close()
	}
	cfg := shop.Config{Routes: map[string]string{}, Options: shop.AsShipped()}
	for edge, addr := range at {
		cfg.Routes[edge] = addr
	}
	s, err := shop.Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	e.Defer(func() { _ = s.Close() })
	for name, addr := range s.Addresses() {
		at[name] = addr
	}
	topology, survives, falls := shop.Documents(at)
	dir := filepath.Join(e.WorkDir, "examples", "shop")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, doc := range map[string][]byte{"topology.yaml": topology, "survives-slow-auth.yaml": survives, "falls-without-db.yaml": falls} {
		if err := os.WriteFile(filepath.Join(dir, name), doc, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// consoleCommands returns the commands of the ```console blocks; a line that
// ends with a backslash goes on in the next.
func consoleCommands(text string) []string {
	var all []string
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		joined := strings.ReplaceAll(block[1], "\\\n", " ")
		for _, line := range strings.Split(joined, "\n") {
			if cmd, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, strings.TrimSpace(cmd))
			}
		}
	}
	return all
}

// otherCommands returns the commands of pipelines (`    - chaosctl ...`) and of
// the text (`chaosctl ...` in backquotes) but for those with a PLACEHOLDER or
// with flags left out, and for serve and demo, which have tests of their own.
func otherCommands(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?m)^ +- (chaosctl .*)$|`(chaosctl [^`\n]+)`").FindAllStringSubmatch(text, -1) {
		c := m[1] + m[2]
		word := strings.Fields(c)[1]
		if word == "serve" || word == "demo" || regexp.MustCompile(`\b[A-Z]{2,}\b|\b[A-Z]\b|…|\.\.\.`).MatchString(c) {
			continue
		}
		all = append(all, c)
	}
	return all
}

// scriptOf turns shell commands into a script.
func scriptOf(commands []string) (string, error) {
	var b strings.Builder
	jobs, ended := 0, 0
	for _, c := range commands {
		code := "0"
		if m := regexp.MustCompile(`\s+#\s*exit (\d)\s*$`).FindStringSubmatchIndex(c); m != nil {
			code, c = c[m[2]:m[3]], c[:m[0]]
		} else if cmd, _, ok := strings.Cut(c, "  #"); ok {
			c = strings.TrimSpace(cmd)
		}
		program, rest, _ := strings.Cut(c, " ")
		rest = strings.ReplaceAll(rest, `"`, `'`)
		switch {
		case program == "make" || program == "go" || program == "git" || program == "cd":
		case c == "kill %1" && jobs > ended:
			ended++
			fmt.Fprintf(&b, "end job%d TERM 0\n", ended)
		case strings.TrimPrefix(program, "./bin/") != "chaosctl":
			return "", fmt.Errorf("the README's command %q cannot be run by a test", c)
		case strings.HasSuffix(rest, "&"), strings.HasPrefix(rest, "serve "):
			jobs++
			fmt.Fprintf(&b, "start job%d 'ready: api (?P<CHAOSCTL_SERVER>\\S+),' chaosctl %s --api 127.0.0.1:0\n", jobs, strings.TrimSuffix(rest, "&"))
		default:
			fmt.Fprintf(&b, "exits %s chaosctl %s\n", code, rest)
		}
	}
	return b.String(), nil
}

func TestConsoleCommands(t *testing.T) {
	t.Parallel()
	got, err := scriptOf(consoleCommands("```console\n$ make demo\n$ chaosctl serve --topology t.yaml &\nready\n$ chaosctl run \\\n  x.yaml # exit 3\n$ ./bin/chaosctl plan \"a b\"  # look\n$ kill %1\n```\n```sh\n$ rm -r x\n```\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := "start job1 'ready: api (?P<CHAOSCTL_SERVER>\\S+),' chaosctl serve --topology t.yaml  --api 127.0.0.1:0\nexits 3 chaosctl run    x.yaml\nexits 0 chaosctl plan 'a b'\nend job1 TERM 0\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := scriptOf([]string{"curl http://127.0.0.1"}); err == nil {
		t.Error("a command that is not run passes")
	}
}
