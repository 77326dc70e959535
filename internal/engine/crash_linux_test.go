package engine

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/process"
)

// The variables with which the test binary is told to be a victim.
const (
	victimVar = "CHAOSCTL_TEST_VICTIM" // "pid stateDir point"; point "loop" goes on until it is killed
	sleepVar  = "CHAOSCTL_TEST_SLEEP"  // be a process that does nothing
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(sleepVar) != "":
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the parent closes it
		os.Exit(0)
	case os.Getenv(victimVar) != "":
		os.Exit(victim(os.Getenv(victimVar)))
	}
	os.Exit(testMain(m))
}

// victim pauses and resumes a process and is killed at the named point.
func victim(spec string) int {
	var pid int
	var dir, point string
	if _, err := fmt.Sscan(spec, &pid, &dir, &point); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := pauseConfig(pid, dir)
	c.checkpoint = func(at string) {
		if at == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	e, err := New(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	for {
		in, err := e.Inject(context.Background(), pauseRequest())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if _, err := e.Lift(context.Background(), in.ID); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if point != "loop" {
			fmt.Fprintln(os.Stderr, "never came to the point "+point)
			return 1
		}
	}
}

func pauseConfig(pid int, dir string) Config {
	return Config{
		StateDir: dir,
		Drivers:  []driver.Driver{process.New()},
		Topology: &experiment.Topology{Spec: experiment.TopologySpec{
			Services: map[string]experiment.Service{"sleeper": {At: &experiment.At{PID: pid}}},
		}},
	}
}

func pauseRequest() experiment.InjectRequest {
	return experiment.InjectRequest{Faults: []fault.Fault{{Kind: fault.ProcPause.Name, Target: fault.Target{Service: "sleeper"}}}}
}

// sleeper is a process of our own to be paused.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sleepVar+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // a failed test must not leave it stopped
		_ = in.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journals", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func startVictim(t *testing.T, pid int, dir, point string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", victimVar, pid, dir, point))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

// The promise of HOUSE 1.3: killed at whatever point, no debt remains after the
// next start.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		point       string
		leftStopped bool // proves that the kill did come while the fault was in force
	}{
		{"before-intent", false}, {"after-intent", false}, {"after-apply", true},
		{"before-revert", true}, {"after-revert", false}, {"after-over", false},
	} {
		t.Run(tc.point, func(t *testing.T) {
			t.Parallel()
			pid, dir := sleeper(t), t.TempDir()
			cmd, _ := startVictim(t, pid, dir, tc.point)
			err := cmd.Wait()
			if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
				t.Fatalf("the victim was not killed at the point: %v", err)
			}
			if got := stopped(t, pid); got != tc.leftStopped {
				t.Fatalf("stopped after the kill: %v, want %v", got, tc.leftStopped)
			}
			e, err := New(context.Background(), pauseConfig(pid, dir))
			if err != nil {
				t.Fatal(err)
			}
			if stopped(t, pid) {
				t.Error("still stopped after the next start")
			}
			if tc.leftStopped && len(e.Recovered()) != 1 {
				t.Errorf("recovered %q, want one change", e.Recovered())
			}
			if left := journals(t, dir); len(left) > 0 {
				t.Errorf("journals left: %q", left)
			}
			if err := e.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Kills at random moments; 20 of them in `make test`, hundreds in `make soak`.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	kills := 20
	if os.Getenv("CHAOSCTL_SOAK") != "" {
		kills = 400
	}
	pid, dir := sleeper(t), t.TempDir()
	caught := 0
	for i := range kills {
		cmd, out := startVictim(t, pid, dir, "loop")
		if line, err := out.ReadString('\n'); line != "ready\n" {
			t.Fatalf("victim %d: %q %v", i, line, err)
		}
		timer := time.NewTimer(time.Duration(rand.IntN(8000)) * time.Microsecond)
		<-timer.C
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if stopped(t, pid) {
			caught++
		}
		// Every second time the victim's own successor recovers, else a sweep.
		if i%2 == 0 {
			r, err := Sweep(context.Background(), dir, []driver.Driver{process.New()})
			if err != nil || len(r.Stuck) > 0 {
				t.Fatalf("sweep %d: %+v %v", i, r, err)
			}
			if stopped(t, pid) {
				t.Fatalf("kill %d: still stopped after the sweep", i)
			}
			if left := journals(t, dir); len(left) > 0 {
				t.Fatalf("kill %d: journals left: %q", i, left)
			}
		}
	}
	t.Logf("%d of %d kills came while the process was stopped", caught, kills)
}

// A journal of a process that lives is nobody's debt.
func TestSweepSparesTheLiving(t *testing.T) {
	t.Parallel()
	pid, dir := sleeper(t), t.TempDir()
	e, err := New(context.Background(), pauseConfig(pid, dir))
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.Inject(context.Background(), pauseRequest())
	if err != nil {
		t.Fatal(err)
	}
	if !stopped(t, pid) {
		t.Fatal("not paused")
	}
	r, err := Sweep(context.Background(), dir, []driver.Driver{process.New()})
	if err != nil || len(r.Reverted)+len(r.Stuck) > 0 || !stopped(t, pid) {
		t.Fatalf("swept what is owned: %+v %v", r, err)
	}
	if _, err := e.Lift(context.Background(), in.ID); err != nil || stopped(t, pid) {
		t.Fatalf("lift: %v, stopped %v", err, stopped(t, pid))
	}
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
