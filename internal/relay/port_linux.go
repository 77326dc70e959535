package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// stopListening takes a socket out of the listening state and keeps its port:
// connecting is refused by the kernel, and nobody else can bind the address,
// because our socket no longer allows its reuse.
func stopListening(ln listener) error {
	return onSocket(ln, func(fd int) error {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0); err != nil {
			return err
		}
		return syscall.Shutdown(fd, syscall.SHUT_RD)
	})
}

// listenAgain brings the same socket back.
func listenAgain(_ context.Context, ln listener, _ string) (listener, error) {
	return ln, onSocket(ln, func(fd int) error {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			return err
		}
		return syscall.Listen(fd, queueLength)
	})
}

// queueLength is how many connections may wait to be accepted; the kernel caps it at
// somaxconn.
const queueLength = 4096

// fillers are connections of ours that fill the queue of a listener, so that the
// kernel drops what others send to connect.
type fillers struct {
	mu    sync.Mutex
	fds   []int
	ports map[netip.AddrPort]bool // their own addresses, until they were accepted
	some  atomic.Bool
}

// mostFillers bounds them: a queue of length 0 takes one, and what waits already.
const mostFillers = 64

// fill makes the queue as short as it gets, and fills it.
func (f *fillers) fill(ln listener) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := onSocket(ln, func(fd int) error { return syscall.Listen(fd, 0) }); err != nil {
		return err
	}
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(loopback(to.Addr()), to.Port())
	}
	f.ports = map[netip.AddrPort]bool{}
	f.some.Store(true)
	for range mostFillers {
		fd, err := linux.Connect(to)
		if err != nil {
			return err
		}
		f.fds = append(f.fds, fd)
		if !established(fd) {
			return nil // the queue is full
		}
		if own, err := linux.LocalAddr(fd); err == nil {
			f.ports[own] = true
		}
	}
	return errors.New("its queue does not fill")
}

// established tells whether a connection of ours is; a kernel that has dropped the
// attempt leaves it undecided.
func established(fd int) bool {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for try := 0; ; try++ {
		err := linux.ConnectError(fd)
		if err != syscall.EALREADY || try == 10 {
			return err == nil
		}
		<-t.C // loopback decides at once, as a rule
	}
}

// stop closes them.
func (f *fillers) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fd := range f.fds {
		linux.Close(fd)
	}
	f.fds = nil
}

// has tells whether a connection that was accepted is a filler, and forgets it.
func (f *fillers) has(from netip.AddrPort) bool {
	if !f.some.Load() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.ports[from]
	delete(f.ports, from)
	if len(f.ports) == 0 && len(f.fds) == 0 {
		f.some.Store(false)
	}
	return was
}

// fullQueue gives a listener its queue back.
func fullQueue(ln listener) error {
	return onSocket(ln, func(fd int) error { return syscall.Listen(fd, queueLength) })
}

// bareListener is a listening socket that the runtime knows nothing of.
type bareListener struct {
	fd   int
	addr *net.TCPAddr
}

func listenBare(to netip.AddrPort, another func() (uint16, bool)) (listener, error) {
	fd, to, call, err := linux.Listen(to, queueLength, another)
	addr := net.TCPAddrFromAddrPort(to)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: addr, Err: os.NewSyscallError(call, err)}
	}
	return &bareListener{fd, addr}, nil
}

func (l *bareListener) AcceptTCP() (*net.TCPConn, error)      { return nil, errors.ErrUnsupported }
func (l *bareListener) Addr() net.Addr                        { return l.addr }
func (l *bareListener) Close() error                          { linux.Close(l.fd); return nil }
func (l *bareListener) SetDeadline(time.Time) error           { return nil }
func (l *bareListener) SyscallConn() (syscall.RawConn, error) { return l, nil }
func (l *bareListener) Control(f func(uintptr)) error         { f(uintptr(l.fd)); return nil }
func (l *bareListener) Read(func(uintptr) bool) error         { return errors.ErrUnsupported }
func (l *bareListener) Write(func(uintptr) bool) error        { return errors.ErrUnsupported }

func onSocket(c syscall.Conn, do func(fd int) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := rc.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
