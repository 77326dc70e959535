//go:build unix

package relay_test

import "syscall"

func shortQueue(fd uintptr) error { return syscall.Listen(int(fd), 0) }
