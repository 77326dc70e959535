package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
	"github.com/chaosctl/chaosctl/internal/linux"
)

// roleVar makes the re-executed test binary a child; its value is the role.
const roleVar = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "echo": // answers each line with the same line, until its input ends
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "nobody": // says what Plan says without any right to the pid given
		if err := syscall.Setuid(65534); err != nil && os.Getuid() == 0 {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		pid, _ := strconv.Atoi(os.Args[1])
		_, err := New().Plan(context.Background(), pauseOf(pid))
		fmt.Println(errors.Is(err, driver.ErrUnsupported), err)
	default:
		os.Exit(m.Run())
	}
}

// cases are the kinds' contract cases; each kind adds its own.
var cases = map[string]drivertest.Case{}

func contract(k *fault.Kind, c drivertest.Case) bool {
	cases[k.Name] = c
	return true
}

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Suite{
		New:   func(*testing.T) driver.Driver { return New() },
		Cases: cases,
	})
}

// target is a real process that answers.
type target struct {
	*exec.Cmd
	in      io.Writer
	answers chan string // closed when its output ends
	asked   int
	kill    func()
}

func startTarget(t *testing.T) *target {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"=echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &target{Cmd: cmd, in: in, answers: make(chan string, 1000)}
	done := make(chan struct{})
	go func() { // ends with the output; kill waits for it
		defer close(done)
		defer close(p.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.answers <- lines.Text()
		}
	}()
	p.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	t.Cleanup(p.kill)
	return p
}

// silent asks the process something and tells whether it fails to answer
// for a second.
func (p *target) silent(t *testing.T) bool {
	t.Helper()
	p.asked++
	question := strconv.Itoa(p.asked)
	if _, err := fmt.Fprintln(p.in, question); err != nil {
		t.Fatal(err)
	}
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	for {
		select {
		case a, ok := <-p.answers:
			if !ok {
				t.Fatal("the target has ended")
			}
			if a == question {
				return false
			}
		case <-limit.C:
			return true
		}
	}
}

func (p *target) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// stop stops the process as somebody else would.
func (p *target) stop(t *testing.T) {
	t.Helper()
	h, err := linux.OpenProcess(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (p *target) state(t *testing.T) linux.State {
	t.Helper()
	h, err := linux.OpenProcess(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s, err := h.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pauseOf(pid int) fault.Fault {
	return fault.Fault{
		Kind:   fault.ProcPause.Name,
		Target: fault.Target{Service: "db-service"},
		Params: fault.ProcPause.New(),
		At:     &fault.Placed{Process: &fault.Process{Service: "db-service", PID: pid}},
	}
}

// planned plans a pause and stamps it.
func planned(t *testing.T, d *Driver, pid int, id string) driver.Change {
	t.Helper()
	c, err := d.Plan(t.Context(), pauseOf(pid))
	if err != nil {
		t.Fatal(err)
	}
	c.ID = id
	return c
}

func TestPlanPinsTheProcess(t *testing.T) {
	p := startTarget(t)
	f := pauseOf(p.Process.Pid)
	c, err := New().Plan(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var at pin
	if err := json.Unmarshal(c.Undo, &at); err != nil {
		t.Fatal(err)
	}
	if at.PID != p.Process.Pid || at.Start == 0 || c.Fault.At.Process.Start != at.Start || c.Volatile {
		t.Errorf("undo %s, at %+v, volatile %t", c.Undo, c.Fault.At.Process, c.Volatile)
	}
	if f.At.Process.Start != 0 {
		t.Error("Plan altered the caller's fault")
	}
	if !strings.Contains(c.Touches, strconv.Itoa(at.PID)) || !strings.Contains(c.Touches, "db-service") {
		t.Errorf("touches %q", c.Touches)
	}
	f.At = &fault.Placed{Process: &fault.Process{PID: at.PID, Start: at.Start + 1}}
	if _, err := New().Plan(t.Context(), f); !errors.Is(err, driver.ErrNoTarget) {
		t.Errorf("Plan for another process of that pid: %v", err)
	}
}

// becomeZombie waits until a child has ended and leaves it as it is.
func becomeZombie(t *testing.T, pid int) {
	t.Helper()
	const byPID, exited, leave = 1, 0x4, 0x1000000 // P_PID, WEXITED, WNOWAIT
	if _, _, e := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|leave, 0, 0); e != 0 {
		t.Fatalf("wait for pid %d: %v", pid, e)
	}
}

func TestPlanRefuses(t *testing.T) {
	stopped := startTarget(t)
	stopped.stop(t)
	gone := startTarget(t)
	gone.kill()
	zombie := startTarget(t)
	zombie.signal(t, syscall.SIGKILL)
	becomeZombie(t, zombie.Process.Pid)
	relay := pauseOf(1)
	relay.At = &fault.Placed{Relay: &fault.RelayEdge{From: "a", To: "b"}}
	for name, c := range map[string]struct {
		f    fault.Fault
		want error
		says string
	}{
		"itself":        {pauseOf(os.Getpid()), driver.ErrConflict, "chaosctl itself"},
		"its parent":    {pauseOf(os.Getppid()), driver.ErrConflict, fmt.Sprintf("pid %d: ", os.Getppid())},
		"init":          {pauseOf(1), driver.ErrConflict, "pid 1: "},
		"stopped":       {pauseOf(stopped.Process.Pid), driver.ErrConflict, "stopped already"},
		"gone":          {pauseOf(gone.Process.Pid), driver.ErrNoTarget, fmt.Sprintf("pid %d: no such target", gone.Process.Pid)},
		"a zombie":      {pauseOf(zombie.Process.Pid), driver.ErrNoTarget, fmt.Sprintf("pid %d: no such target", zombie.Process.Pid)},
		"pid 0":         {pauseOf(0), driver.ErrNoTarget, "pid 0: no such target"},
		"a relay":       {relay, driver.ErrUnsupported, "proc.pause at a -> b"},
		"nowhere":       {fault.Fault{Kind: "proc.pause"}, driver.ErrUnsupported, "nowhere"},
		"not its kind":  {fault.Fault{Kind: "net.latency", At: pauseOf(1).At}, driver.ErrUnsupported, "net.latency"},
		"no kind at al": {fault.Fault{At: pauseOf(1).At}, driver.ErrUnsupported, ""},
	} {
		if _, err := New().Plan(t.Context(), c.f); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q with %q", name, err, c.want, c.says)
		}
	}
}

func TestPlanWithoutPermission(t *testing.T) {
	pid := startTarget(t).Process.Pid
	if os.Getuid() != 0 {
		pid = 1 // refused for being init, too, so only root proves more than that
		t.Skip("needs root, to give its rights up; pid", pid)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], strconv.Itoa(pid))
	cmd.Env = append(os.Environ(), roleVar+"=nobody")
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), fmt.Sprintf("true pid %d: not supported here:", pid)) || !strings.Contains(string(out), "CAP_KILL") {
		t.Errorf("Plan without rights: %s%v", out, err)
	}
}

// TestNotOursIsLeftAlone: a process that somebody else stopped stays stopped,
// whatever changes there are of ours.
func TestNotOursIsLeftAlone(t *testing.T) {
	p := startTarget(t)
	d := New()
	c := planned(t, d, p.Process.Pid, "late")
	p.stop(t)
	if err := d.Apply(t.Context(), c); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("Apply to a process that was stopped since Plan: %v", err)
	}
	if st, err := d.Inspect(t.Context(), c); err != nil || st.InForce || st.Receipt.Injected != 0 {
		t.Errorf("Inspect of a change that was refused: %+v, %v", st, err)
	}
	if err := d.Revert(t.Context(), c); err != nil {
		t.Error(err)
	}

	for name, alter := range map[string]func(*pin){
		"another process with its pid": func(at *pin) { at.Start++ },
		"another boot":                 func(at *pin) { at.Boot = "earlier" },
	} {
		var at pin
		if err := json.Unmarshal(c.Undo, &at); err != nil {
			t.Fatal(err)
		}
		alter(&at)
		other := c
		other.ID = name
		other.Undo, _ = json.Marshal(at)
		if st, err := New().Inspect(t.Context(), other); err != nil || st.InForce {
			t.Errorf("Inspect, %s: %+v, %v", name, st, err)
		}
		if err := New().Revert(t.Context(), other); err != nil {
			t.Errorf("Revert, %s: %v", name, err)
		}
		if err := New().Apply(t.Context(), other); !errors.Is(err, driver.ErrNoTarget) {
			t.Errorf("Apply, %s: %v", name, err)
		}
	}
	if s := p.state(t); s != linux.Stopped {
		t.Errorf("the process is %s", s)
	}
	// The opposite: the change itself is undone by a fresh instance.
	if err := New().Revert(t.Context(), c); err != nil || p.silent(t) {
		t.Errorf("after Revert by a fresh instance, the process does not answer (%v)", err)
	}
}

func TestTwoChangesOfOneProcess(t *testing.T) {
	p := startTarget(t)
	d := New()
	first, second := planned(t, d, p.Process.Pid, "first"), planned(t, d, p.Process.Pid, "second")
	var all sync.WaitGroup
	errs := map[string]*error{"first": new(error), "second": new(error)}
	for _, c := range []driver.Change{first, second} {
		all.Go(func() { *errs[c.ID] = d.Apply(t.Context(), c) })
	}
	all.Wait()
	won, lost := first, second
	if *errs["first"] != nil {
		won, lost = second, first
	}
	if *errs[won.ID] != nil || !errors.Is(*errs[lost.ID], driver.ErrConflict) {
		t.Fatalf("first: %v, second: %v; want one of them in conflict", *errs["first"], *errs["second"])
	}
	if err := d.Revert(t.Context(), lost); err != nil || p.state(t) != linux.Stopped {
		t.Errorf("Revert of the change that was refused: %v, the process is %s", err, p.state(t))
	}
	if err := d.Revert(t.Context(), won); err != nil || p.silent(t) {
		t.Errorf("after Revert the process does not answer (%v)", err)
	}
}

func TestProcessEndsWhilePaused(t *testing.T) {
	p := startTarget(t)
	d := New()
	c := planned(t, d, p.Process.Pid, "c")
	if err := d.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p.kill()
	st, err := d.Inspect(t.Context(), c)
	if err != nil || st.InForce || st.Receipt != (fault.Receipt{Unit: fault.OneProcess, Matched: 1, Injected: 1}) {
		t.Errorf("Inspect: %+v, %v", st, err)
	}
	if err := d.Revert(t.Context(), c); err != nil {
		t.Errorf("Revert: %v", err)
	}
	late := c
	late.ID = "late"
	if err := d.Apply(t.Context(), late); !errors.Is(err, driver.ErrNoTarget) {
		t.Errorf("Apply: %v", err)
	}
}

// TestRevertWhileApplying: whichever comes first, the process runs in the end.
func TestRevertWhileApplying(t *testing.T) {
	p := startTarget(t)
	d := New()
	for i := range 50 {
		c := planned(t, d, p.Process.Pid, fmt.Sprint(i))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		var both sync.WaitGroup
		var reverted error
		both.Go(func() { _ = d.Apply(ctx, c) }) // may fail: it is being reverted
		both.Go(func() { reverted = d.Revert(t.Context(), c) })
		both.Wait()
		cancel()
		if err := errors.Join(reverted, d.Revert(t.Context(), c)); err != nil {
			t.Fatal(err)
		}
		if s := p.state(t); s != linux.Running {
			t.Fatalf("round %d: the process is %s", i, s)
		}
	}
}

func TestChangeThatCannotBeRead(t *testing.T) {
	for _, undo := range []string{"", "{", "{}", `{"pid":-1,"start":1,"boot":"b"}`} {
		c := driver.Change{ID: "c", Fault: pauseOf(1), Undo: json.RawMessage(undo)}
		_, inspected := New().Inspect(t.Context(), c)
		for what, err := range map[string]error{"Apply": New().Apply(t.Context(), c), "Revert": New().Revert(t.Context(), c), "Inspect": inspected} {
			if err == nil {
				t.Errorf("%s with undo %q succeeds", what, undo)
			}
		}
	}
}

func TestProbe(t *testing.T) {
	if err := New().Probe(t.Context(), fault.ProcPause); err != nil {
		t.Error(err)
	}
	if err := New().Probe(t.Context(), fault.NetLatency); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("Probe for another driver's kind: %v", err)
	}
}
