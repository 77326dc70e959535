package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// sharingViolation is ERROR_SHARING_VIOLATION: somebody has the file open.
const sharingViolation = syscall.Errno(32)

// createHeld makes a new file that nobody else can open while we have it.
func createHeld(path string) (*os.File, error) { return open(path, syscall.CREATE_NEW) }

// openHeld opens a file that nobody else has open; errHeld if somebody has.
func openHeld(path string) (*os.File, error) { return open(path, syscall.OPEN_EXISTING) }

// open opens without sharing, which is a lock that the system lets go with the
// handle.
func open(path string, how uint32) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, how, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, fmt.Errorf("%s: %w", path, errHeld)
	} else if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// removeHeld closes first: what is open without sharing cannot be removed. A
// recoverer that takes the file in between keeps it, and finds its records.
func removeHeld(f *os.File, path string) error {
	return errors.Join(f.Close(), os.Remove(path))
}

// syncDir does nothing: the names are in the file system's own journal.
func syncDir(string) error { return nil }

// worldWritable cannot be told from the mode; the directory's owner sees to it.
func worldWritable(fs.FileInfo) bool { return false }
