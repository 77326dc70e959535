//go:build !windows

package probe

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// TestCommandGroup: at the timeout the command's children die with it.
func TestCommandGroup(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	s := Take(t.Context(), experiment.Probe{Timeout: fault.Duration(2 * time.Second),
		Command: &experiment.CommandProbe{Argv: []string{self, "command:hang", file}}}, Env{Commands: true})
	if s.OK || s.Detail != "timed out after 2s" || time.Since(start) > 30*time.Second {
		t.Errorf("%+v after %s", s, time.Since(start))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the child %d is alive", pid)
}

// zombie tells whether the process is dead and unreaped, which is its new
// parent's business.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return os.IsNotExist(err)
	}
	for i := len(stat) - 1; i > 1; i-- {
		if stat[i] == ')' {
			return i+2 < len(stat) && stat[i+2] == 'Z'
		}
	}
	return false
}
