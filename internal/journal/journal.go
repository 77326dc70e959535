// Package journal keeps records that must outlive their process: one file for
// each process, appended to and synced to the disk record by record, and read
// by whoever comes after a crash. It knows bytes only.
//
// A process holds its file by a lock that the system lets go when the process
// dies, however it dies. Orphans finds the files that nobody holds and takes
// their locks, so that two recoverers never work on the same file.
//
// What is promised: a record whose Append returned nil is found again after a
// crash of the process or of the machine, as far as the disk keeps what it says
// it has synced. A record whose Append did not return is found whole or not at
// all. The directory must be on a local disk: over a network, locks may not hold.
package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// suffix of the files that are journals; others in the directory are ignored.
const suffix = ".journal"

// Errors that a caller decides on.
var (
	// ErrCorrupt: a journal is damaged before its end, so that records which
	// were acknowledged cannot be read. The file is left as it is.
	ErrCorrupt = errors.New("the journal is damaged")
	// ErrTooLarge: a record is larger than MaxRecord.
	ErrTooLarge = errors.New("the record is too large")
)

// errHeld: somebody else has the file's lock, or took the file away.
var errHeld = errors.New("held by another process")

// Journal is this process's own file. Its methods may be called concurrently.
type Journal struct{ log }

// Create makes dir if it is missing (only its owner may look into it) and a new
// journal in it, locked for as long as it is open. It refuses a directory that
// everybody may write to: what stands in a journal is acted upon.
func Create(dir string) (*Journal, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	for {
		name := fmt.Sprintf("%020d-%d-%s%s", time.Now().UnixNano(), os.Getpid(), rand.Text()[:8], suffix)
		j := &Journal{log{path: filepath.Join(dir, name)}}
		var err error
		j.f, err = createHeld(j.path)
		if errors.Is(err, errHeld) {
			continue // a recoverer took it for an orphan before we had its lock
		}
		if err == nil {
			err = j.begin()
		}
		if err != nil {
			return nil, fmt.Errorf("create journal in %s: %w", dir, err)
		}
		return j, nil
	}
}

func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		return syncDir(filepath.Dir(dir))
	} else if err != nil {
		return err
	}
	return trusted(dir, info)
}

// trusted refuses directories in which everybody may put a journal.
func trusted(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if worldWritable(info) {
		return fmt.Errorf("%s may be written to by everybody (mode %s); make it 0700", dir, info.Mode())
	}
	return nil
}

// Append adds a record of at most MaxRecord bytes and returns once the disk has
// it. After a failure other than ErrTooLarge nobody knows what the disk has, so
// the journal takes no more records: every later Append says why.
func (j *Journal) Append(rec []byte) error { return j.append(rec) }

// Path is the journal's file.
func (j *Journal) Path() string { return j.path }

// Close lets go of the journal and leaves the file: it is an orphan then.
func (j *Journal) Close() error { return j.close() }

// Remove closes the journal and removes its file: the clean end, when no record
// in it is of use any more.
func (j *Journal) Remove() error { return j.remove() }

// log is a file that is held and can be appended to.
type log struct {
	path string

	mu   sync.Mutex
	f    *os.File // nil once closed
	size int64    // where the next record goes
	err  error    // why no more records are taken
}

// begin writes the first line of an empty file and makes sure that the
// directory has the file too.
func (l *log) begin() error {
	_, err := l.f.WriteAt([]byte(header), 0)
	if err == nil {
		err = l.f.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		return errors.Join(err, l.remove())
	}
	l.size = int64(len(header))
	return nil
}

func (l *log) append(rec []byte) error {
	if len(rec) > MaxRecord {
		return fmt.Errorf("append to journal %s: %w: %d bytes, at most %d", l.path, ErrTooLarge, len(rec), MaxRecord)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.f == nil:
		return fmt.Errorf("append to journal %s: %w", l.path, os.ErrClosed)
	case l.err != nil:
		return fmt.Errorf("append to journal %s: it takes no more records since one failed: %w", l.path, l.err)
	}
	b := frame(rec)
	n, err := l.f.WriteAt(b, l.size)
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.err = err
		return fmt.Errorf("append to journal %s: %w", l.path, err)
	}
	l.size += int64(n)
	return nil
}

func (l *log) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("close journal %s: %w", l.path, err)
	}
	return nil
}

func (l *log) remove() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return fmt.Errorf("remove journal %s: %w", l.path, os.ErrClosed)
	}
	f := l.f
	l.f = nil
	if err := errors.Join(removeHeld(f, l.path), syncDir(filepath.Dir(l.path))); err != nil {
		return fmt.Errorf("remove journal %s: %w", l.path, err)
	}
	return nil
}

// Orphan is a journal that its process has left behind, held by us now. End
// with Remove, once nothing in it is owed any more, or with Release.
type Orphan struct {
	log

	read    sync.Once
	records [][]byte
	torn    bool
	readErr error
}

// Orphans takes hold of all journals in dir that nobody holds, oldest first. A
// directory that does not exist has none. An error tells of journals that could
// not be opened; those that could be are returned beside it.
func Orphans(dir string) ([]*Orphan, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = trusted(dir, info)
	}
	var entries []fs.DirEntry
	if err == nil {
		entries, err = os.ReadDir(dir) // sorted by name, which starts with the time
	}
	if err != nil {
		return nil, fmt.Errorf("look for journals: %w", err)
	}
	var all []*Orphan
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		o := &Orphan{log: log{path: filepath.Join(dir, e.Name())}}
		switch o.f, err = openHeld(o.path); {
		case err == nil:
			all = append(all, o)
		case !errors.Is(err, errHeld) && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("take over journal: %w", err))
		}
	}
	return all, errors.Join(errs...)
}

// Path is the journal's file.
func (o *Orphan) Path() string { return o.path }

// Records returns all whole records in their order, without those of Append.
// What a crash left unfinished at the end is cut off, and Torn tells. If the
// journal is damaged before its end, the error is ErrCorrupt, and the records
// before the damage are returned beside it.
func (o *Orphan) Records() ([][]byte, error) {
	o.load()
	return o.records, o.readErr
}

// Torn tells whether the last record was incomplete and has been cut off. Its
// Append never returned nil, unless the disk has lost what it had synced.
func (o *Orphan) Torn() bool {
	o.load()
	return o.torn
}

// load reads the file once, and from then on the log goes on behind its last
// whole record.
func (o *Orphan) load() {
	o.read.Do(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.f == nil {
			o.readErr = fmt.Errorf("read journal %s: %w", o.path, os.ErrClosed)
			return
		}
		b, err := io.ReadAll(io.NewSectionReader(o.f, 0, 1<<62))
		if err == nil {
			var good int
			o.records, good, err = replay(b)
			o.size, o.torn = int64(good), err == nil && good < len(b)
		}
		if err != nil {
			o.readErr = fmt.Errorf("read journal %s: %w", o.path, err)
			o.err = err // no record may be written over what could not be read
		}
	})
}

// Append adds a record as Journal.Append does. A journal that is ErrCorrupt
// takes none.
func (o *Orphan) Append(rec []byte) error {
	o.load()
	if err := o.cut(); err != nil {
		return err
	}
	return o.append(rec)
}

// cut removes a torn tail from the file, so that nothing of it is left behind a
// shorter record.
func (o *Orphan) cut() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.f == nil || o.err != nil {
		return nil // append says so
	}
	info, err := o.f.Stat()
	if err == nil && info.Size() > o.size {
		err = o.f.Truncate(o.size)
	}
	if err == nil && o.size < int64(len(header)) {
		if _, err = o.f.WriteAt([]byte(header), 0); err == nil {
			o.size = int64(len(header))
		}
	}
	if err != nil {
		o.err = err
		return fmt.Errorf("cut the torn end off journal %s: %w", o.path, err)
	}
	return nil
}

// Remove removes the file and lets go of it: nothing in it is owed any more.
func (o *Orphan) Remove() error { return o.remove() }

// Release lets go of the journal and leaves the file for the next recoverer.
func (o *Orphan) Release() error { return o.close() }
