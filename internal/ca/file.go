package ca

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// most is how large the file of an authority may be, in bytes.
const most = 64 << 10

// readPrivate reads a file that nobody else may read.
func readPrivate(path string) ([]byte, error) {
	if err := checkLink(path); err != nil {
		return nil, err
	}
	// Not opened before it is known to be a file: a pipe would keep us waiting.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	if err := checkPrivate(path, info); err != nil { // it may be another one by now
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s is longer than %d bytes; that is no certificate authority of ours", path, most)
	}
	return b, nil
}

// checkPrivate refuses what is no file, what others may read, and what is not ours.
func checkPrivate(path string, info os.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no plain file; the certificate authority must be one", path)
	case !ours(info):
		return fmt.Errorf("%s belongs to another user; the key of a certificate authority must be your own", path)
	case exposed(info):
		return fmt.Errorf("%s can be read or written by others (mode %04o): whoever has its key can pose as any server; if nobody has read it, `chmod 600 %s`, else make a new one with `chaosctl ca init --force`", path, info.Mode().Perm(), path)
	}
	return nil
}

// checkLink refuses a symbolic link that somebody else has made.
func checkLink(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("read the certificate authority: %w", err)
	}
	if info.Mode()&os.ModeSymlink != 0 && !ours(info) {
		return fmt.Errorf("%s is a symbolic link of another user; the certificate authority must be your own file", path)
	}
	return nil
}

// writePrivate makes a file with mode 0600 that is there whole or not at all. One that
// is there is replaced if that is wanted.
func writePrivate(path string, text []byte, replace bool) (err error) {
	// Temporary files have mode 0600 from the start.
	f, err := os.CreateTemp(filepath.Dir(path), ".ca-*")
	if err != nil {
		return fmt.Errorf("write the certificate authority: %w", err)
	}
	defer func() {
		if gone := os.Remove(f.Name()); gone != nil && !errors.Is(gone, os.ErrNotExist) && err == nil {
			err = fmt.Errorf("write the certificate authority: %w", gone)
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the certificate authority: %w", err)
	}
	put := os.Link // fails if there is one
	if replace {
		put = os.Rename
	}
	if err = put(f.Name(), path); errors.Is(err, os.ErrExist) && !replace {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write the certificate authority: %w", err)
	}
	return nil
}
