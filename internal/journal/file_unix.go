//go:build !windows

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// createHeld makes a new file and takes its lock; errHeld if a recoverer was
// quicker.
func createHeld(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return hold(f, path)
}

// openHeld opens a file and takes its lock; errHeld if somebody else has it.
func openHeld(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return hold(f, path)
}

// hold takes the lock of an open file, which is closed when that fails. Between
// opening and locking, its last holder may have removed it: a lock on a file
// that no longer stands in the directory is worth nothing.
func hold(f *os.File, path string) (*os.File, error) {
	err := flock(f)
	if err == nil {
		var mine, there fs.FileInfo
		if mine, err = f.Stat(); err == nil {
			there, err = os.Lstat(path)
		}
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
			err = fmt.Errorf("%s: %w", path, errHeld)
		}
	} else if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s: %w", path, errHeld)
	} else {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	if err != nil {
		_ = f.Close() // the first error is the one to tell
		return nil, err
	}
	return f, nil
}

// flock locks for the open file, not for the process: the system lets go when
// the last descriptor is closed, and no child of ours inherits it.
func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// removeHeld removes the file before its lock goes.
func removeHeld(f *os.File, path string) error {
	return errors.Join(os.Remove(path), f.Close())
}

// syncDir makes sure that the disk has the names in a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func worldWritable(info fs.FileInfo) bool { return info.Mode().Perm()&0o002 != 0 }
