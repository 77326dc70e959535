//go:build !windows

package journal

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// fill appends with little room on the disk left, until it fails as on a full
// disk: some bytes of the record are written and some are not.
func fill(j *Journal) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 4096, Max: 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := range 100 {
		err := j.Append([]byte(strings.Repeat("x", 1000)))
		if err == nil {
			continue
		}
		if i == 0 || !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("append %d: %w", i, err)
		}
		if err := j.Append(nil); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("append after a failed one: %w", err)
		}
		return nil
	}
	return errors.New("the disk is not full")
}

// TestFullDisk lets a child run out of room in the middle of a record: what was
// acknowledged is there, and the rest is a torn tail.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	path, kill := start(t, "fill", dir)
	if strings.HasPrefix(path, "error:") {
		t.Fatal(path)
	}
	kill()
	o := one(t, dir)
	recs, err := o.Records()
	if err != nil || len(recs) != 5 || len(recs[4]) != 1000 || !o.Torn() {
		t.Errorf("%d records, torn: %t, %v", len(recs), o.Torn(), err)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	dir := t.TempDir() + "/journal"
	j := create(t, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, j.Path(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}
