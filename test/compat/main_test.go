//go:build linux

// Package compat holds chaosctl against the original: Toxiproxy v2.12.0, built
// from its own module, and the clients that people use with it. It is a module
// of its own, so that none of this enters the one that people build.
//
//	go test -count=1 ./...                            # build both, compare
//	CHAOSCTL_BIN=/path/to/chaosctl go test -count=1   # with a binary that exists already
//	COMPAT_SELF=1 go test -count=1 ./...              # the original with itself: is the comparison steady?
//
// Every test starts servers of its own, from their binaries, and speaks to them
// over the network only: in a network namespace where nobody else is, if the
// kernel allows one. Where we differ from the original on purpose, the difference
// is declared with its reason and asserted on both sides; one that no longer
// shows is a failure.
//
// It needs Debian's packages ruby, nodejs and npm; without them the tests of those
// clients are skipped, and fail in CI.
package compat

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"go.uber.org/goleak"
)

// insideEnv names the folder of what was built; with it, the test binary stands
// in its namespace.
const insideEnv = "COMPAT_INSIDE"

func TestMain(m *testing.M) {
	flag.Parse()
	if dir := os.Getenv(insideEnv); dir != "" {
		os.Exit(inside(m, dir))
	}
	os.Exit(outside(m))
}

// outside builds and fetches what is needed, for which there must be a network,
// and runs the tests in a namespace.
func outside(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "compat-")
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
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, flags := range []uintptr{syscall.CLONE_NEWNET, syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER} {
		if namespace(dir, flags, "-test.run=^$").Run() != nil {
			continue
		}
		cmd := namespace(dir, flags, os.Args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return exit.ExitCode()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	fmt.Fprintln(os.Stderr, "no network namespace can be made here: the tests share the ports of this machine")
	return inside(m, dir)
}

// namespace is this program again, in a network namespace of its own.
func namespace(dir string, flags uintptr, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+dir, namespaceEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// namespaceEnv says that the namespace is new, and its loopback device down.
const namespaceEnv = "COMPAT_NAMESPACE"

// inside runs the tests.
func inside(m *testing.M, dir string) int {
	if os.Getenv(namespaceEnv) != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "bring the loopback device up:", err)
			return 1
		}
	}
	built.in(dir)
	manyAtOnce()
	code := m.Run()
	printSummary(os.Stdout)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{name: [syscall.IFNAMSIZ]byte{'l', 'o'}, flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// manyAtOnce lets more tests run side by side than there are processors: what
// they do is wait.
func manyAtOnce() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// filtered tells whether a -run keeps some subtests out; then a list that must
// be met as a whole cannot be judged.
func filtered() bool {
	f := flag.Lookup("test.run")
	return f != nil && strings.Contains(f.Value.String(), "/")
}

// errGone is a server that has ended by itself.
var errGone = errors.New("the server has ended")
