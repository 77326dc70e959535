package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// roleVar makes the re-executed test binary a child; its value is the role.
const roleVar = "LINUX_TEST_ROLE"

func TestMain(m *testing.M) {
	role, ok := map[string]func(arg string) error{
		"wait":   func(string) error { return nil },
		"spin":   spin,
		"nobody": nobody,
		"reuse":  func(string) error { return reuse() },
	}[os.Getenv(roleVar)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the parent lets go
}

// counter maps the number in a file that two processes share.
func counter(file string) (*atomic.Uint64, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*atomic.Uint64)(unsafe.Pointer(&b[0])), nil
}

// spin counts up on several threads until it is killed.
func spin(file string) error {
	n, err := counter(file)
	if err != nil {
		return err
	}
	for range 3 {
		go func() { // until the process ends
			runtime.LockOSThread()
			for {
				n.Add(1)
			}
		}()
	}
	return nil
}

// nobody says what a process may do that has no rights to pid.
func nobody(pid string) error {
	if err := syscall.Setuid(65534); err != nil && os.Getuid() == 0 {
		return err
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	p, err := OpenProcess(n)
	if err == nil {
		err = p.MaySignal()
	}
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("signalling %s: %v, want a permission error", pid, err)
	}
	return nil
}

// reuse runs as the first process of its own pid namespace and gives the pid of
// a process that we hold to another one.
func reuse() error {
	if err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
	); err != nil {
		return err
	}
	spawn := func() (*exec.Cmd, error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVar+"=wait")
		if _, err := cmd.StdinPipe(); err != nil {
			return nil, err
		}
		return cmd, cmd.Start()
	}
	first, err := spawn()
	if err != nil {
		return err
	}
	pid := first.Process.Pid
	held, err := OpenProcess(pid)
	if err != nil {
		return err
	}
	_, _ = first.Process.Kill(), first.Wait()
	for range 1000 { // a thread of ours may get the number first
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			return err
		}
		second, err := spawn()
		if err != nil {
			return err
		}
		if second.Process.Pid != pid {
			_, _ = second.Process.Kill(), second.Wait()
			continue
		}
		other, err := OpenProcess(pid)
		if err != nil {
			return err
		}
		for what, err := range map[string]error{"stop": held.Stop(context.Background()), "continue": held.Continue(context.Background()), "signal": held.MaySignal()} {
			if !errors.Is(err, ErrNoProcess) {
				return fmt.Errorf("%s through the old handle: %v", what, err)
			}
		}
		if s, err := held.State(); !errors.Is(err, ErrNoProcess) {
			return fmt.Errorf("state through the old handle: %s, %v", s, err)
		}
		if s, err := other.State(); s != Running {
			return fmt.Errorf("the process that came later is %s, %v", s, err)
		}
		return nil
	}
	return errors.New("the pid was never given again")
}

// start starts a child in a role and waits until it is ready.
func start(t *testing.T, role, arg string, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], arg)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.SysProcAttr = attr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); errors.Is(err, fs.ErrPermission) && attr != nil {
		t.Skip("needs the right to make namespaces:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("%s: %s%v", role, line, err)
	}
	return cmd
}

func open(t *testing.T, pid int) *Process {
	t.Helper()
	p, err := OpenProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func wantState(t *testing.T, p *Process, want State) {
	t.Helper()
	if s, err := p.State(); s != want || err != nil {
		t.Errorf("state is %q (%v), want %q", s, err, want)
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestStopAndContinue looks at what the process does, not at what /proc says of
// it: when Stop has returned, no thread counts any more.
func TestStopAndContinue(t *testing.T) {
	file := t.TempDir() + "/counter"
	if err := os.WriteFile(file, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := counter(file)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, start(t, "spin", file, nil).Process.Pid)
	counts := func() {
		t.Helper()
		for from := n.Load(); n.Load() == from; {
			select {
			case <-soon(t).Done():
				t.Fatal("the process does not count")
			default:
				runtime.Gosched()
			}
		}
	}
	for range 20 {
		counts()
		wantState(t, p, Running)
		if err := p.Stop(soon(t)); err != nil {
			t.Fatal(err)
		}
		at := n.Load()
		wantState(t, p, Stopped)
		for range 1000 {
			runtime.Gosched()
		}
		if now := n.Load(); now != at {
			t.Fatalf("the process counted from %d to %d after Stop had returned", at, now)
		}
		if err := p.Stop(soon(t)); err != nil {
			t.Fatal("Stop of a stopped process:", err)
		}
		if err := p.Continue(soon(t)); err != nil {
			t.Fatal(err)
		}
		wantState(t, p, Running)
	}
	counts()
	if err := p.Continue(soon(t)); err != nil {
		t.Error("Continue of a process that runs:", err)
	}
}

func TestStopWithAContextThatIsOver(t *testing.T) {
	p := open(t, start(t, "wait", "", nil).Process.Pid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	wantState(t, p, Running)
}

func TestWhatAProcessIs(t *testing.T) {
	cmd := start(t, "wait", "", nil)
	p := open(t, cmd.Process.Pid)
	if p.PID() != cmd.Process.Pid || p.Start() == 0 || p.Kernel() || !strings.HasPrefix(os.Args[0][strings.LastIndexByte(os.Args[0], '/')+1:], p.Name()) {
		t.Errorf("pid %d, start %d, kernel %t, name %q", p.PID(), p.Start(), p.Kernel(), p.Name())
	}
	if again := open(t, cmd.Process.Pid); again.Start() != p.Start() {
		t.Errorf("start is %d, and then %d", p.Start(), again.Start())
	}
	if later := open(t, start(t, "wait", "", nil).Process.Pid); later.Start() < p.Start() {
		t.Errorf("a later process started at %d, before %d", later.Start(), p.Start())
	}
	if err := p.MaySignal(); err != nil {
		t.Error(err)
	}
}

func TestProcessThatIsGone(t *testing.T) {
	cmd := start(t, "wait", "", nil)
	p := open(t, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Until we wait for it, it is a zombie: there, but nothing to act on.
	if err := p.await(soon(t), func(State) bool { return false }); !errors.Is(err, ErrNoProcess) {
		t.Errorf("waiting for a process that was killed: %v", err)
	}
	if _, err := OpenProcess(p.PID()); !errors.Is(err, ErrNoProcess) {
		t.Errorf("OpenProcess of a zombie: %v", err)
	}
	_ = cmd.Wait()
	_, state := p.State()
	_, again := OpenProcess(p.PID())
	for what, err := range map[string]error{"State": state, "OpenProcess": again, "MaySignal": p.MaySignal(), "Stop": p.Stop(soon(t)), "Continue": p.Continue(soon(t))} {
		if !errors.Is(err, ErrNoProcess) {
			t.Errorf("%s of a process that is gone: %v", what, err)
		}
	}
}

func TestWhatIsNoProcess(t *testing.T) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{0, -1, 1 << 30}
	for _, th := range threads {
		if id, _ := strconv.Atoi(th.Name()); id != os.Getpid() {
			pids = append(pids, id)
		}
	}
	if len(pids) < 4 {
		t.Error("the test has no thread but the first")
	}
	for _, pid := range pids {
		if _, err := OpenProcess(pid); !errors.Is(err, ErrNoProcess) {
			t.Errorf("OpenProcess(%d): %v", pid, err)
		}
	}
}

func TestPermission(t *testing.T) {
	pid := os.Getpid()
	if os.Getuid() != 0 {
		pid = 1
	}
	start(t, "nobody", strconv.Itoa(pid), nil)
}

func TestReusedPidIsNeverHit(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a pid namespace and choose pids in it")
	}
	start(t, "reuse", "", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS})
}

func TestTraced(t *testing.T) {
	cmd := start(t, "wait", "", nil)
	p := open(t, cmd.Process.Pid)
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(p.PID()); errors.Is(err, fs.ErrPermission) {
		t.Skip("needs the right to trace:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(p.PID(), nil, syscall.WUNTRACED, nil); err != nil {
		t.Fatal(err)
	}
	wantState(t, p, Traced)
	if err := syscall.PtraceDetach(p.PID()); err != nil {
		t.Fatal(err)
	}
	if err := p.await(soon(t), func(s State) bool { return s == Running }); err != nil {
		t.Error(err)
	}
}

func TestKernelThread(t *testing.T) {
	p, err := OpenProcess(2)
	if err != nil || p.Name() != "kthreadd" {
		t.Skip("pid 2 is not kthreadd in this pid namespace")
	}
	defer p.Close()
	if !p.Kernel() {
		t.Error("kthreadd is not taken for a thread of the kernel")
	}
}

func TestLineage(t *testing.T) {
	pids, err := Lineage()
	if err != nil || len(pids) < 2 || pids[0] != os.Getpid() || pids[1] != os.Getppid() {
		t.Fatalf("lineage %v, %v", pids, err)
	}
	if one := slices.Index(pids, 1); one >= 0 && one != len(pids)-1 {
		t.Errorf("pid 1 has a parent: %v", pids)
	}
}

func TestBootID(t *testing.T) {
	a, err := BootID()
	b, _ := BootID()
	if len(a) != 36 || a != b || err != nil {
		t.Errorf("boot ids %q and %q, %v", a, b, err)
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	pid := start(t, "wait", "", nil).Process.Pid
	before := count()
	for range 50 {
		p, err := OpenProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.State(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		_, _ = OpenProcess(1 << 30)
	}
	if after := count(); after > before+5 {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func TestParseStat(t *testing.T) {
	tail := " 7 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n"
	for text, want := range map[string]stat{
		"12 (cat) S" + tail:           {name: "cat", state: 'S', parent: 7, flags: 4194304, start: 98765},
		"12 (a) R (b) T" + tail:       {name: "a) R (b", state: 'T', parent: 7, flags: 4194304, start: 98765},
		"12 (x y\n(\xff) t" + tail:    {name: "x y\n(?", state: 't', parent: 7, flags: 4194304, start: 98765},
		"12 () Z" + tail:              {name: "", state: 'Z', parent: 7, flags: 4194304, start: 98765},
		"12 (cat) S 7 7 7":            {},
		"12 cat S" + tail:             {},
		"":                            {},
		")(":                          {},
		"12 (cat) SS" + tail:          {},
		"12 (cat) S x" + tail:         {},
		"12 (cat) S" + tail[:30] + "": {},
	} {
		got, err := parseStat([]byte(text))
		if want.state == 0 {
			if err == nil {
				t.Errorf("parseStat(%q) = %+v, want an error", text, got)
			}
		} else if err != nil || got != want {
			t.Errorf("parseStat(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("()\x00 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"))
	f.Add([]byte("12 (a) R (b) T 7 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := parseStat(b); err == nil && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz", rune(st.state|0x20)) {
			t.Errorf("%q has the state %q", b, st.state)
		}
	})
}
