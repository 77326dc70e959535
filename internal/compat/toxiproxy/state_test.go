package toxiproxy

import (
	"context"
	"errors"
	"io/fs"
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
	addr := s.proxied(t, "p", `,"when_down":"reset"`)
	s.must(t, "PATCH", "/proxies/p", `{"listen":"`+addr+`","upstreams":["127.0.0.1:1","127.0.0.1:2"]}`)
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

// TestStateKeepsTheOrder: toxics act in the order in which they came, whatever the
// order of answers.
func TestStateKeepsTheOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	order := func(s *stage) (names string) {
		p, err := s.get(context.Background(), "p")
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range p.toxics {
			names += x.name + " "
		}
		return names
	}
	s, _ := kept(t, file)
	s.proxied(t, "p", `,"toxics":[{"type":"noop","name":"b","stream":"both"},{"type":"noop","name":"d"},{"type":"noop","name":"u","stream":"upstream"}]`)
	s.saved(t, file, `"b"`)
	before := s.must(t, "GET", "/proxies/p", "")
	s.end(t)
	s, _ = kept(t, file)
	if got := order(s); got != "b d u " {
		t.Errorf("they act as %s", got)
	}
	if after := s.must(t, "GET", "/proxies/p", ""); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
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
			says := " is refused: "
			if spoil == nil {
				says = " is not there; the one before is used"
			}
			if len(notes) != 1 || !strings.Contains(notes[0], at+says) {
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
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "state.json")
	put(t, copied+".prev", b)
	other := newStage(t, func(c *Config) { c.State = copied })
	_, err = other.Restore(context.Background())
	var e *experiment.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, addr) || !strings.Contains(e.Hint, copied+".prev") {
		t.Errorf("%v", err)
	}
	if got := other.must(t, "GET", "/proxies", ""); got != "{}" {
		t.Errorf("it has %s", got)
	}
}

// refused restores from a file that must not be used, and must stay as it is.
func refused(t *testing.T, file string, says ...string) {
	t.Helper()
	before, _ := os.ReadFile(file) // some cannot be read
	s := newStage(t, func(c *Config) { c.State = file })
	_, err := s.Restore(context.Background())
	var e *experiment.Error
	if !errors.As(err, &e) || e.ExitCode() != experiment.ExitInput {
		t.Fatalf("%v", err)
	}
	for _, text := range says {
		if !strings.Contains(e.Message+"\n"+e.Hint, text) {
			t.Errorf("%q is not in: %s\n%s", text, e.Message, e.Hint)
		}
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("it held %q, and now %q", before, after)
	}
}

// TestStateHasOneKeeper: two servers on one file would overwrite each other.
func TestStateHasOneKeeper(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	s, _ := kept(t, file)
	s.saved(t, file, "[]")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, link} {
		refused(t, name, name+" is kept by another server", "nothing was overwritten")
	}
	s.end(t)
	if _, err := os.Stat(file + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock is left behind: %v", err)
	}
	kept(t, link)
}

// TestStateBehindALink: it is the file that is replaced, not the link to it.
func TestStateBehindALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	file, link, far := filepath.Join(dir, "real", "state.json"), filepath.Join(dir, "link"), filepath.Join(dir, "far")
	for name, to := range map[string]string{link: filepath.Join("real", "state.json"), far: link} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, round := range []string{"one", "two"} { // the first makes the file
		s, _ := kept(t, far)
		s.must(t, "POST", "/proxies", `{"name":"`+round+`","upstream":"x","enabled":false}`)
		s.saved(t, file, round)
		s.end(t)
		for _, name := range []string{link, far} {
			if info, err := os.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("%s is no link any more: %v, %v", name, info, err)
			}
		}
	}
	circle := filepath.Join(dir, "circle")
	if err := os.Symlink(circle, circle); err != nil {
		t.Fatal(err)
	}
	refused(t, circle, "cannot be used")
}

// TestStateIsARegularFile: reading from a pipe waits for ever.
func TestStateIsARegularFile(t *testing.T) {
	dir := t.TempDir()
	refused(t, dir, "it is not a regular file")
	refused(t, os.DevNull, "it is not a regular file")
	other := filepath.Join(dir, "other.json")
	put(t, other, []byte("something else"))
	refused(t, other, "no state file", "name another file")
	file := filepath.Join(dir, "state.json")
	put(t, file, []byte("torn"))
	if err := os.Mkdir(file+".prev", 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, file, "the one before, "+file+".prev: it is not a regular file")
	refused(t, filepath.Join(dir, "nowhere", "state.json"), "cannot be written", "a folder that exists")
}

// TestNewerState: what a newer chaosctl has saved is not given up for what an older
// one understands.
func TestNewerState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	put(t, file, []byte(`{"format":"chaosctl toxiproxy state","version":2,"sha256":"","proxies":{}}`))
	put(t, file+".prev", []byte(`{"format":"chaosctl toxiproxy state","version":1,"sha256":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","proxies":[]}`))
	refused(t, file, "written by a newer chaosctl", "version is 2", file+".prev away")
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
