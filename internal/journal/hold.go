package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrHeld: another process has the file.
var ErrHeld = errHeld

// Hold makes a file that stands for something which one process at a time may
// use, and takes its lock; ErrHeld if somebody has it. Closing gives it back and
// removes the file; the end of the process, however it comes, gives it back.
func Hold(path string) (io.Closer, error) {
	var f *os.File
	var err error
	// It may come, and go with its holder, between two looks.
	for range 3 {
		if f, err = createHeld(path); errors.Is(err, fs.ErrExist) {
			f, err = openHeld(path)
		}
		if err == nil {
			return &held{f, path}, nil
		}
		if !errors.Is(err, errHeld) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, err
}

type held struct {
	f    *os.File
	path string
}

func (h *held) Close() error { return removeHeld(h.f, h.path) }
