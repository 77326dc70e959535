package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process of this machine, held by handles that stay with it: when
// it ends and its pid is given to another one, every method says ErrNoProcess
// and none touches the other one.
type Process struct {
	pid  int
	stat stat
	fd   int      // a pidfd
	proc *os.Root // /proc/PID
}

// OpenProcess takes hold of a process, which must be the leader of its threads.
// The caller closes it. A process that has ended and waits for its parent is
// ErrNoProcess.
func OpenProcess(pid int) (*Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("open process %d: %w", pid, ErrNoProcess)
	}
	p := &Process{pid: pid}
	var err error
	// The /proc entry is opened after the pidfd, and the pidfd is alive after
	// that: so both are of one process, whatever became of the pid in between.
	if p.fd, err = unix.PidfdOpen(pid, 0); err != nil {
		return nil, openError(pid, err)
	}
	if p.proc, err = os.OpenRoot("/proc/" + strconv.Itoa(pid)); err == nil {
		p.stat, err = p.readStat("stat")
	}
	if alive := p.MaySignal(); errors.Is(alive, ErrNoProcess) {
		err = alive
	} else if errors.Is(err, ErrNoProcess) || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("process %d is hidden in /proc: %w", pid, fs.ErrPermission)
	}
	if err == nil {
		_, err = p.State()
	}
	if err != nil {
		_ = p.Close() // the first error is the one to tell
		return nil, fmt.Errorf("open process: %w", err)
	}
	return p, nil
}

func openError(pid int, err error) error {
	switch {
	case errors.Is(err, unix.ESRCH):
		err = ErrNoProcess
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("open process: %d is a thread, not a process: %w", pid, ErrNoProcess)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("open process %d: pidfd_open needs Linux 5.3: %w", pid, errors.ErrUnsupported)
	}
	return fmt.Errorf("open process %d: %w", pid, err)
}

// PID is the process's id.
func (p *Process) PID() int { return p.pid }

// Start is when the process started, in clock ticks since boot. Together with
// the pid it names one process for as long as the machine is up.
func (p *Process) Start() uint64 { return p.stat.start }

// Name is the process's own name for itself, at most 15 bytes.
func (p *Process) Name() string { return p.stat.name }

// Kernel tells whether it is a thread of the kernel, which no signal stops.
func (p *Process) Kernel() bool { return p.stat.flags&kernelThread != 0 }

// Close lets go of the process.
func (p *Process) Close() error {
	err := unix.Close(p.fd)
	if p.proc != nil {
		err = errors.Join(err, p.proc.Close())
	}
	return err
}

// State looks at every thread of the process.
func (p *Process) State() (State, error) {
	threads, err := p.threads()
	if err != nil {
		return "", err
	}
	var live, stopped, traced int
	for id := range threads {
		st, err := p.readStat("task/" + id + "/stat")
		if errors.Is(err, ErrNoProcess) {
			continue // this thread has ended
		} else if err != nil {
			return "", err
		}
		switch st.state {
		case 'Z', 'X', 'x':
			continue // ended, or a leader that has left its threads alone
		case 'T':
			stopped++
		case 't':
			traced++
		}
		live++
	}
	// A thread may have started another one just before it stopped.
	now, err := p.threads()
	if err != nil {
		return "", err
	}
	grown := false
	for id := range now {
		grown = grown || !threads[id]
	}
	switch {
	case traced > 0:
		return Traced, nil
	case grown || stopped < live:
		return Running, nil
	case live == 0:
		return "", fmt.Errorf("process %d: %w", p.pid, ErrNoProcess)
	}
	return Stopped, nil
}

// MaySignal tells whether the process lives and we have the right to signal it:
// nil, ErrNoProcess or fs.ErrPermission.
func (p *Process) MaySignal() error { return p.signal(0) }

// Stop stops the process (SIGSTOP) and returns once no thread of it runs, with
// an error if it ends or ctx does before that.
func (p *Process) Stop(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stop process %d: %w", p.pid, err)
	}
	if err := p.signal(unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if err := p.await(ctx, func(s State) bool { return s == Stopped }); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// Continue lets the process go on (SIGCONT) and returns once it does; one that
// was not stopped is left as it is.
func (p *Process) Continue(ctx context.Context) error {
	if err := p.signal(unix.SIGCONT); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	if err := p.await(ctx, func(s State) bool { return s != Stopped }); err != nil {
		return fmt.Errorf("continue: %w", err)
	}
	return nil
}

func (p *Process) signal(s unix.Signal) error {
	switch err := unix.PidfdSendSignal(p.fd, s, nil, 0); {
	case err == nil:
		return nil
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("process %d: %w", p.pid, ErrNoProcess)
	default:
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
}

// await polls, as nothing tells anybody but the parent when a process stops.
func (p *Process) await(ctx context.Context, done func(State) bool) error {
	wait := time.Millisecond
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		s, err := p.State()
		if err != nil || done(s) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d is still %s: %w", p.pid, s, ctx.Err())
		case <-timer.C:
		}
		wait = min(2*wait, 50*time.Millisecond)
		timer.Reset(wait)
	}
}

func (p *Process) threads() (map[string]bool, error) {
	d, err := p.proc.Open("task")
	if err != nil {
		return nil, p.readError(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, p.readError(err)
	}
	ids := make(map[string]bool, len(names))
	for _, n := range names {
		ids[n] = true
	}
	return ids, nil
}

func (p *Process) readStat(file string) (stat, error) {
	b, err := p.proc.ReadFile(file)
	if err != nil {
		return stat{}, p.readError(err)
	}
	st, err := parseStat(b)
	if err != nil {
		return stat{}, fmt.Errorf("process %d: %s: %w", p.pid, file, err)
	}
	return st, nil
}

// readError makes ErrNoProcess of what /proc says of a process that is gone.
func (p *Process) readError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", p.pid, ErrNoProcess)
	}
	return fmt.Errorf("process %d: %w", p.pid, err)
}

// stat is what we read of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	name   string
	state  byte
	parent int
	flags  uint64
	start  uint64
}

// kernelThread is PF_KTHREAD among the flags.
const kernelThread = 0x00200000

func parseStat(b []byte) (stat, error) {
	// The name is in parentheses and may hold anything, parentheses too.
	from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if from < 0 || to < from {
		return stat{}, errors.New("has no name in parentheses")
	}
	f := strings.Fields(string(b[to+1:])) // f[0] is field 3
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, fmt.Errorf("has %d fields after the name; want 20 or more", len(f))
	}
	if c := f[0][0]; c|0x20 < 'a' || c|0x20 > 'z' { // proc(5): a letter
		return stat{}, fmt.Errorf("has the state %q, which is no letter", f[0])
	}
	st := stat{name: strings.ToValidUTF8(string(b[from+1:to]), "?"), state: f[0][0]}
	var errs [3]error
	st.parent, errs[0] = strconv.Atoi(f[1])
	st.flags, errs[1] = strconv.ParseUint(f[6], 10, 64)
	st.start, errs[2] = strconv.ParseUint(f[19], 10, 64)
	return st, errors.Join(errs[:]...)
}

// Lineage is our own pid, our parent's, its parent's and so on, as far as /proc
// shows them.
func Lineage() ([]int, error) {
	pids := []int{os.Getpid()}
	for pid := os.Getppid(); pid > 0 && len(pids) < 1<<16; {
		pids = append(pids, pid)
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			break // hidden, or gone meanwhile
		} else if err != nil {
			return nil, fmt.Errorf("read our lineage: %w", err)
		}
		st, err := parseStat(b)
		if err != nil {
			return nil, fmt.Errorf("read our lineage: /proc/%d/stat: %w", pid, err)
		}
		pid = st.parent
	}
	return pids, nil
}

// BootID names the machine's current boot; start times count from it.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
