package linux

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Detach returns a descriptor of the socket that c holds, with the options of
// InheritOptions, for the calls of this package. Both stand for the same
// connection: close c, which then closes nothing else.
func Detach(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	own := -1
	var failed error
	if err := raw.Control(func(fd uintptr) {
		own, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	if failed == nil {
		failed = connOptions(own)
		if failed != nil {
			Close(own)
		}
	}
	return own, failed
}
