package relay

import (
	"context"
	"net"
	"syscall"
)

// stopListening takes a socket out of the listening state and keeps its port:
// connecting is refused by the kernel, and nobody else can bind the address,
// because our socket no longer allows its reuse.
func stopListening(ln *net.TCPListener) error {
	return onSocket(ln, func(fd int) error {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0); err != nil {
			return err
		}
		return syscall.Shutdown(fd, syscall.SHUT_RD)
	})
}

// listenAgain brings the same socket back.
func listenAgain(_ context.Context, ln *net.TCPListener, _ string) (*net.TCPListener, error) {
	return ln, onSocket(ln, func(fd int) error {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			return err
		}
		return syscall.Listen(fd, 4096) // the kernel caps it at somaxconn
	})
}

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

// wasReset tells whether an end of stream was a reset whose error another
// reader or writer of the socket has taken already: then the socket is closed,
// while after a FIN it waits for us to close. Only for sockets whose sending
// side we have not shut.
func wasReset(c *net.TCPConn) bool {
	shut := false
	err := onSocket(c, func(fd int) error {
		shut = isShut(fd)
		return nil
	})
	return err == nil && shut
}

// isShut tells whether the kernel is done with a socket's connection.
func isShut(fd int) bool {
	const tcpClose = 7 // TCP_CLOSE in the kernel's list of states
	state, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	return err == nil && state&0xff == tcpClose
}
