package linux

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never wait: the sockets do not block, so the scheduler is not
// told of them. All errors are of type syscall.Errno; EAGAIN says "not now".

// KeepAlive is how long a connection is quiet, in seconds, before the kernel asks
// whether the peer is still there, and between two such questions.
const KeepAlive = 15

// InheritOptions sets on a listening socket what its connections are to have: no
// waiting for more bytes before small ones are sent, and keep-alive.
func InheritOptions(fd int) error { return connOptions(fd) }

func connOptions(fd int) error {
	for _, o := range [...][3]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_OOBINLINE, 1}, // urgent bytes pass like others
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, KeepAlive},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, KeepAlive},
	} {
		if err := setInt(fd, o[0], o[1], o[2]); err != nil {
			return err
		}
	}
	return nil
}

func setInt(fd, level, name, value int) error {
	v := int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&v)), 4, 0)
	return errno(e)
}

func getInt(fd, level, name int) (int, error) {
	var v int32
	size := uint32(4)
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&size)), 0)
	return int(v), errno(e)
}

// Listen opens a listening socket, the options of InheritOptions set. While its
// port is taken, the one that another returns is tried on the same socket, which
// costs a tenth of a new one; nil or false ends that. An error comes with the name
// of the call that failed.
func Listen(at netip.AddrPort, backlog int, another func() (uint16, bool)) (fd int, bound netip.AddrPort, call string, err error) {
	family, name, size := sockaddr(at)
	n, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, at, "socket", e
	}
	fd = int(n)
	call = "setsockopt"
	if err = setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		call = "bind"
		for {
			_, _, e = unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(name)), size)
			if e != unix.EADDRINUSE || another == nil {
				break
			}
			port, more := another()
			if !more {
				break
			}
			at = netip.AddrPortFrom(at.Addr(), port)
			_, name, size = sockaddr(at)
		}
		err = errno(e)
	}
	if err == nil {
		call = "setsockopt"
		err = connOptions(fd)
	}
	if err == nil {
		call = "listen"
		_, _, e = unix.RawSyscall(unix.SYS_LISTEN, uintptr(fd), uintptr(backlog), 0)
		err = errno(e)
	}
	if err != nil {
		Close(fd)
		return -1, at, call, err
	}
	return fd, at, "", nil
}

// sockaddr is an address as the kernel reads it.
func sockaddr(a netip.AddrPort) (family int, name *unix.RawSockaddrAny, size uintptr) {
	name = &unix.RawSockaddrAny{}
	if ip := a.Addr(); ip.Is4() || ip.Is4In6() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: ntohs(a.Port()), Addr: ip.Unmap().As4()}
		return unix.AF_INET, name, unix.SizeofSockaddrInet4
	}
	*(*unix.RawSockaddrInet6)(unsafe.Pointer(name)) = unix.RawSockaddrInet6{
		Family: unix.AF_INET6, Port: ntohs(a.Port()), Addr: a.Addr().As16(), Scope_id: scope(a.Addr().Zone()),
	}
	return unix.AF_INET6, name, unix.SizeofSockaddrInet6
}

// Accept takes the next connection of a listening socket. The new socket does not
// block and is not inherited by programs we start.
func Accept(fd int) (int, netip.AddrPort, error) {
	var from unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch e {
		case 0:
			return int(n), addrPort(&from), nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		}
		return -1, netip.AddrPort{}, e
	}
}

func addrPort(a *unix.RawSockaddrAny) netip.AddrPort {
	switch a.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), ntohs(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), ntohs(in.Port))
	}
	return netip.AddrPort{}
}

func ntohs(n uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], n)
	return binary.BigEndian.Uint16(b[:])
}

// Connect opens a socket like those of Accept and starts to connect it. Whether it
// is connected already or not, its poller will say that it is writable once that
// is decided; ConnectError then tells how.
func Connect(to netip.AddrPort) (int, error) {
	family, name, size := sockaddr(to)
	n, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	fd := int(n)
	err := connOptions(fd)
	if err == nil {
		_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(name)), size)
		if e == 0 || e == unix.EINPROGRESS || e == unix.EINTR {
			return fd, nil
		}
		err = e
	}
	Close(fd)
	return -1, err
}

func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	return zoneIndex(zone)
}

// ConnectError tells how a Connect went: nil, why it failed, or EALREADY if that
// is not decided yet.
func ConnectError(fd int) error {
	e, err := getInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if e != 0 {
		return unix.Errno(e)
	}
	switch tcpState(fd) {
	case tcpSynSent, tcpSynRecv:
		return unix.EALREADY
	}
	return nil
}

// The states of a connection, as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpSynSent = 2
	tcpSynRecv = 3
)

func tcpState(fd int) int {
	var state byte // the first field of tcp_info
	size := uint32(1)
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&state)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return -1
	}
	return int(state)
}

// Read reads what is there; 0 without an error is the end of the stream.
func Read(fd int, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, e
	}
}

// Write sends what the socket takes.
func Write(fd int, b []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, e
	}
}

// WriteAll sends what the socket takes of several pieces, in order. space is
// memory for the call, at least as long as bufs.
func WriteAll(fd int, bufs [][]byte, space []unix.Iovec) (int, error) {
	k := 0
	for _, b := range bufs {
		if len(b) > 0 && k < len(space) {
			space[k].Base = unsafe.SliceData(b)
			space[k].SetLen(len(b))
			k++
		}
	}
	if k == 0 {
		return 0, nil
	}
	defer clear(space[:k])
	for {
		n, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&space[0])), uintptr(k))
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, e
	}
}

// Iovec is a piece for WriteAll.
type Iovec = unix.Iovec

// Unsent tells whether the peer has not acknowledged all that was written.
func Unsent(fd int) bool {
	var n int32
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	return e == 0 && n > 1 // our FIN counts as one
}

// ShutWrite sends a FIN after what was written.
func ShutWrite(fd int) {
	_, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// Close closes a descriptor.
func Close(fd int) {
	_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// Reset closes a connection with an RST.
func Reset(fd int) {
	l := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&l)), unix.SizeofLinger, 0)
	Close(fd)
}

// Pipe is a pipe of the kernel, for splicing.
type Pipe struct{ r, w int }

// PipeSize is how many bytes of whole pages a pipe is asked to hold; unprivileged
// processes get that many unless the administrator says otherwise.
const PipeSize = 1 << 20

// NewPipe makes a pipe that does not block, as large as the system allows.
func NewPipe() (Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return Pipe{}, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, PipeSize) // else it is 64 KiB
	return Pipe{fds[0], fds[1]}, nil
}

// Close closes both ends.
func (p Pipe) Close() {
	Close(p.r)
	Close(p.w)
}

// Fill moves up to limit bytes from a socket into the pipe; 0 without an error is
// the end of the stream. EAGAIN: there are none, or the pipe is full.
func (p Pipe) Fill(from, limit int) (int, error) { return splice(from, p.w, limit) }

// Drain moves up to limit bytes from the pipe to a socket.
func (p Pipe) Drain(to, limit int) (int, error) { return splice(p.r, to, limit) }

func splice(from, to, limit int) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch e {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, e
	}
}

// LocalAddr is a socket's own address.
func LocalAddr(fd int) (netip.AddrPort, error) {
	var a unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&a)), uintptr(unsafe.Pointer(&size)))
	return addrPort(&a), errno(e)
}
