package linux

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HearOnly makes a socket for datagrams, which keeps its port, hear one peer alone:
// others get an ICMP "port unreachable", as if nobody had the port.
func HearOnly(fd int, peer netip.AddrPort) error {
	domain, err := getInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if ip := peer.Addr().Unmap(); domain == unix.AF_INET6 && ip.Is4() {
		// Of the socket's family; a mapped address connects to IPv4.
		name := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: ntohs(peer.Port()), Addr: ip.As16()}
		_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&name)), unix.SizeofSockaddrInet6)
		return errno(e)
	}
	_, name, size := sockaddr(peer)
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(name)), size)
	return errno(e)
}

// HearAll undoes HearOnly. The socket must have been bound to a port by its number.
func HearAll(fd int) error {
	name := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&name)), unsafe.Sizeof(name))
	return errno(e)
}
