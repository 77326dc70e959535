package ledger

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// mostWaiting is how many bytes may wait for the disk.
	mostWaiting = 16 << 20
	// restAtMost is how long an exchange stays in memory when few come.
	restAtMost = 500 * time.Millisecond
	// keepFree is how many empty chunks are kept.
	keepFree = 4
)

// disk is where a ledger is written.
type disk interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Writer takes exchanges down in a file, compactly. Memory is bounded: 16 MiB wait for
// the disk at most. What the disk does not take is counted as lost, with the reason.
type Writer struct {
	file disk
	wake chan struct{} // a chunk waits
	stop chan struct{}
	done chan struct{}
	most int // bytes that may wait

	mu       sync.Mutex
	enc      encoder
	n        uint32 // exchanges in enc.buf
	requests uint32 // of them
	first    uint64 // number of the first of them
	last     uint64 // number given last
	waiting  [][]byte
	waits    int // bytes of waiting, and of what is being written
	free     [][]byte
	late     map[string]uint64 // lost because too much waited, by edge
	closed   bool

	end sync.Once
	sum experiment.LedgerSummary

	// Of the goroutine that writes, until done.
	at     int64 // where the next frame goes
	dirty  bool  // a write has failed at at
	failed map[string]uint64
	why    error
}

// Create begins a ledger file, which must not be there yet, and its folder if need be.
// Only its owner may read it. The header's version and base are filled in.
func Create(path string, h Header) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the ledger: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the ledger: %w", err)
	}
	w, err := newWriter(f, h, mostWaiting)
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return w, nil
}

func newWriter(f disk, h Header, most int) (*Writer, error) {
	base := time.Now().UTC()
	h.Version, h.Base = version, base
	b, err := jsonFrame('h', h)
	if err != nil {
		return nil, err
	}
	b = append([]byte(magic), b...)
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, fmt.Errorf("create the ledger: %w", err)
	}
	w := &Writer{
		file: f, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), most: most, at: int64(len(b)),
		enc: encoder{base: base, texts: map[string]*sharedText{}}, late: map[string]uint64{}, failed: map[string]uint64{},
	}
	go w.write()
	return w, nil
}

// Take takes an exchange down under the next number, from 1; the number that it has is
// not looked at. It may be called from many goroutines, never waits for the disk, and
// keeps nothing of its argument. After Close it does nothing.
func (w *Writer) Take(x *experiment.Exchange) {
	w.mu.Lock()
	full := w.take(x)
	w.mu.Unlock()
	if full {
		w.ring()
	}
}

func (w *Writer) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take tells whether a chunk is full.
func (w *Writer) take(x *experiment.Exchange) (full bool) {
	if w.closed {
		return false
	}
	w.last++
	if w.n == 0 && w.waits >= w.most || bulk(x) > mostRecord {
		w.late[strings.Clone(x.Edge)]++
		return w.seal() // the numbers of a chunk have no gap
	}
	if w.n == 0 {
		w.first = w.last
		w.enc.begin(w.room())
	}
	w.enc.add(x)
	w.n++
	if x.Flow != "" {
		w.requests++
	}
	return len(w.enc.buf) >= chunkSize && w.seal()
}

// room is an empty chunk, with room for its heads.
func (w *Writer) room() []byte {
	if n := len(w.free); n > 0 {
		b := w.free[n-1]
		w.free = w.free[:n-1]
		return b[:frameHead+chunkHead]
	}
	return make([]byte, frameHead+chunkHead, chunkSize+4<<10)
}

// seal has the chunk wait for the disk; false if there is none.
func (w *Writer) seal() bool {
	if w.n == 0 {
		return false
	}
	b := w.enc.buf
	putChunkCounts(b[frameHead:], w.first, w.n, w.requests)
	w.waiting, w.waits = append(w.waiting, b), w.waits+cap(b)
	w.n, w.requests, w.enc.buf = 0, 0, nil
	return true
}

// write brings chunks to the disk until stop, and then what is left.
func (w *Writer) write() {
	defer close(w.done)
	tick := time.NewTicker(restAtMost)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-w.wake:
		case <-tick.C:
			w.mu.Lock()
			w.seal()
			w.mu.Unlock()
		case <-w.stop:
			open = false
		}
		for b := w.next(); b != nil; b = w.next() {
			w.put(b)
			w.recycle(b)
		}
	}
}

// next is the chunk that has waited longest, nil if none does.
func (w *Writer) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.waiting = nil
		return nil
	}
	b := w.waiting[0]
	w.waiting = w.waiting[1:]
	return b
}

func (w *Writer) recycle(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits -= cap(b)
	if len(w.free) < keepFree && cap(b) <= 2*chunkSize {
		w.free = append(w.free, b)
	}
}

// put writes a chunk. One that the disk does not take is lost; the next one is tried
// at the same place.
func (w *Writer) put(b []byte) {
	first, n, requests, _ := chunkCounts(b[frameHead:])
	if _, err := w.file.WriteAt(frame(b), w.at); err != nil {
		w.why, w.dirty = err, true
		d := newDecoder(time.Time{})
		_ = d.chunk(b[frameHead+chunkHead:], first, n, func(x *experiment.Exchange) error {
			w.failed[x.Edge]++
			return nil
		})
		return
	}
	w.at, w.dirty = w.at+int64(len(b)), false
	w.sum.Exchanges, w.sum.Requests = w.sum.Exchanges+uint64(n-requests), w.sum.Requests+uint64(requests)
}

// Close writes what waits, has it brought to the disk and says what the file holds; in
// Judged, nothing. What went wrong is in Why. It may be called again.
func (w *Writer) Close() experiment.LedgerSummary {
	w.mu.Lock()
	w.seal()
	w.closed = true
	w.mu.Unlock()
	w.end.Do(func() {
		close(w.stop)
		<-w.done
		w.finish()
	})
	return w.sum
}

func (w *Writer) finish() {
	var whys []string
	if n := lostOf(w.late); n > 0 {
		whys = append(whys, fmt.Sprintf("%s were not written because the disk did not keep up", lostWords(n, w.late)))
	}
	if n := lostOf(w.failed); n > 0 {
		whys = append(whys, fmt.Sprintf("%s were not written: %v", lostWords(n, w.failed), w.why))
	}
	w.sum.Lost, w.sum.Why = lostOf(w.late)+lostOf(w.failed), strings.Join(whys, "; ")
	b, err := jsonFrame('e', ending{w.sum.Exchanges, w.sum.Requests, w.sum.Lost, w.sum.Why})
	if err == nil {
		if _, err = w.file.WriteAt(b, w.at); err == nil {
			w.at, w.dirty = w.at+int64(len(b)), false
		} else {
			w.dirty = true
		}
	}
	if w.dirty { // half a frame, perhaps
		err = errors.Join(err, w.file.Truncate(w.at))
	}
	if err = errors.Join(err, w.file.Sync(), w.file.Close()); err != nil && w.sum.Why == "" {
		w.sum.Why = "it is not sure to be on the disk: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	w.sum.Bytes = uint64(w.at)
}

func lostOf(by map[string]uint64) uint64 {
	var n uint64
	for _, more := range by {
		n += more
	}
	return n
}

// lostWords says how many were lost, and where most of them were.
func lostWords(n uint64, by map[string]uint64) string {
	const named = 3
	edges := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		switch {
		case by[a] > by[b]:
			return -1
		case by[a] < by[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	var words []string
	for i, e := range edges {
		if i == named {
			words = append(words, fmt.Sprintf("%d other edges", len(edges)-named))
			break
		}
		words = append(words, fmt.Sprintf("%s %d", e, by[e]))
	}
	return fmt.Sprintf("%d exchanges (%s)", n, strings.Join(words, ", "))
}
