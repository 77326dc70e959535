//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPythonClient runs the tests of sdk/python against this binary. What they
// skip is skipped here, by name.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the Python client is not tested: there is no python3")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import sys; sys.exit(sys.version_info < (3, 9))").CombinedOutput(); err != nil {
		t.Skipf("the Python client is not tested: %s is older than 3.9, or broken: %v %s", python, err, out)
	}
	chaosctl, err := exec.LookPath("chaosctl")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-B", "-W", "error", "-m", "unittest", "-v")
	cmd.Dir = filepath.Join("..", "..", "sdk", "python")
	cmd.Env = append(os.Environ(), "CHAOSCTL="+chaosctl, "CHAOSCTL_SERVER=", "CHAOSCTL_TOKEN_FILE=", "TMPDIR="+t.TempDir())
	cmd.WaitDelay = patience
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran, skipped := pythonResults(string(out))
	if ran == 0 {
		t.Fatalf("no tests ran:\n%s", out)
	}
	for name, why := range skipped {
		t.Run(name, func(t *testing.T) { t.Skip(why) })
	}
	t.Logf("%d Python tests passed, %d skipped", ran, len(skipped))
}

var pythonLine = regexp.MustCompile(`(?m)^(\w+) \(\S+\)(?:\n.*?)? \.\.\. (ok$|skipped (.*)$)`)

// pythonResults reads what unittest -v says: how many tests passed, and why the
// others were skipped.
func pythonResults(out string) (ran int, skipped map[string]string) {
	skipped = map[string]string{}
	for _, m := range pythonLine.FindAllStringSubmatch(out, -1) {
		if m[2] == "ok" {
			ran++
		} else {
			skipped[m[1]] = strings.Trim(m[3], `'"`)
		}
	}
	return ran, skipped
}

func TestPythonResults(t *testing.T) {
	t.Parallel()
	ran, skipped := pythonResults(`test_a (tests.test_x.T.test_a) ... ok
test_b (tests.test_x.T.test_b)
What it says of itself. ... ok
test_c (tests.test_x.T)
What it says. ... skipped 'it cannot'
test_d (tests.test_x.T.test_d) ... skipped "isn't here"
test_e (tests.test_x.T.test_e) ... FAIL

Ran 5 tests in 0.1s
`)
	if ran != 2 || len(skipped) != 2 || skipped["test_c"] != "it cannot" || skipped["test_d"] != "isn't here" {
		t.Errorf("%d passed, skipped %q", ran, skipped)
	}
}
