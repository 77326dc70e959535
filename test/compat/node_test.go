//go:build linux

package compat

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestNodeClient drives toxiproxy-node-client from npm in all that it can do.
// The package is used as it comes. Its tarball carries no tests of its own, so
// the questions are ours, and the original has to answer them first.
func TestNodeClient(t *testing.T) {
	node := need(t, "node", "nodejs")
	dir, err := nodeDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		need(t, "npm", "npm")
		t.Fatal(err)
	}
	up := echo(t)
	script, err := filepath.Abs("testdata/node/client.test.cjs")
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range pair(t) {
		t.Run(string([]side{original, ours}[i]), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(node, "--test-reporter=tap", script)
			cmd.Env = append(os.Environ(), "CLIENT="+dir, "TOXIPROXY_URL=http://"+s.addr, "ECHO="+up)
			results(t, "toxiproxy-node-client", cmd, 23)
		})
	}
}

var (
	passed = regexp.MustCompile(`(?m)^ok \d+ - (.*)$`)
	failed = regexp.MustCompile(`(?m)^not ok \d+`)
)

// results runs a program that reports its tests as TAP; at least so many must
// pass and none fail.
func results(t *testing.T, client string, cmd *exec.Cmd, least int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	good, bad := passed.FindAllSubmatch(out, -1), failed.FindAll(out, -1)
	if err != nil || len(bad) > 0 || len(good) < least {
		t.Errorf("%v; %d passed, %d failed, at least %d should pass:\n%s", err, len(good), len(bad), least, out)
		return
	}
	tell(t, "%s on %s: %d passed, 0 failed", client, filepath.Base(t.Name()), len(good))
	for _, g := range good {
		t.Logf("ok: %s", g[1])
	}
}

// need finds a program that a Debian package brings. Without it the test is
// skipped, loudly, and where CI is set it fails.
func need(t *testing.T, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: install the package %s", program, debian)
	}
	t.Skipf("NOT TESTED: %s is missing; install the package %s", program, debian)
	return ""
}
