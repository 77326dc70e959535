//go:build unix

package cli

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

func writeText(path, text string) error {
	return writeWhole(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// holds checks that a path is a plain file with a text.
func holds(t *testing.T, path, text string) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%s is %v, %v", path, info.Mode(), err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("%s holds %q, %v", path, b, err)
	}
}

// A symbolic link stays: what it leads to is written, there or not yet.
func TestWriteThroughLinks(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("sub/old"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"one": "two", "two": "sub/old", "sub/back": "../new", "folder": "sub", "round": "again", "again": "round", "far": at("made/here")} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, end := range map[string]string{"one": "sub/old", "folder/back": "new", "folder/x": "sub/x", "far": "made/here"} {
		if err := writable(at(path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := writeText(at(path), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		holds(t, at(end), path)
	}
	for _, link := range []string{"one", "two", "sub/back", "far"} {
		if info, err := os.Lstat(at(link)); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s is no link any more: %v, %v", link, info.Mode(), err)
		}
	}
	for path, want := range map[string]string{"folder": "is a folder", "round": "too many"} {
		if err := writable(at(path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	o := outputs{html: at("one"), json: at("sub/old")}
	if err := o.check(io.Discard, false); err == nil || !strings.Contains(err.Error(), "both go to") {
		t.Errorf("a link and its target: %v", err)
	}
	if left, err := filepath.Glob(at("sub/.chaosctl-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A device stays a device, and what it cannot take is an error.
func TestWriteToDevice(t *testing.T) {
	for _, tt := range []struct {
		path string
		err  error
	}{{"/dev/null", nil}, {"/dev/full", syscall.ENOSPC}} {
		if _, err := os.Stat(tt.path); err != nil {
			continue // only Linux has /dev/full
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(tt.path, link); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{link, tt.path} { // the link first: if it were replaced, no harm is done
			if err := writable(path); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if p, err := placeOf(path); err != nil || p.plain() {
				t.Fatalf("%s counts as a plain file: %v", path, err)
			}
			if err := writeText(path, "x"); !errors.Is(err, tt.err) {
				t.Errorf("%s: %v, want %v", path, err, tt.err)
			}
		}
		if info, err := os.Lstat(tt.path); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
			t.Fatalf("%s is %v, %v", tt.path, info.Mode(), err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("the link is %v, %v", info.Mode(), err)
		}
	}
}

// A pipe is written to, and nobody's pipe does not hang.
func TestWriteToPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writable(pipe); err != nil {
		t.Fatal(err)
	}
	if err := writeText(pipe, "lost"); err == nil || !strings.Contains(err.Error(), "nobody reads it") {
		t.Errorf("without a reader: %v", err)
	}
	// A reader of its own would see the end of the pipe before there is a writer.
	r, err := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	long := strings.Repeat("0123456789", 50_000) // more than a pipe holds
	wrote := make(chan error, 1)
	go func() { wrote <- writeText(pipe, long) }()
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(long))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != long {
		t.Errorf("read: %v", err)
		_ = r.Close() // whoever writes would wait for ever
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("it is %v, %v", info.Mode(), err)
	}
}

// A socket can hold no report.
func TestWriteToSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := errors.Join(writable(path)); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Error(err)
	}
}

// What is stdout under another name is stdout: it is not replaced, and the text
// does not go there as well.
func TestStdoutByName(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := outputs{json: f.Name()}
	if err := o.check(&outlet{Writer: f}, false); err != nil || !o.onStdout() {
		t.Errorf("%+v, %v", o, err)
	}
	if err := o.write(f, &experiment.Run{ID: "r-1"}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(f.Name()); err != nil || !strings.Contains(string(b), "r-1") {
		t.Errorf("it holds %q, %v", b, err)
	}
	o = outputs{json: f.Name()}
	if err := o.check(f, true); err == nil || !strings.Contains(err.Error(), "both go to stdout") {
		t.Errorf("with -o json: %v", err)
	}
}
