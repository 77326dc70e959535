package linux

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Poller waits for many sockets at once, and for a moment: an epoll, a timerfd and
// an eventfd. All but Wake, Add and Remove is for one goroutine.
type Poller struct {
	epoll, timer, bell int
	events             [maxEvents]unix.EpollEvent
}

const maxEvents = 256

// Event is what a socket is ready for.
type Event struct {
	// Key is the one the socket was added with.
	Key uint64
	// Readable: reading gives bytes, the end of the stream or an error.
	Readable bool
	// Writable: writing takes bytes, or gives an error.
	Writable bool
	// Urgent bytes came: a read stops before them, although there may be more.
	Urgent bool
	// Ending: the peer sends no more.
	Ending bool
	// Broken: the connection is over.
	Broken bool
	// Reset: it was broken by the peer or by the network, not by a FIN each way.
	Reset bool
}

const (
	keyTimer = ^uint64(0)
	keyBell  = ^uint64(0) - 1
)

// NewPoller makes one; Close ends it.
func NewPoller() (*Poller, error) {
	p := &Poller{epoll: -1, timer: -1, bell: -1}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err == nil {
		p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	}
	// Edges of these two count on their own: neither is ever read.
	if err == nil {
		err = p.control(unix.EPOLL_CTL_ADD, p.timer, keyTimer, unix.EPOLLIN|unix.EPOLLET)
	}
	if err == nil {
		err = p.control(unix.EPOLL_CTL_ADD, p.bell, keyBell, unix.EPOLLIN|unix.EPOLLET)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close ends the poller; sockets stay open.
func (p *Poller) Close() {
	for _, fd := range []int{p.epoll, p.timer, p.bell} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (p *Poller) control(op, fd int, key uint64, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(key)), Pad: int32(uint32(key >> 32))}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return errno(e)
}

// Add watches a connection: every change of what it is ready for is told once.
// Closing the socket removes it.
func (p *Poller) Add(fd int, key uint64) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, key, unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

// AddListener watches a listening socket, which other pollers may watch too: one
// of them is told, again and again while connections wait.
func (p *Poller) AddListener(fd int, key uint64) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, key, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
}

// Remove stops watching.
func (p *Poller) Remove(fd int) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

// Wake makes a Wait return, the next one if nobody waits.
func (p *Poller) Wake() {
	one := uint64(1) // a count that is never read: it lasts for 2^64 calls
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), 8)
}

// fineWait is how long before its end a wait is left to the timerfd; before that
// it is epoll's own timeout, which the kernel lets be late by a thousandth.
const fineWait = 2 * time.Millisecond

// Wait gives each event to handle, and returns. It waits for the first as long as
// d says, for ever if that is negative; it may return earlier without any.
func (p *Poller) Wait(d time.Duration, handle func(Event)) error {
	timeout := -1
	switch {
	case d == 0:
		timeout = 0
	case d > fineWait:
		timeout = int(min((d-fineWait/2)/time.Millisecond, 1<<30))
	case d > 0:
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
		_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
		if err := errno(e); err != nil {
			return err
		}
	}
	n, e := p.wait(timeout)
	if e != 0 {
		if e == unix.EINTR {
			return nil
		}
		return e
	}
	for i := range n {
		ev := &p.events[i]
		key := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
		if key >= keyBell {
			continue
		}
		handle(Event{
			Key:      key,
			Readable: ev.Events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			Writable: ev.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			Urgent:   ev.Events&unix.EPOLLPRI != 0,
			Ending:   ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			Reset:    ev.Events&unix.EPOLLERR != 0,
			Broken:   ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0,
		})
	}
	return nil
}

func (p *Poller) wait(timeout int) (int, unix.Errno) {
	if timeout == 0 { // it returns at once: no need to tell the scheduler
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events)), maxEvents, 0, 0, 0)
		return int(n), e
	}
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll), uintptr(unsafe.Pointer(&p.events)), maxEvents, uintptr(timeout), 0, 0)
	return int(n), e
}

func errno(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}
