package toxiproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/journal"
)

// SaveWithin is how soon what was answered is in the state file, on a disk that
// takes half of it to sync. Saving waits a little for more to come: a thousand
// proxies are not a thousand syncs.
const SaveWithin = 50 * time.Millisecond

const (
	gatherFor  = 10 * time.Millisecond
	saveAgain  = time.Second // after a failure
	stateWords = "chaosctl toxiproxy state"
	// stateVersion is the newest format of the file that is understood here.
	stateVersion = 1
)

// errNewer: the file has a format that is not known here. Nothing may take its
// place: whoever wrote it can read it.
var errNewer = errors.New("it was written by a newer chaosctl")

// stateFile is what is in the file: the proxies as answers show them, and a sum
// over those bytes.
type stateFile struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Proxies json.RawMessage `json:"proxies"`
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// readState reads one generation; the error says what is wrong with it.
func readState(path string) (proxies []byte, err error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f stateFile
	switch err := json.Unmarshal(b, &f); {
	case len(b) == 0:
		return nil, errors.New("it is empty")
	case err != nil:
		return nil, fmt.Errorf("it is torn or no state file: %w", err)
	case f.Format == stateWords && f.Version > stateVersion:
		return nil, fmt.Errorf("%w: its version is %d, and up to %d is understood here", errNewer, f.Version, stateVersion)
	case f.Format != stateWords || f.Version != stateVersion:
		return nil, fmt.Errorf("it is not a state file of this version: format %q, version %d", clip(f.Format), f.Version)
	case sum(f.Proxies) != f.SHA256:
		return nil, errors.New("its checksum does not fit: it was damaged or changed by hand")
	}
	return f.Proxies, nil
}

// notThere is fs.ErrNotExist in words that go behind a file's name.
type notThere struct{}

func (notThere) Error() string { return "it is not there" }
func (notThere) Unwrap() error { return fs.ErrNotExist }

// regular is an error for what is there and is no file: reading it may wait for
// ever. For what is not there the error is fs.ErrNotExist.
func regular(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return notThere{}
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	return err
}

// behindLinks is the file that path leads to, which may be still to be made. It is
// that one that is replaced by a save, not the link.
func behindLinks(path string) (string, error) {
	for {
		real, err := filepath.EvalSymlinks(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return real, err // a circle of links is an error here
		}
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link
		}
		if !filepath.IsAbs(to) {
			to = filepath.Dir(path) + string(filepath.Separator) + to
		}
		path = to
	}
}

// saver keeps the proxies in a file: in a temporary one first, which takes the
// other's place when it is on the disk. The one before is kept as FILE.prev. As
// long as it does, FILE.lock keeps others away.
type saver struct {
	door  *Door
	path  string
	lock  io.Closer
	dirty chan struct{} // holds one when there may be something to save
	stop  chan struct{}
	work  sync.WaitGroup
	quit  context.CancelFunc
	once  sync.Once // ends it

	good  bool   // FILE is there and can be read
	saved []byte // what it holds
}

// Restore makes the proxies that the state file holds, and keeps that file from
// then on. The notes say what was wrong with it and what was used in its place.
// An error means that nothing was overwritten. Without a state file it does
// nothing.
func (d *Door) Restore(ctx context.Context) (notes []string, err error) {
	if d.cfg.State == "" {
		return nil, nil
	}
	s := &saver{door: d, dirty: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := s.open(d.cfg.State); err != nil {
		return nil, err
	}
	proxies, from, notes, err := s.load()
	if err == nil && proxies != nil {
		err = s.restore(ctx, proxies, from)
	}
	if err != nil {
		return notes, errors.Join(err, s.lock.Close())
	}
	d.saver = s
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.quit = cancel
	events := d.cfg.Watch.Subscribe(watch, 0)
	s.work.Go(func() { s.watch(events) })
	s.work.Go(func() { s.run(watch) })
	s.touch()
	return notes, nil
}

// open finds the file and keeps other servers away from it; an error is an *Error.
func (s *saver) open(file string) error {
	path, err := behindLinks(file)
	if err == nil {
		err = regular(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return badState("name a file in a folder that exists and may be written to", "the state file %s cannot be used: %s", file, err)
	}
	s.path = path
	switch s.lock, err = journal.Hold(path + ".lock"); {
	case errors.Is(err, journal.ErrHeld):
		return badState("end that one, or name another file; nothing was overwritten", "the state file %s is kept by another server that runs", file)
	case err != nil:
		return badState("name a file in a folder that exists and may be written to", "the state file %s cannot be written: %s", file, err)
	}
	return nil
}

func badState(hint, format string, args ...any) error {
	return &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// load returns the newest generation that is whole and the file that it is from,
// nil if there is none yet; an error is an *Error.
func (s *saver) load() (proxies []byte, from string, notes []string, err error) {
	proxies, newest := readState(s.path)
	if newest == nil {
		s.good, s.saved = true, proxies
		return proxies, s.path, nil, nil
	}
	prev := s.path + ".prev"
	hint := fmt.Sprintf("nothing was overwritten; bring one of them back, or move %s and %s away to start without proxies", s.path, prev)
	if errors.Is(newest, errNewer) {
		return nil, "", nil, badState("run that one; "+hint, "the state file %s is refused: %s", s.path, newest)
	}
	proxies, older := readState(prev)
	gone := errors.Is(newest, fs.ErrNotExist)
	switch {
	case older == nil && gone:
		return proxies, prev, []string{fmt.Sprintf("the state file %s is not there; the one before is used: %s", s.path, dated(prev))}, nil
	case older == nil:
		return proxies, prev, []string{fmt.Sprintf("the state file %s is refused: %s; the one before is used: %s", s.path, newest, dated(prev))}, nil
	case gone && errors.Is(older, fs.ErrNotExist):
		return nil, "", nil, nil
	}
	if errors.Is(older, fs.ErrNotExist) {
		return nil, "", nil, badState("nothing was overwritten; name another file, or move it away to start without proxies", "the state file %s is refused: %s", s.path, newest)
	}
	return nil, "", nil, badState(hint, "the state file %s is refused: %s; and so is the one before, %s: %s", s.path, newest, prev, older)
}

// dated is the name of a file with the time when it was written.
func dated(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path
	}
	return path + ", which was saved at " + info.ModTime().Format(time.DateTime)
}

// restore makes the proxies of a state, all or none.
func (s *saver) restore(ctx context.Context, proxies []byte, from string) error {
	d := s.door
	var inputs []json.RawMessage
	err := json.Unmarshal(proxies, &inputs)
	for i := 0; err == nil && i < len(inputs); i++ {
		if _, err = d.create(ctx, inputs[i]); err != nil {
			var in Proxy
			_ = json.Unmarshal(inputs[i], &in) // for its name, as far as it has one
			err = fmt.Errorf("proxy %q: %w", clip(in.Name), err)
		}
	}
	if err == nil {
		return nil
	}
	for _, p := range d.all(ctx) {
		_ = d.remove(ctx, p.name) // it is there
	}
	hint := fmt.Sprintf("free the address, or move %s and %s.prev away to start without proxies; nothing was overwritten", s.path, s.path)
	return badState(hint, "the state file %s cannot be restored: %s", from, oneLine(err))
}

// touch says that there may be something to save.
func (s *saver) touch() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// watch touches when something was lifted: it may have been one of our toxics.
func (s *saver) watch(events <-chan experiment.Event) {
	for ev := range events {
		switch ev.Type {
		case "lifted", "expired", "halted":
			s.touch()
		}
	}
}

func (s *saver) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		wait := gatherFor
		select {
		case <-s.dirty:
		case <-s.stop:
			return
		}
		for again := true; again; wait = saveAgain {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-s.stop:
				return
			}
			err := s.save(ctx)
			if again = err != nil; again {
				s.door.log.ErrorContext(ctx, "the state is not saved; it is tried again", "error", err.Error())
			}
		}
	}
}

// save writes the proxies there are, if they are not what the file holds.
func (s *saver) save(ctx context.Context) error {
	b := []byte{'['}
	for i, p := range s.door.all(ctx) {
		if i > 0 {
			b = append(b, ',', '\n')
		}
		b = append(b, p.kept()...)
	}
	b = append(b, ']')
	if s.good && bytes.Equal(b, s.saved) {
		return nil
	}
	if err := s.write(b); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	s.good, s.saved = true, b
	return nil
}

// write makes a new generation. What stands in its place is moved to FILE.prev if
// it is whole, else to FILE.bad: the last good one is never lost.
func (s *saver) write(proxies []byte) error {
	tmp := s.path + ".tmp"
	head := fmt.Sprintf(`{"format":%q,"version":%d,"sha256":%q,"proxies":`, stateWords, stateVersion, sum(proxies))
	if err := writeSynced(tmp, []byte(head), proxies, []byte("}\n")); err != nil {
		if left := os.Remove(tmp); !errors.Is(left, fs.ErrNotExist) {
			err = errors.Join(err, left)
		}
		return err
	}
	var err error
	if s.good {
		err = keep(s.path, s.path+".prev")
	} else {
		err = os.Rename(s.path, s.path+".bad")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// keep gives a file a second name, in the place of what has it, so that at no time
// the first is missing; where the file system cannot do that, it moves it.
func keep(path, as string) error {
	second := as + ".tmp"
	if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, second); err != nil {
		return os.Rename(path, as)
	}
	return os.Rename(second, as)
}

func writeSynced(path string, parts ...[]byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err == nil {
			_, err = f.Write(p)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir puts a rename on the disk; Windows has no way to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close saves what is not saved yet and keeps the state file no longer: what is
// lifted afterwards is there again after a restart. Proxies stay as they are.
func (d *Door) Close(ctx context.Context) (err error) {
	s := d.saver
	if s == nil {
		return nil
	}
	s.once.Do(func() {
		close(s.stop)
		s.quit()
		s.work.Wait()
		err = errors.Join(s.save(context.WithoutCancel(ctx)), s.lock.Close())
	})
	return err
}
