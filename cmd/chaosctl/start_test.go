//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Starting costs every command. Nothing that the binary links may build large
// tables when it starts: the bytes that package initialisation allocates are
// counted, which unlike time are the same on every machine.
func TestStartIsLight(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "chaosctl")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("version: %v\n%s", err, out)
	}
	const one, all = 512 << 10, 2 << 20
	sum := 0
	found := regexp.MustCompile(`(?m)^init (\S+) @.* clock, (\d+) bytes`).FindAllSubmatch(out, -1)
	for _, m := range found {
		n, err := strconv.Atoi(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		if sum += n; n > one {
			t.Errorf("%s allocates %d bytes when the program starts, more than %d", m[1], n, one)
		}
	}
	if sum > all || len(found) == 0 {
		t.Errorf("%d packages allocate %d bytes when the program starts, more than %d", len(found), sum, all)
	}
	t.Logf("%d packages allocate %d bytes", len(found), sum)
}
