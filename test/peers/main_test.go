// Package peers holds chaosctl against clients and servers that others have made,
// through the binary that people run. It is a module of its own, so that none of
// them enters the one that people build.
//
//	go test -count=1 ./...                            # builds chaosctl first
//	CHAOSCTL_BIN=/path/to/chaosctl go test -count=1   # with a binary that exists already
//
// Each test starts a server of its own on loopback, with a topology of its own.
package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// chaosctl is the binary under test.
var chaosctl string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if chaosctl = os.Getenv("CHAOSCTL_BIN"); chaosctl == "" {
		chaosctl = filepath.Join(dir, "chaosctl")
		build := exec.Command("go", "build", "-trimpath", "-o", chaosctl, "./cmd/chaosctl")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build chaosctl: %v\n%s", err, out)
			return 1
		}
	}
	if code = m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
