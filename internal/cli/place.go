package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds how many symbolic links in a row are followed.
const maxLinks = 40

// place is where a report really goes.
type place struct {
	path string // behind all symbolic links, unless there is a mode
	// mode is that of what is written to as it stands, because it is no plain
	// file that another could replace; 0 for a plain file, there or to be made.
	mode fs.FileMode
	open bool // a plain file that is somebody's descriptor: written at its end
}

// placeOf finds out what path leads to. What can hold no report is an error.
func placeOf(path string) (place, error) {
	if path != "" && os.IsPathSeparator(path[len(path)-1]) {
		return place{}, fmt.Errorf("%s names a folder; a file is expected", path)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = behind(path)
		return place{path: path}, err
	}
	if err != nil {
		return place{}, err
	}
	switch mode := info.Mode().Type(); {
	case mode.IsDir():
		return place{}, fmt.Errorf("%s is a folder; a file is expected", path)
	case mode.IsRegular() && isDescriptor(path):
		return place{path: path, open: true}, nil
	case mode.IsRegular():
		path, err = filepath.EvalSymlinks(path)
		return place{path: path}, err
	case mode&fs.ModeCharDevice != 0, mode == fs.ModeNamedPipe:
		return place{path: path, mode: mode}, nil
	}
	return place{}, fmt.Errorf("%s is neither a file nor a pipe nor a terminal", path)
}

// isDescriptor tells whether a path stands for what a process has open.
func isDescriptor(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for _, p := range []string{"/dev/std", "/dev/fd/", "/proc/"} {
		if strings.HasPrefix(filepath.ToSlash(abs), p) {
			return true
		}
	}
	return false
}

// behind follows the symbolic links of a file that does not exist yet.
func behind(path string) (string, error) {
	for range maxLinks {
		to, err := os.Readlink(path)
		if err != nil { // no link: this is it
			return path, nil
		}
		if filepath.IsAbs(to) {
			path = to
			continue
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, to)
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// plain tells whether a file is made and put there whole.
func (p place) plain() bool { return p.mode == 0 && !p.open }

// try finds out whether it can be written, and leaves it as it is. A pipe is
// not tried: whoever reads it would take that for the end.
func (p place) try() error {
	switch {
	case p.mode == fs.ModeNamedPipe:
		return nil
	case !p.plain():
		f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		return f.Close()
	}
	f, err := p.beside()
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// beside makes the folder and a temporary file in it.
func (p place) beside() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Dir(p.path), ".chaosctl-*")
}

func writable(path string) error {
	p, err := placeOf(path)
	if err != nil {
		return err
	}
	return p.try()
}

// writeWhole writes a file through a temporary one beside it, so that it is
// there whole or not at all. A symbolic link stays and what it leads to is
// written; a device or a pipe is written to as it stands.
func writeWhole(path string, fill func(io.Writer) error) error {
	p, err := placeOf(path)
	switch {
	case err != nil:
		return err
	case !p.plain():
		return p.writeInto(fill)
	}
	return p.replace(fill)
}

func (p place) replace(fill func(io.Writer) error) (err error) {
	f, err := p.beside()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	b := bufio.NewWriter(f)
	if err := fill(b); err != nil {
		return err
	}
	if err := errors.Join(b.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), p.path)
}

// writeInto writes to what is there. It does not wait for somebody to read a
// pipe: nobody may ever come.
func (p place) writeInto(fill func(io.Writer) error) (err error) {
	flags := os.O_WRONLY | os.O_APPEND
	if p.mode == fs.ModeNamedPipe {
		flags |= syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(p.path, flags, 0)
	if errors.Is(err, syscall.ENXIO) {
		return fmt.Errorf("nobody reads it: %w", err)
	}
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	err = fill(b)
	if err == nil {
		err = b.Flush()
	}
	err = errors.Join(err, f.Close())
	if errors.Is(err, syscall.EPIPE) { // not that of stdout, which is no failure
		return errors.New("whoever read it is gone")
	}
	return err
}
