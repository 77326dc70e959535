package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "f")
	write := func(text string, fail error) error {
		return writeWhole(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, fail)
		})
	}
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if err := write("tw", boom); !errors.Is(err, boom) {
		t.Fatalf("the error is %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != "one" {
		t.Errorf("after a failure the file holds %q, %v", b, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestOutputsCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		out  outputs
		json bool
		want string // "" is fine
	}{
		{"none", outputs{}, true, ""},
		{"new folders", outputs{html: filepath.Join(dir, "a", "b", "c.html")}, false, ""},
		{"over an old file", outputs{html: file}, false, ""},
		{"stdout", outputs{junit: "-"}, false, ""},
		{"stdout twice", outputs{junit: "-", html: "-"}, false, "both go to -"},
		{"stdout with -o json", outputs{junit: "-"}, true, "both go to stdout"},
		{"same file", outputs{junit: file, html: filepath.Join(dir, ".", "file")}, false, "both go to"},
		{"folder", outputs{json: dir}, false, "is a folder"},
		{"a folder to be", outputs{json: filepath.Join(dir, "new") + string(filepath.Separator)}, false, "names a folder"},
		{"below a file", outputs{json: filepath.Join(file, "x")}, false, "--json: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.out.check(io.Discard, tt.json)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}
