package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chaosctl/chaosctl/experiment"
)

// anything fills a value with what its type allows, zeros among it.
func anything(r *rand.Rand, v reflect.Value) {
	if r.IntN(4) == 0 {
		v.SetZero()
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Now().UTC().Round(0).Add(time.Duration(r.Int64N(int64(48*time.Hour))) - 24*time.Hour)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			anything(r, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		anything(r, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(4), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			anything(r, v.Index(i))
		}
	case reflect.String:
		if r.IntN(3) > 0 {
			v.SetString(fmt.Sprint("text ", r.IntN(20)))
			return
		}
		b := make([]byte, r.IntN(2*textShared))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.SetString(string(b))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64) * (1 - 2*r.Int64N(2)))
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits() + r.IntN(v.Type().Bits())))
	default:
		panic("the ledger cannot hold a " + v.Type().String())
	}
}

func create(t testing.TB) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runs", "r.ledger")
	w, err := Create(path, Header{Run: "r-abc", Experiment: "x", Started: time.Now().UTC().Round(0)})
	if err != nil {
		t.Fatal(err)
	}
	return w, path
}

// keepAll copies what a scan hands out.
func keepAll(to *[]experiment.Exchange) func(*experiment.Exchange) error {
	return func(x *experiment.Exchange) error {
		c := *x
		c.Faults = append([]string(nil), x.Faults...)
		if x.GRPC != nil {
			n := *x.GRPC
			c.GRPC = &n
		}
		if x.Answer != nil {
			a := *x.Answer
			c.Answer = &a
		}
		*to = append(*to, c)
		return nil
	}
}

// Every field of an exchange, also one that is added to it some day, is there again.
func TestRoundTrip(t *testing.T) {
	w, path := create(t)
	r := rand.New(rand.NewPCG(1, 2))
	var want []experiment.Exchange
	for i := range 3000 {
		var x experiment.Exchange
		anything(r, reflect.ValueOf(&x).Elem())
		w.Take(&x)
		x.No = uint64(i + 1)
		want = append(want, x)
	}
	sum := w.Close()
	if again := w.Close(); again != sum || sum.Lost != 0 || sum.Why != "" || sum.Exchanges+sum.Requests != 3000 || sum.Requests == 0 {
		t.Errorf("closed: %+v, again %+v", sum, again)
	}
	w.Take(&experiment.Exchange{}) // nobody minds
	var got []experiment.Exchange
	if err := Scan(path, keepAll(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("it is not what was taken:\n%.3000s", diff)
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Mode().Perm() != 0o600 || stat.Size() != int64(sum.Bytes) {
		t.Errorf("the file: %v %v, %d bytes were said", stat, err, sum.Bytes)
	}
	info, err := Peek(path)
	if err != nil || info.Run != "r-abc" || info.Experiment != "x" || !info.Whole || info.Bytes != stat.Size() || info.Exchanges != sum.Exchanges || info.Requests != sum.Requests {
		t.Errorf("%+v %v", info, err)
	}
	stop := errors.New("enough")
	if err := Scan(path, func(*experiment.Exchange) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("f ends a scan: %v", err)
	}
	if _, err := Create(path, Header{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second ledger in the same file: %v", err)
	}
}

// typical is what most exchanges look like.
func typical(i int) experiment.Exchange {
	now := time.Now()
	x := experiment.Exchange{
		Edge: "api-service -> auth-service", Conn: uint64(i % 50), Method: "GET", Path: "/user", Status: 200, BytesIn: 140, BytesOut: 320,
		Start: now.Add(-3 * time.Millisecond), FirstByte: now.Add(-time.Millisecond), LastIn: now.Add(-3 * time.Millisecond), End: now,
		EndedBy: experiment.EndedByCallee, Proto: "HTTP/1.1", Host: "auth:9001", Keyed: experiment.ByTrace, Attempt: 1,
	}
	binary.LittleEndian.PutUint64(x.TraceID[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(x.Key[8:], uint64(i)*0xbf58476d1ce4e5b9)
	return x
}

func TestTakeIsCompactAndAllocatesNothing(t *testing.T) {
	w, _ := create(t)
	x := typical(1)
	for range 5000 {
		w.Take(&x)
	}
	if n := testing.AllocsPerRun(20000, func() { w.Take(&x) }); n >= 1 {
		t.Errorf("%g allocations an exchange", n)
	}
	sum := w.Close()
	if per := sum.Bytes / sum.Exchanges; per > 100 {
		t.Errorf("%d bytes an exchange", per)
	}
}

// Takes from many goroutines get numbers without gaps, each once.
func TestManyTakers(t *testing.T) {
	w, path := create(t)
	const takers, each = 8, 4000
	var all sync.WaitGroup
	for g := range takers {
		all.Go(func() {
			for i := range each {
				x := typical(i)
				x.Conn, x.BytesIn = uint64(g), uint64(i)
				w.Take(&x)
			}
		})
	}
	all.Wait()
	if sum := w.Close(); sum.Exchanges != takers*each || sum.Lost != 0 {
		t.Errorf("%+v", sum)
	}
	var no uint64
	next := map[uint64]uint64{}
	if err := Scan(path, func(x *experiment.Exchange) error {
		no++
		if x.No != no || x.BytesIn != next[x.Conn] {
			t.Fatalf("number %d is %d of taker %d, expected %d and %d", x.No, x.BytesIn, x.Conn, no, next[x.Conn])
		}
		next[x.Conn]++
		return nil
	}); err != nil || no != takers*each {
		t.Errorf("%d read, %v", no, err)
	}
}

// A file that breaks off anywhere is read up to there.
func TestTornTail(t *testing.T) {
	w, path := create(t)
	for i := range 3000 {
		x := typical(i)
		w.Take(&x)
	}
	w.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn, before := filepath.Join(t.TempDir(), "torn"), 0
	for _, cut := range []int{len(b) - 1, len(b) - 30, len(b) / 2, chunkSize + 1000, 1000, 300} {
		for _, junk := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00", strings.Repeat("\xff", 99)} {
			if err := os.WriteFile(torn, append(b[:cut:cut], junk...), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []experiment.Exchange
			err := Scan(torn, keepAll(&got))
			info, perr := Peek(torn)
			if err != nil || perr != nil || info.Whole || uint64(len(got)) != info.Exchanges {
				t.Errorf("cut at %d: %d read, %v, %+v %v", cut, len(got), err, info, perr)
			}
			for i := range got {
				if x := typical(i); got[i].No != uint64(i+1) || got[i].Key != x.Key {
					t.Fatalf("cut at %d: number %d is %+v", cut, i+1, got[i])
				}
			}
			if cut > len(b)-100 && len(got) != 3000 || before > 0 && len(got) > before {
				t.Errorf("cut at %d: %d read", cut, len(got))
			}
			before = len(got)
		}
	}
	for name, content := range map[string]string{"empty": "", "text": "hello", "half a header": string(b[:40]), "a later version": strings.Replace(string(b), `"version":1`, `"version":2`, 1)} {
		if name == "a later version" {
			fixed := []byte(content)
			n := binary.LittleEndian.Uint32(fixed[len(magic):])
			binary.LittleEndian.PutUint32(fixed[len(magic)+4:], crc32.Checksum(fixed[len(magic)+frameHead:][:n], castagnoli))
			content = string(fixed)
		}
		if err := os.WriteFile(torn, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Scan(torn, keepAll(new([]experiment.Exchange))); !errors.Is(err, ErrNoLedger) || !strings.Contains(err.Error(), torn) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is taken is on the disk soon, also when little comes.
func TestFewExchangesAreWrittenSoon(t *testing.T) {
	w, path := create(t)
	x := typical(1)
	w.Take(&x)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if info, err := Peek(path); err == nil && info.Exchanges == 1 && !info.Whole {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was not written")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Close()
}

// badDisk is a disk with its troubles.
type badDisk struct {
	mu    sync.Mutex
	b     []byte
	fails func(write int) error // each write; half of it is on the disk
	block chan struct{}         // writes but the first wait for it
	n     int
}

func (d *badDisk) WriteAt(p []byte, at int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	if d.block != nil && d.n > 1 {
		<-d.block
	}
	var err error
	if d.fails != nil {
		err = d.fails(d.n)
	}
	if err != nil {
		p = p[:len(p)/2]
	}
	if grown := int(at) + len(p); grown > len(d.b) {
		d.b = append(d.b, make([]byte, grown-len(d.b))...)
	}
	return copy(d.b[at:], p), err
}
func (d *badDisk) Truncate(n int64) error { d.b = d.b[:n]; return nil }
func (d *badDisk) Sync() error            { return nil }
func (d *badDisk) Close() error           { return nil }

// A disk that is full for a while loses what it did not take, and no more; that is
// counted, with the reason and the edges.
func TestFullDisk(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/state/r.ledger", Err: syscall.ENOSPC}
	for name, fails := range map[string]func(int) error{
		"for a while": func(n int) error {
			if n > 2 && n < 5 {
				return full
			}
			return nil
		},
		"for ever": func(n int) error {
			if n > 3 {
				return full
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &badDisk{fails: fails}
			w, err := newWriter(d, Header{Run: "r"}, mostWaiting)
			if err != nil {
				t.Fatal(err)
			}
			const n = 20_000
			for i := range n {
				x := typical(i)
				w.Take(&x)
			}
			sum := w.Close()
			if sum.Lost == 0 || sum.Exchanges == 0 || sum.Exchanges+sum.Lost != n || !strings.Contains(sum.Why, "no space left on device") || !strings.Contains(sum.Why, "api-service -> auth-service") {
				t.Errorf("%+v", sum)
			}
			if uint64(len(d.b)) != sum.Bytes {
				t.Errorf("%d bytes, said %d", len(d.b), sum.Bytes)
			}
			path := filepath.Join(t.TempDir(), "r.ledger")
			if err := os.WriteFile(path, d.b, 0o600); err != nil {
				t.Fatal(err)
			}
			var read uint64
			if err := Scan(path, func(x *experiment.Exchange) error {
				if want := typical(int(x.No - 1)); x.Key != want.Key {
					t.Fatalf("number %d is another one", x.No)
				}
				read++
				return nil
			}); err != nil || read != sum.Exchanges {
				t.Errorf("%d read: %v", read, err)
			}
			b, err := Load(path, 0)
			if err != nil || name == "for a while" && b.Missing != sum.Lost {
				t.Errorf("%d missing, %v", b.Missing, err)
			}
		})
	}
}

// A disk that stands still holds nobody up and takes no more than the memory it may.
func TestDiskThatStandsStill(t *testing.T) {
	d := &badDisk{block: make(chan struct{})}
	const may = 4 * (chunkSize + 4<<10)
	w, err := newWriter(d, Header{Run: "r"}, may)
	if err != nil {
		t.Fatal(err)
	}
	const n = 50_000
	for i := range n {
		x := typical(i)
		w.Take(&x)
	}
	w.mu.Lock()
	if w.waits > may+2*chunkSize {
		t.Errorf("%d bytes wait", w.waits)
	}
	w.mu.Unlock()
	close(d.block)
	sum := w.Close()
	if sum.Lost < n/2 || sum.Exchanges+sum.Lost != n || !strings.Contains(sum.Why, "did not keep up") {
		t.Errorf("%+v", sum)
	}
	x := experiment.Exchange{Path: strings.Repeat("x", 2*mostRecord)}
	w, err = newWriter(&badDisk{}, Header{}, may)
	if err != nil {
		t.Fatal(err)
	}
	w.Take(&x)
	if sum := w.Close(); sum.Lost != 1 {
		t.Errorf("one that is too large: %+v", sum)
	}
}

// Texts that never come twice are forgotten again.
func TestManyTexts(t *testing.T) {
	w, path := create(t)
	const n = 50_000
	for i := range n {
		x := typical(i)
		x.Path = fmt.Sprint("/user/", i)
		w.Take(&x)
	}
	if known := len(w.enc.texts); known > 2*textsKnown {
		t.Errorf("%d texts are known", known)
	}
	w.Close()
	i := 0
	if err := Scan(path, func(x *experiment.Exchange) error {
		if x.Path != fmt.Sprint("/user/", i) {
			t.Fatalf("number %d asks for %s", x.No, x.Path)
		}
		i++
		return nil
	}); err != nil || i != n {
		t.Errorf("%d read: %v", i, err)
	}
}

func TestLoadThinsWindows(t *testing.T) {
	w, path := create(t)
	base := w.enc.base
	var windows []experiment.Window
	at := base
	for _, seconds := range []int{10, 30, 1, 20} {
		windows = append(windows, experiment.Window{Start: at, End: at.Add(time.Duration(seconds) * time.Second)})
		at = at.Add(time.Duration(seconds) * time.Second)
	}
	total := 0
	for at := base; at.Before(windows[3].End); at = at.Add(time.Millisecond) {
		x := typical(total)
		x.Start, x.End = at, at.Add(3*time.Millisecond)
		w.Take(&x)
		total++
	}
	w.Close()
	for _, most := range []int{total, 40_000, 20_000, 5000, 300} {
		b, err := Load(path, most, windows...)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Entries) > most || len(b.Entries) < most*9/10-400 || len(b.Entries)+int(b.Missing) != total {
			t.Errorf("most %d: %d are there, %d missing of %d", most, len(b.Entries), b.Missing, total)
		}
		if (most == total) != (len(b.Holes) == 0) || b.HasHole(-time.Hour, time.Hour) != (most != total) {
			t.Errorf("most %d: holes %v", most, b.Holes)
		}
		for i := 1; i < len(b.Entries); i++ { // every gap is a hole that was told
			from, to := b.Entries[i-1].Start, b.Entries[i].Start
			if to-from > time.Millisecond && !b.HasHole(from, to) || to-from == time.Millisecond && b.HasHole(from+1, to-1) {
				t.Fatalf("most %d: a gap of %s at %s; holes %v", most, to-from, from, b.Holes)
			}
		}
		if most < 5000 {
			continue
		}
		for _, win := range windows { // the edges of each window are there
			for _, at := range []time.Time{win.Start.Add(slotTime / 2), win.End.Add(-slotTime / 2)} {
				if d := b.at(at); b.HasHole(d, d+1) {
					t.Errorf("most %d: %s of a window is missing", most, d)
				}
			}
		}
	}
}

// Answers that are all different take no room without end.
func TestLoadForgetsHashesThatSayNothing(t *testing.T) {
	w, path := create(t)
	const n = mostHashes + 1000
	for i := range n {
		x := typical(i)
		x.Flow, x.Answer = "f", &experiment.Answer{Type: "application/json", Size: uint64(i), Hash: x.Key}
		w.Take(&x)
	}
	w.Close()
	b, err := Load(path, 0)
	if err != nil || len(b.Entries) != n || len(b.Answers) > mostHashes+2 {
		t.Errorf("%d answers of %d, %v", len(b.Answers), len(b.Entries), err)
	}
}

func FuzzLedgerFile(f *testing.F) {
	d := &badDisk{}
	w, err := newWriter(d, Header{Run: "r"}, mostWaiting)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 20 {
		x := typical(i)
		x.Faults, x.Query = []string{"a", "b"}, strings.Repeat("q", 20*i)
		w.Take(&x)
	}
	w.Close()
	f.Add(d.b)
	f.Add(d.b[:len(d.b)-20])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The sums are made to fit, so that what is behind them is tried.
		b = slices.Clone(b)
		for at := len(magic); at+frameHead < len(b); {
			n := int(binary.LittleEndian.Uint32(b[at:]))
			if n <= 0 || n > len(b)-at-frameHead {
				break
			}
			binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(b[at+frameHead:at+frameHead+n], castagnoli))
			at += frameHead + n
		}
		info, err := readLedger(bytes.NewReader(b), nil)
		if err == nil && info.Exchanges+info.Requests > uint64(len(b)) {
			t.Errorf("%d bytes hold %d exchanges", len(b), info.Exchanges+info.Requests)
		}
		var book Book
		_, rerr := readLedger(bytes.NewReader(b), func(x *experiment.Exchange) error {
			book.Add(x)
			return nil
		})
		if (err == nil) != (rerr == nil) || len(book.Entries) > len(b) {
			t.Errorf("%d entries in %d bytes; %v and %v", len(book.Entries), len(b), err, rerr)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	w, _ := create(b)
	x := typical(1)
	b.ReportAllocs()
	for b.Loop() {
		w.Take(&x)
	}
	b.StopTimer()
	sum := w.Close()
	b.ReportMetric(float64(sum.Bytes)/float64(sum.Exchanges+1), "B/exchange")
	b.ReportMetric(float64(sum.Lost), "lost")
}

func BenchmarkTakeParallel(b *testing.B) {
	w, _ := create(b)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		x := typical(1)
		for p.Next() {
			w.Take(&x)
		}
	})
	b.StopTimer()
	w.Close()
}
