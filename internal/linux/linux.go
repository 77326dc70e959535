// Package linux is the only door to the kernel: what other packages need of
// Linux that the standard library does not offer stands here, and nobody else
// imports golang.org/x/sys/unix.
//
// It builds everywhere. On other systems everything that needs the kernel
// returns errors.ErrUnsupported; a Linux that is too old or that forbids a call
// returns it too. A call for which we lack the right returns an error that is
// fs.ErrPermission.
package linux

import "errors"

// ErrNoProcess: there is no such process, or there is no longer.
var ErrNoProcess = errors.New("no such process")

// State is what all threads of a process do, taken together.
type State string

// The states of a process.
const (
	// Running: at least one thread runs, sleeps or waits as usual.
	Running State = "running"
	// Stopped by a signal: no thread runs until SIGCONT.
	Stopped State = "stopped"
	// Traced: a debugger holds at least one thread.
	Traced State = "traced"
)
