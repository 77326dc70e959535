package toxiproxy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// kept makes a door on a state file, restored.
func kept(t *testing.T, file string) (*stage, []string) {
	t.Helper()
	s := newStage(t, func(c *Config) { c.State = file })
	notes, err := s.Restore(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s, notes
}

// saved waits until the file holds a text.
func (s *stage) saved(t *testing.T, file, text string) {
	t.Helper()
	s.await(t, func() bool {
		b, err := readState(file)
		return err == nil && strings.Contains(string(b), text)
	})
}

// end stops a stage's door and takes its proxies away, as the end of the process
// does.
func (s *stage) end(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	if err := s.Door.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Door.all(ctx) {
		_ = s.remove(ctx, p.name)
	}
}

func TestStateIsRestored(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	s, notes := kept(t, file)
	if len(notes) > 0 {
		t.Error(notes)
	}
	addr := s.proxied(t, "p", `,"upstreams":["127.0.0.1:1","127.0.0.1:2"],"when_down":"reset"`)
	s.must(t, "POST", "/proxies/p/toxics", `{"type":"latency","stream":"UpStream","attributes":{"latency":5,"distribution":"uniform"},"toxicity":0.25,"client":["127.0.0.1"]}`)
	s.must(t, "POST", "/proxies", `{"name":"off","listen":"localhost:1","upstream":"x","enabled":false}`)
	s.saved(t, file, `"off"`)
	before := s.must(t, "GET", "/proxies", "")
	s.end(t) // it lifts everything, and that must not be kept
	s, _ = kept(t, file)
	if after := s.must(t, "GET", "/proxies", ""); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	if !strings.Contains(before, addr) {
		t.Errorf("%s is not in %s", addr, before)
	}
	s.consistent(t)
	s.must(t, "DELETE", "/proxies/p", "")
	s.end(t)
	s, _ = kept(t, file)
	if after := s.must(t, "GET", "/proxies", ""); strings.Contains(after, `"p"`) {
		t.Errorf("what was removed is there again: %s", after)
	}
}

// TestStateForgetsWhatIsLifted: a halt is not undone by a restart.
func TestStateForgetsWhatIsLifted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	s, _ := kept(t, file)
	s.proxied(t, "p", `,"toxics":[{"type":"noop"}]`)
	s.saved(t, file, "noop")
	if _, err := s.engine.Halt(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	s.saved(t, file, `"toxics":[]`)
}

// TestTornState: the last good generation is used, said, and never lost.
func TestTornState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	s, _ := kept(t, file)
	s.must(t, "POST", "/proxies", `{"name":"one","upstream":"x","enabled":false}`)
	s.saved(t, file, "one")
	s.must(t, "POST", "/proxies", `{"name":"two","upstream":"x","enabled":false}`)
	s.saved(t, file, "two")
	s.end(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() []byte{
		"torn":         func() []byte { return whole[:len(whole)-20] },
		"empty":        func() []byte { return nil },
		"changed":      func() []byte { return []byte(strings.Replace(string(whole), "two", "six", 1)) },
		"another":      func() []byte { return []byte(`{"format":"x"}`) },
		"no longer is": nil,
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "state.json")
			prev, err := os.ReadFile(file + ".prev")
			if err != nil {
				t.Fatal(err)
			}
			put(t, at+".prev", prev)
			if spoil != nil {
				put(t, at, spoil())
			}
			s, notes := kept(t, at)
			if len(notes) != 1 || !strings.Contains(notes[0], at) {
				t.Errorf("it says %q", notes)
			}
			if got := s.must(t, "GET", "/proxies", ""); !strings.Contains(got, "one") || strings.Contains(got, "two") {
				t.Errorf("from the generation before: %s", got)
			}
			s.saved(t, at, "one")
			if b, err := readState(at + ".prev"); err != nil || !strings.Contains(string(b), "one") {
				t.Errorf("the last good one is lost: %s, %v", b, err)
			}
		})
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBothBad: it starts with nothing else, and touches neither.
func TestBothBad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	put(t, file, []byte("torn"))
	put(t, file+".prev", []byte("torn, too"))
	s := newStage(t, func(c *Config) { c.State = file })
	_, err := s.Restore(context.Background())
	var e *experiment.Error
	if !errors.As(err, &e) || e.ExitCode() != experiment.ExitInput || !strings.Contains(e.Message, file+".prev") {
		t.Fatalf("%v", err)
	}
	if err := s.Door.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "torn", file + ".prev": "torn, too"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", path, b, err)
		}
	}
}

// TestStateOfATakenPort: all or nothing, and the file stays.
func TestStateOfATakenPort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	s, _ := kept(t, file)
	addr := s.proxied(t, "p", "")
	s.must(t, "POST", "/proxies", `{"name":"a","upstream":"x","enabled":false}`)
	s.saved(t, file, `"a"`)
	// The port is still taken by the first door's proxy.
	other := newStage(t, func(c *Config) { c.State = file })
	_, err := other.Restore(context.Background())
	if err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
	if got := other.must(t, "GET", "/proxies", ""); got != "{}" {
		t.Errorf("it has %s", got)
	}
}

// FuzzState: no file makes it panic or is taken for a good one.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"format":"chaosctl toxiproxy state","version":1,"sha256":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","proxies":[]}`))
	f.Add([]byte(`{"format":"chaosctl toxiproxy state","version":1,"sha256":"","proxies":null}`))
	path := filepath.Join(f.TempDir(), "state.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		put(t, path, b)
		proxies, err := readState(path)
		if err == nil && sum(proxies) != sum([]byte("[]")) && !strings.Contains(string(b), sum(proxies)) {
			t.Errorf("%q is taken for %q", b, proxies)
		}
	})
}
