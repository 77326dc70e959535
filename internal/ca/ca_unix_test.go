//go:build unix

package ca_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/chaosctl/chaosctl/internal/ca"
)

// Nobody waits for a pipe that nobody writes to.
func TestLoadRefusesPipe(t *testing.T) {
	a, folder := create(t)
	if err := errors.Join(os.Remove(a.Path()), syscall.Mkfifo(a.Path(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Load(folder); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Error(err)
	}
	if err := errors.Join(os.Remove(a.Path()), os.Mkdir(a.Path(), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Create(folder, true); err == nil || errors.Is(err, ca.ErrExists) {
		t.Errorf("a folder in its place: %v", err)
	}
}
