package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestHold: one has it at a time, and nothing is left of it.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	for range 2 {
		one, err := Hold(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Hold(path); !errors.Is(err, ErrHeld) {
			t.Errorf("a second one gets %v", err)
		}
		if err := one.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is left behind: %v", err)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what kill -9 leaves
		t.Fatal(err)
	}
	again, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Hold(filepath.Join(path, "nowhere", "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
}
