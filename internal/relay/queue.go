package relay

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	blockSize  = 64 << 10  // what is read at most at a time
	queueFloor = 64 << 10  // bytes that every queue may hold
	budgetSize = 512 << 20 // bytes that all queues of a set hold before the floor applies
	entryCost  = 128       // what an entry costs besides its bytes
	batchBytes = 256 << 10 // what is written at most at a time
	batchSize  = 64        // entries written at most at a time
)

// budget is what all queues of a set hold, in bytes. While it lasts, each of them
// may hold a quarter of it.
type budget struct {
	most int64
	used atomic.Int64
}

// block is a buffer that its readers and the entries that point into it share.
type block struct {
	buf  []byte
	refs atomic.Int32
}

var blocks = sync.Pool{New: func() any { return &block{buf: make([]byte, blockSize)} }}

// newBlock returns a block with one reference, the caller's.
func newBlock() *block {
	b := blocks.Get().(*block)
	b.refs.Store(1)
	return b
}

func (b *block) release() {
	if b != nil && b.refs.Add(-1) == 0 {
		blocks.Put(b)
	}
}

// part is what one effect added to the time an entry waits.
type part struct {
	by   *armed
	wait time.Duration
}

// entry is a chunk in a queue.
type entry struct {
	data  []byte
	due   time.Time
	end   Ending
	free  bool     // may overtake others that may
	alone bool     // is written by itself
	block *block   // holds data; nil if data has memory of its own
	pipe  *channel // holds size bytes in the kernel instead of data
	size  int
	part  part
	more  []part // when several effects delay it
}

func (e *entry) bytes() int { return len(e.data) + e.size }
func (e *entry) cost() int  { return e.bytes() + entryCost }

// release lets go of what holds the bytes.
func (e *entry) release() {
	e.block.release()
	e.pipe.release()
	e.block, e.pipe = nil, nil
}

// queue holds the chunks of one way until they are due, in order, whatever their
// due times say. One goroutine pushes, another takes; the control side drops
// delays and holds.
type queue struct {
	budget *budget
	kick   chan struct{} // wakes the taker
	space  chan struct{} // wakes the pusher: entries were taken care of

	mu      sync.Mutex
	entries []entry
	head    int
	cost    int // of what was pushed and not yet settled
	taken   int // of what was taken and not yet settled
	line    backlog
	held    bool
	closed  bool
	ended   bool // the end of the stream was pushed; of the pusher alone
}

// backlog is what waits for the tightest stage that has a rate, as if no other
// stage delayed anything: it drains at that rate whatever becomes of the bytes
// behind the stage, so that a delay there or before takes nothing from the rate.
type backlog struct {
	bytes float64
	rate  float64 // per second; 0 without such a stage
	asOf  time.Time
}

// at brings the backlog up to date.
func (b *backlog) at(now time.Time) float64 {
	b.bytes = max(0, b.bytes-b.rate*now.Sub(b.asOf).Seconds())
	b.asOf = now
	return b.bytes
}

// add counts bytes that wait for a stage of that rate. What waited for a faster
// one before is taken to wait no longer than it would have.
func (b *backlog) add(n int, rate float64, now time.Time) {
	b.at(now)
	if b.rate > rate {
		b.bytes *= rate / b.rate
	}
	b.rate = rate
	b.bytes += float64(n)
}

func newQueue(b *budget) *queue {
	return &queue{budget: b, kick: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// room is how many bytes may be pushed now; bound narrows it if above 0: to what
// still waits for the stage with the bound, and what is due but was not taken. If
// there is none, space tells when to ask again; so does again, if it is above 0.
func (q *queue) room(bound int) (n int, again time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	limit := int(q.budget.most / 4)
	if q.budget.used.Load() >= q.budget.most {
		limit = queueFloor
	}
	room := max(0, limit-q.cost)
	if bound <= 0 || room == 0 {
		return room, 0
	}
	now := time.Now()
	waits := q.line.at(now)
	room = min(room, bound-int(waits)-q.stuck(now, bound))
	// Not byte by byte: a twentieth of the bound at least.
	if least := max(1, bound/20); room < least {
		if lacks := float64(least) - (float64(bound) - waits); lacks > 0 && q.line.rate > 0 {
			again = time.Duration(lacks/q.line.rate*float64(time.Second)) + time.Millisecond
		}
		return 0, again
	}
	return room, 0
}

// stuck is the cost of what should have been written by now and was not; above
// most it is not exact.
func (q *queue) stuck(now time.Time, most int) int {
	cost := q.taken
	for i := q.head; i < len(q.entries) && cost <= most && !q.entries[i].due.After(now); i++ {
		cost += q.entries[i].cost()
	}
	return max(0, cost-entryCost)
}

// push adds an entry; a closed queue lets go of it.
func (q *queue) push(e entry) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		e.pipe.release()
		return
	}
	if e.block != nil {
		e.block.refs.Add(1)
	}
	own := e // slices of one chunk share what is behind more
	own.more = slices.Clone(e.more)
	q.entries = append(q.entries, own)
	if e.free {
		q.overtake()
	}
	q.cost += e.cost()
	first := len(q.entries)-q.head == 1
	q.mu.Unlock()
	q.budget.used.Add(int64(e.cost()))
	if first {
		signal(q.kick)
	}
	// A lift that has passed here before the entry came would not come again.
	if e.part.by != nil && e.part.by.isGone() {
		q.drop(e.part.by)
	}
	for _, p := range e.more {
		if p.by.isGone() {
			q.drop(p.by)
		}
	}
}

// overtake moves the last entry before those that are due later and may be
// overtaken. q.mu is held.
func (q *queue) overtake() {
	for i := len(q.entries) - 1; i > q.head; i-- {
		a, b := &q.entries[i-1], &q.entries[i]
		if !a.free || !a.due.After(b.due) {
			return
		}
		*a, *b = *b, *a
	}
}

// take moves what is due into batch. An empty batch comes with the time when
// something will be, zero if only a kick can change that; open is false once the
// queue is closed.
func (q *queue) take(batch []entry) (_ []entry, next time.Time, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return batch, next, false
	}
	if q.held {
		return batch, next, true
	}
	size, now := 0, time.Now()
	for q.head < len(q.entries) && len(batch) < batchSize && size < batchBytes {
		e := q.entries[q.head]
		if e.due.After(now) {
			next = e.due
			break
		}
		if e.alone && len(batch) > 0 {
			break
		}
		batch, size = append(batch, e), size+e.bytes()
		q.taken += e.cost()
		q.entries[q.head] = entry{}
		q.head++
		if e.end != GoesOn || e.alone {
			break
		}
	}
	if q.head == len(q.entries) {
		q.entries, q.head = q.entries[:0], 0
		if cap(q.entries) > 4096 {
			q.entries = nil
		}
	} else if q.head > 1024 && q.head > len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	return batch, next, true
}

// settle gives back what a batch cost.
func (q *queue) settle(batch []entry) {
	cost := 0
	for i := range batch {
		cost += batch[i].cost()
		batch[i].release()
		batch[i] = entry{}
	}
	q.mu.Lock()
	q.cost -= cost
	q.taken -= cost
	q.mu.Unlock()
	q.budget.used.Add(-int64(cost))
	signal(q.space)
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// idle tells whether all that was pushed has been settled.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cost == 0
}

// last is the entry that was pushed last, nil if it was taken already.
func (q *queue) last() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == q.head {
		return nil
	}
	return &q.entries[len(q.entries)-1]
}

// grow adds n bytes to an entry in a pipe, which leaves when they do.
func (q *queue) grow(e *entry, n int, as *entry) {
	q.mu.Lock()
	e.size += n
	e.due, e.part, e.more = as.due, as.part, as.more
	q.cost += n
	q.mu.Unlock()
	q.budget.used.Add(int64(n))
}

// unend takes the end of the stream back if an effect delays it, so that it can be
// pushed anew.
func (q *queue) unend(a *armed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := len(q.entries) - 1
	if last < q.head {
		return
	}
	e := &q.entries[last]
	if e.end != Close && e.end != Reset || e.part.by != a || len(e.data) > 0 {
		return
	}
	cost := e.cost()
	q.entries[last] = entry{}
	q.entries = q.entries[:last]
	q.cost -= cost
	q.budget.used.Add(-int64(cost))
	q.ended = false
}

// drop takes an effect's delay off everything that waits.
func (q *queue) drop(a *armed) {
	q.mu.Lock()
	for i := q.head; i < len(q.entries); i++ {
		e := &q.entries[i]
		if e.part.by == a {
			e.due = e.due.Add(-e.part.wait)
			e.part = part{}
		}
		for j := range e.more {
			if e.more[j].by == a {
				e.due = e.due.Add(-e.more[j].wait)
				e.more[j] = part{}
			}
		}
	}
	// The line may have been that effect's: what is left of it paces by its own
	// due times.
	q.line.bytes, q.line.rate = 0, 0
	q.mu.Unlock()
	signal(q.kick)
	signal(q.space)
}

// hold stops what waits from leaving, or lets it go.
func (q *queue) hold(on bool) {
	q.mu.Lock()
	q.held = on
	q.mu.Unlock()
	signal(q.kick)
}

// close ends the queue: its taker returns, and what waits is let go of.
func (q *queue) close() {
	q.mu.Lock()
	rest := q.entries[q.head:]
	cost := 0
	for i := range rest {
		cost += rest[i].cost()
		rest[i].release()
	}
	q.entries, q.head, q.closed = nil, 0, true
	q.cost -= cost
	q.mu.Unlock()
	q.budget.used.Add(-int64(cost))
	signal(q.kick)
	signal(q.space)
}
