package traffic

import (
	"errors"
	"syscall"
)

// Windows' own numbers; package syscall's names for them stand for others.
const (
	connectionAborted = syscall.Errno(10053)
	connectionReset   = syscall.Errno(10054)
	connectionRefused = syscall.Errno(10061)
)

func isRefused(err error) bool { return errors.Is(err, connectionRefused) }

func isReset(err error) bool {
	return errors.Is(err, connectionReset) || errors.Is(err, connectionAborted)
}
