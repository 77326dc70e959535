package experiment_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/chaosctl/chaosctl/experiment"
)

var update = flag.Bool("update", false, "rewrite the expected errors of testdata/bad")

func load(t testing.TB, file string, set ...string) (*experiment.Loaded, error) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return experiment.Load(experiment.Input{File: file, Data: data, Read: os.ReadFile, Set: set})
}

func TestGoodDocuments(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*")
	if len(files) < 4 {
		t.Fatalf("only %d good documents", len(files))
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			if strings.HasPrefix(filepath.Base(f), "topology") {
				data, _ := os.ReadFile(f)
				if _, err := experiment.ParseTopology(f, data); err != nil {
					t.Fatal(err)
				}
				return
			}
			l, err := load(t, f)
			if err != nil {
				t.Fatal(err)
			}
			if l.Experiment == nil || l.Topology == nil {
				t.Fatal("incomplete")
			}
		})
	}
}

// TestBadDocuments reads testdata/bad/*.txtar: the first file is the document,
// topology.yaml is found beside it, `set` holds lines for --set, `server` is a
// topology a server serves, and `want` is the error.
func TestBadDocuments(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) == 0 {
		t.Fatal("no bad documents")
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { badDocument(t, f) })
	}
}

func badDocument(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, p := range ar.Files {
		parts[p.Name] = p.Data
	}
	got := "no error\n"
	if err := loadArchive(t, ar, parts); err != nil {
		got = err.Error() + "\n"
		var ps experiment.Problems
		if !errors.As(err, &ps) || len(ps) == 0 {
			t.Errorf("the error is a %T, not Problems", err)
		}
	}
	want := string(parts["want"])
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("got:\n%s\nwant:\n%s", got, want)
	}
	for i := range ar.Files {
		if ar.Files[i].Name == "want" {
			ar.Files = append(ar.Files[:i], ar.Files[i+1:]...)
			break
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

func loadArchive(t *testing.T, ar *txtar.Archive, parts map[string][]byte) error {
	doc := ar.Files[0]
	if doc.Name == "topology.yaml" {
		_, err := experiment.ParseTopology(doc.Name, doc.Data)
		return err
	}
	in := experiment.Input{File: doc.Name, Data: doc.Data, Read: func(path string) ([]byte, error) {
		if data, ok := parts[filepath.ToSlash(path)]; ok {
			return data, nil
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}}
	if set := strings.TrimSpace(string(parts["set"])); set != "" {
		in.Set = strings.Split(set, "\n")
	}
	if text, ok := parts["server"]; ok {
		top, err := experiment.ParseTopology("server", text)
		if err != nil {
			t.Fatal(err)
		}
		in.Server, in.Read = top, nil
	}
	_, err := experiment.Load(in)
	return err
}
