package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// childVar makes the re-executed test binary a child; its value is what to do.
const childVar = "JOURNAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childVar); what != "" {
		os.Exit(child(what, os.Args[1]))
	}
	os.Exit(m.Run())
}

// child works on a journal in dir as another process would, says so in a line,
// and waits until its input ends or it is killed.
func child(what, dir string) int {
	j, err := Create(dir)
	if err == nil {
		err = j.Append([]byte("from the child"))
	}
	if err == nil && what == "fill" {
		err = fill(j)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(j.Path())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// start starts a child and returns its first line, and what kills it.
func start(t *testing.T, what, dir string) (line string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], dir)
	cmd.Env = append(os.Environ(), childVar+"="+what)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

func create(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func orphans(t *testing.T, dir string) []*Orphan {
	t.Helper()
	all, err := Orphans(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		t.Cleanup(func() { _ = o.Release() })
	}
	return all
}

// one is the only orphan in a directory.
func one(t *testing.T, dir string) *Orphan {
	t.Helper()
	all := orphans(t, dir)
	if len(all) != 1 {
		t.Fatalf("there are %d orphans, want 1", len(all))
	}
	return all[0]
}

func texts(records [][]byte) []string {
	var s []string
	for _, r := range records {
		s = append(s, string(r))
	}
	return s
}

func wantRecords(t *testing.T, o *Orphan, want ...string) {
	t.Helper()
	recs, err := o.Records()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, texts(recs)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestLifeOfAJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "journal")
	if all := orphans(t, dir); all != nil {
		t.Fatalf("a directory that does not exist has %d orphans", len(all))
	}
	j := create(t, dir)
	for _, r := range []string{"one", "", "three\n\x00"} {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if all := orphans(t, dir); len(all) != 0 {
		t.Fatal("a journal that is held is taken for an orphan")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}

	o := one(t, dir)
	wantRecords(t, o, "one", "", "three\n\x00")
	if o.Torn() {
		t.Error("a whole journal is called torn")
	}
	if err := o.Append([]byte("over")); err != nil {
		t.Fatal(err)
	}
	if len(orphans(t, dir)) != 0 {
		t.Error("two recoverers hold the same journal")
	}
	if err := o.Release(); err != nil {
		t.Fatal(err)
	}
	o = one(t, dir)
	wantRecords(t, o, "one", "", "three\n\x00", "over")
	if err := o.Remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	if err := create(t, dir).Remove(); err != nil {
		t.Errorf("Remove of an empty journal: %v", err)
	}
	if len(orphans(t, dir)) != 0 {
		t.Error("a removed journal is an orphan")
	}
}

func TestOrphansComeOldestFirstAndAlone(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for range 5 {
		j := create(t, dir)
		want = append(want, j.Path())
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"notes.txt", "x.journal.bak"} {
		if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d.journal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(want[0], filepath.Join(dir, "0.journal")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range orphans(t, dir) {
		got = append(got, o.Path())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("orphans (-want +got):\n%s", diff)
	}
}

// TestTornAtEveryByte cuts a journal at each of its bytes, as a crash might.
func TestTornAtEveryByte(t *testing.T) {
	recs := []string{"first", "", "the third one"}
	whole, ends := []byte(header), []int{len(header)}
	for _, r := range recs {
		whole = append(whole, frame([]byte(r))...)
		ends = append(ends, len(whole))
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "1.journal")
	for _, tail := range [][]byte{nil, make([]byte, 100)} { // zeros: what a file system may leave
		for cut := range len(whole) + 1 {
			if err := os.WriteFile(path, append(slices.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			if cut < len(header) && tail != nil {
				continue // the header is synced before the first record: not a crash
			}
			o := one(t, dir)
			var want []string
			for i, r := range recs {
				if ends[i+1] <= cut {
					want = append(want, r)
				}
			}
			wantRecords(t, o, want...)
			if torn := (cut > 0 && !slices.Contains(ends, cut)) || tail != nil; o.Torn() != torn {
				t.Errorf("cut at %d of %d with %d zeros: torn = %t", cut, len(whole), len(tail), o.Torn())
			}
			if err := o.Append([]byte("x")); err != nil {
				t.Fatalf("append after a cut at %d: %v", cut, err)
			}
			if err := o.Release(); err != nil {
				t.Fatal(err)
			}
			o = one(t, dir)
			wantRecords(t, o, append(want, "x")...)
			if o.Torn() {
				t.Errorf("cut at %d: still torn after an Append", cut)
			}
			if err := o.Release(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestEveryBitFlip turns each bit of a journal round: damage to the last record
// looks like a torn tail, any other is an error, and never is a record changed.
func TestEveryBitFlip(t *testing.T) {
	recs := []string{"first", "", "the third one"}
	whole := []byte(header)
	var last int
	for _, r := range recs {
		last = len(whole)
		whole = append(whole, frame([]byte(r))...)
	}
	for bit := range len(whole) * 8 {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		got, good, err := replay(b)
		for i, r := range got {
			if string(r) != recs[i] {
				t.Fatalf("bit %d: record %d is %q", bit, i, r)
			}
		}
		switch {
		case bit/8 >= last:
			if err != nil || good != last || len(got) != 2 {
				t.Errorf("bit %d, in the last record: %d records, good up to %d, %v", bit, len(got), good, err)
			}
		case !errors.Is(err, ErrCorrupt):
			t.Errorf("bit %d, before the last record: %v, want ErrCorrupt", bit, err)
		}
	}
}

func TestDamagedJournalIsKept(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir)
	for _, r := range []string{"one", "two", "three"} {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("two"))] = 'T'
	if err := os.WriteFile(j.Path(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	o := one(t, dir)
	recs, err := o.Records()
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), j.Path()) {
		t.Errorf("Records of a damaged journal: %v", err)
	}
	if got := texts(recs); !slices.Equal(got, []string{"one"}) || o.Torn() {
		t.Errorf("records before the damage: %q, torn: %t", got, o.Torn())
	}
	if err := o.Append([]byte("x")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Append to a damaged journal: %v", err)
	}
	if err := o.Release(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(j.Path()); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the damaged journal was changed (%v)", err)
	}
}

func TestWhatIsNoJournal(t *testing.T) {
	for _, text := range []string{"chaosctl journal 2\n", "hello", "\x00\x00\x00", strings.Repeat("\xff", 1000)} {
		if _, _, err := replay([]byte(text)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("replay of %.30q: %v", text, err)
		}
	}
}

func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir)
	var all sync.WaitGroup
	want := map[string]bool{}
	for i := range 50 {
		rec := strings.Repeat(fmt.Sprint(i, ";"), i)
		want[rec] = true
		all.Go(func() {
			if err := j.Append([]byte(rec)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	recs, err := one(t, dir).Records()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if !want[string(r)] {
			t.Errorf("a record that nobody wrote, or twice: %q", r)
		}
		delete(want, string(r))
	}
	if len(want) != 0 {
		t.Errorf("%d records are missing", len(want))
	}
}

func TestRecordTooLarge(t *testing.T) {
	dir := t.TempDir()
	j := create(t, dir)
	if err := j.Append(make([]byte, MaxRecord+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
	if err := j.Append(make([]byte, MaxRecord)); err != nil {
		t.Errorf("the largest record, after one that was too large: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if recs, err := one(t, dir).Records(); err != nil || len(recs) != 1 || len(recs[0]) != MaxRecord {
		t.Errorf("%d records, %v", len(recs), err)
	}
}

// TestFailedAppendPoisons closes the file under the journal, so that a write
// fails.
func TestFailedAppendPoisons(t *testing.T) {
	j := create(t, t.TempDir())
	if err := j.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	good := j.f
	bad, err := os.Open(j.Path()) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	j.f = bad
	first := j.Append([]byte("two"))
	j.f = good
	second := j.Append([]byte("three"))
	if first == nil || second == nil || !strings.Contains(second.Error(), "takes no more records") {
		t.Errorf("the failed Append: %v; the next one, whose write would succeed: %v", first, second)
	}
}

func TestWhereNoJournalCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		file:                         "is not a directory",
		filepath.Join(file, "under"): "not a directory",
		open:                         "may be written to by everybody",
	} {
		if _, err := Create(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Create(%s): %v, want %q", dir, err, want)
		}
		if _, err := Orphans(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Orphans(%s): %v, want %q", dir, err, want)
		}
	}
}

// TestKilledProcess leaves a journal to a child, which is killed.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	path, kill := start(t, "hold", dir)
	if len(orphans(t, dir)) != 0 {
		t.Fatal("the journal of a process that lives is taken for an orphan")
	}
	kill()
	o := one(t, dir)
	if o.Path() != path {
		t.Errorf("the orphan is %s, not %s", o.Path(), path)
	}
	wantRecords(t, o, "from the child")
}

// TestRace lets creators and recoverers work on one directory: a journal that
// is held is never taken, and every one that is left is taken once.
func TestRace(t *testing.T) {
	dir := t.TempDir()
	var creators, recoverers sync.WaitGroup
	var left, taken atomic.Int64
	done := make(chan struct{})
	for i := range 4 {
		creators.Go(func() {
			for k := range 40 {
				j, err := Create(dir)
				if err != nil {
					t.Error(err)
					return
				}
				name := fmt.Sprint(i, "/", k)
				if err := j.Append([]byte(name)); err != nil {
					t.Error(err)
				}
				if b, err := os.ReadFile(j.Path()); err != nil || !bytes.Contains(b, []byte(name)) {
					t.Errorf("a journal was taken while it was held: %v", err)
				}
				if k%2 == 0 {
					err = j.Remove()
				} else {
					left.Add(1)
					err = j.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	takeAll := func() {
		all, err := Orphans(dir)
		if err != nil {
			t.Error(err)
		}
		for _, o := range all {
			recs, err := o.Records()
			if err != nil || o.Torn() {
				t.Errorf("torn: %t, %v", o.Torn(), err)
			}
			taken.Add(int64(len(recs))) // an empty one is a creator's that we beat
			if err := o.Remove(); err != nil {
				t.Error(err)
			}
		}
	}
	for range 4 {
		recoverers.Go(func() {
			for {
				takeAll()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	creators.Wait()
	close(done)
	recoverers.Wait()
	takeAll()
	if left.Load() != taken.Load() || left.Load() == 0 {
		t.Errorf("%d journals were left, %d were taken", left.Load(), taken.Load())
	}
}

// FuzzReplay reads anything: what it accepts, it would have written.
func FuzzReplay(f *testing.F) {
	one := append([]byte(header), frame([]byte("one"))...)
	for _, seed := range [][]byte{nil, []byte(header), one, append(one, frame([]byte("two"))...), one[:len(one)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, good, err := replay(b)
		if good > len(b) || (good < len(header) && len(recs) > 0) {
			t.Fatalf("good up to %d of %d bytes with %d records", good, len(b), len(recs))
		}
		if good == 0 {
			return
		}
		again := []byte(header)
		for _, r := range recs {
			again = append(again, frame(r)...)
		}
		if !bytes.Equal(again, b[:good]) {
			t.Fatalf("%d records do not make the %d bytes they were read from", len(recs), good)
		}
		if err != nil {
			return
		}
		// A torn tail is all that may be lost: the journal goes on behind it.
		on, end, err := replay(append(again, frame([]byte("on"))...))
		if err != nil || len(on) != len(recs)+1 || end != len(again)+prefix+2 {
			t.Fatalf("after one more record: %d records, %v", len(on), err)
		}
	})
}
