// Package load makes the load of the benchmarks and the upstreams that answer
// it. Both must cost little, so that the proxy between them is what is
// measured: raw sockets, one epoll set and one locked thread per Loop, few
// system calls, no allocation per request.
//
// It is for loopback and IPv4, and it promises nothing about fairness between
// connections.
package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events a socket is watched for.
const (
	in   = unix.EPOLLIN | unix.EPOLLRDHUP
	both = in | unix.EPOLLOUT
	edge = uint32(unix.EPOLLET & 0xffffffff)
)

// handler is told that its socket is ready. It runs on the loop's thread.
type handler interface{ ready(events uint32) }

// Loop is an epoll set and the locked thread that serves it. Everything that is
// watched is touched by that thread only: use Do.
type Loop struct {
	epfd     int
	wake     int
	handlers []handler // by descriptor
	events   [256]unix.EpollEvent
	posted   chan func()
	stopped  atomic.Bool // the context is over, or Close was called
	unwatch  func() bool
	done     chan struct{}
}

// NewLoop starts a loop. Its measurements end early when ctx does.
func NewLoop(ctx context.Context) (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{epfd: epfd, wake: wake, posted: make(chan func(), 1), done: make(chan struct{})}
	if err := l.watch(wake, unix.EPOLLIN, bell(wake)); err != nil {
		unix.Close(wake)
		unix.Close(epfd)
		return nil, err
	}
	go l.serve()
	l.unwatch = context.AfterFunc(ctx, func() { l.stopped.Store(true) })
	return l, nil
}

// bell is the eventfd that wakes the loop.
type bell int

func (b bell) ready(uint32) {
	var count [8]byte
	_, _ = read(int(b), count[:]) // only drained
}

func (l *Loop) ring() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(l.wake, one[:]) // fails only when it rings already
}

func (l *Loop) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.done)
	for {
		select {
		case f := <-l.posted:
			if f == nil {
				return
			}
			f()
		default:
			l.poll(-1)
		}
	}
}

// Do runs f on the loop's thread and returns when it is through.
func (l *Loop) Do(f func()) {
	through := make(chan struct{})
	l.posted <- func() { defer close(through); f() }
	l.ring()
	<-through
}

// Close ends the thread and closes every socket that is watched.
func (l *Loop) Close() {
	l.unwatch()
	l.stopped.Store(true)
	l.posted <- nil
	l.ring()
	<-l.done
	for fd, h := range l.handlers {
		if h != nil {
			unix.Close(fd)
		}
	}
	unix.Close(l.epfd)
}

// over tells whether a measurement has to end before its time.
func (l *Loop) over() bool { return l.stopped.Load() }

// poll waits up to ms milliseconds (0: looks only; -1: for ever) and serves what
// is ready.
func (l *Loop) poll(ms int) {
	call := unix.Syscall6
	if ms == 0 {
		call = unix.RawSyscall6
	}
	n, _, errno := call(unix.SYS_EPOLL_PWAIT, uintptr(l.epfd), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), uintptr(ms), 0, 0)
	if errno != 0 {
		return // interrupted: the caller comes again
	}
	for _, e := range l.events[:n] {
		if h := l.handlers[e.Fd]; h != nil {
			h.ready(e.Events)
		}
	}
}

// watch has h told of events on fd; the loop owns fd from here on.
func (l *Loop) watch(fd int, events uint32, h handler) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	for fd >= len(l.handlers) {
		l.handlers = append(l.handlers, make([]handler, 1024)...)
	}
	l.handlers[fd] = h
	return nil
}

// drop closes a socket that is watched.
func (l *Loop) drop(fd int) {
	l.handlers[fd] = nil
	unix.Close(fd)
}

// again tells that a call would have had to wait, which is no failure.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// until polls as long as more() says so, to a deadline that is a failure.
func (l *Loop) until(what string, limit time.Duration, more func() bool) error {
	for start := time.Now(); more(); {
		switch {
		case l.over():
			return context.Canceled
		case time.Since(start) > limit:
			return fmt.Errorf("%s: not done within %v", what, limit)
		}
		l.poll(10)
	}
	return nil
}
