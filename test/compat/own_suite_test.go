//go:build linux

package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inner are tests of those files that need no server, for they look at functions
// of the original only; and one that wants the version of a build that is none
// of a release, which the original's release does not have either.
const inner = `^(TestVersionEndpointReturnsVersion|TestProxyDiffers|TestNewToxic.*|TestLimitDataToxic.*|TestSlicerToxic.*|TestLatencyToxicCloseRace)$`

// TestOriginalsOwnTests runs the tests that the original's authors wrote against
// both servers. Some measure in milliseconds what a busy machine does not give
// them: one that fails may try again, by itself. Their ports are fixed, so that
// the sides take turns.
func TestOriginalsOwnTests(t *testing.T) {
	t.Parallel()
	for pkg := range own {
		dir := filepath.Join(built.own, pkg)
		for _, who := range []side{original, ours} {
			t.Run(string(who)+" "+map[string]string{".": "API and proxies", "toxics": "toxics"}[pkg], func(t *testing.T) {
				if pkg != "." {
					t.Parallel()
				}
				line, err := json.Marshal(command(who))
				if err != nil {
					t.Fatal(err)
				}
				env := append(os.Environ(), "COMPAT_SERVER="+string(line), "LOG_LEVEL=error")
				good, left := ownRun(t, dir, env, "")
				for range 3 {
					if len(left) > 0 {
						var more int
						more, left = ownRun(t, dir, env, "^("+strings.Join(left, "|")+")$")
						good += more
					}
				}
				if len(left) > 0 {
					t.Errorf("the original's own tests fail: %s", strings.Join(left, ", "))
				}
				tell(t, "the original's own tests, %s: %d passed, %d failed", strings.ReplaceAll(filepath.Base(t.Name()), "_", " "), good, len(left))
			})
		}
	}
}

var (
	ownPassed = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)
	ownFailed = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)
)

// ownRun runs tests of the binary, all for "", and returns how many passed and
// which failed.
func ownRun(t *testing.T, dir string, env []string, only string) (passed int, left []string) {
	t.Helper()
	args := []string{"-test.v", "-test.timeout=60s", "-test.skip=" + inner}
	if only != "" {
		args = append(args, "-test.run="+only)
	}
	cmd := exec.Command(filepath.Join(dir, "own.test"), args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	good := ownPassed.FindAllSubmatch(out, -1)
	for _, m := range ownFailed.FindAllSubmatch(out, -1) {
		left = append(left, string(m[1]))
	}
	if err != nil && len(left) == 0 || len(good)+len(left) == 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	names := ""
	for _, g := range good {
		names += " " + string(g[1])
	}
	t.Logf("%d passed, %d failed %v:%s", len(good), len(left), left, names)
	if len(left) > 0 {
		t.Logf("%s", brief(out))
	}
	return len(good), left
}

// brief is what is between a failed test's name and the next one.
func brief(out []byte) string {
	var b strings.Builder
	on := false
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "=== RUN"), strings.HasPrefix(line, "--- PASS"):
			on = strings.HasPrefix(line, "=== RUN")
			if on {
				continue
			}
		case strings.HasPrefix(line, "--- FAIL"):
			on = true
		}
		if on && !strings.HasPrefix(line, "{") {
			b.WriteString(line)
		}
	}
	return fmt.Sprintf("%.4000s", b.String())
}
