package toxiproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// SaveWithin is how soon what was answered is in the state file, on a disk that
// takes half of it to sync. Saving waits a little for more to come: a thousand
// proxies are not a thousand syncs.
const SaveWithin = 50 * time.Millisecond

const (
	gatherFor  = 10 * time.Millisecond
	saveAgain  = time.Second // after a failure
	stateWords = "chaosctl toxiproxy state"
)

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
	case f.Format != stateWords || f.Version != 1:
		return nil, fmt.Errorf("it is not a state file of this version: format %q, version %d", clip(f.Format), f.Version)
	case sum(f.Proxies) != f.SHA256:
		return nil, errors.New("its checksum does not fit: it was damaged or changed by hand")
	}
	return f.Proxies, nil
}

// saver keeps the proxies in a file: in a temporary one first, which takes the
// other's place when it is on the disk. The one before is kept as FILE.prev.
type saver struct {
	door  *Door
	path  string
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
	s := &saver{door: d, path: d.cfg.State, dirty: make(chan struct{}, 1), stop: make(chan struct{})}
	proxies, notes, err := s.load()
	if err != nil {
		return notes, err
	}
	if proxies != nil {
		if err := d.restore(ctx, proxies); err != nil {
			return notes, err
		}
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

// load returns the newest generation that is whole, nil if there is none yet.
func (s *saver) load() (proxies []byte, notes []string, err error) {
	proxies, newest := readState(s.path)
	if newest == nil {
		s.good, s.saved = true, proxies
		return proxies, nil, nil
	}
	prev := s.path + ".prev"
	proxies, older := readState(prev)
	gone := errors.Is(newest, fs.ErrNotExist)
	switch {
	case older == nil:
		at := ""
		if info, err := os.Stat(prev); err == nil {
			at = ", which was saved at " + info.ModTime().Format(time.DateTime)
		}
		return proxies, []string{fmt.Sprintf("the state file %s is refused: %s; the one before is used: %s%s", s.path, newest, prev, at)}, nil
	case gone && errors.Is(older, fs.ErrNotExist):
		return nil, nil, s.writable()
	case gone:
		newest = errors.New("it is not there")
	}
	return nil, nil, &experiment.Error{
		Code:    experiment.BadInput,
		Message: fmt.Sprintf("the state file %s is refused: %s; and so is the one before, %s: %s", s.path, newest, prev, older),
		Hint:    "nothing was overwritten; bring one of them back, or move both away to start without proxies",
	}
}

// writable tells early that a file cannot be made there.
func (s *saver) writable() error {
	f, err := os.OpenFile(s.path+".tmp", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf("the state file cannot be written: %s", err), Hint: "name a file in a folder that exists and may be written to"}
	}
	return f.Close()
}

// restore makes the proxies of a state, all or none.
func (d *Door) restore(ctx context.Context, proxies []byte) error {
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
	return &experiment.Error{
		Code: experiment.BadInput, Message: fmt.Sprintf("the state file %s cannot be restored: %s", d.cfg.State, oneLine(err)),
		Hint: "free the address, or move the file away to start without its proxies; nothing was overwritten",
	}
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
		b = append(b, p.json...)
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
	head := fmt.Sprintf(`{"format":%q,"version":1,"sha256":%q,"proxies":`, stateWords, sum(proxies))
	if err := writeSynced(tmp, []byte(head), proxies, []byte("}\n")); err != nil {
		return errors.Join(err, os.Remove(tmp))
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
		err = s.save(context.WithoutCancel(ctx))
	})
	return err
}
