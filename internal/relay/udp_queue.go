package relay

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// parcelCost is what a datagram in the queue costs besides its bytes.
const parcelCost = 256

// datagrams are those of an edge that wait, in the order in which they are due;
// those that are due at the same time in the order in which they came. They cost of
// the same budget as delayed bytes of TCP edges: an edge may have a quarter of it,
// 64 KiB once it is spent. What comes beyond that is lost (drop-tail), and counts as
// dropped by the relay.
type datagrams struct {
	budget  *budget
	dropped *atomic.Uint64
	kick    chan struct{}

	mu     sync.Mutex
	heap   parcelHeap
	number uint64
	cost   int64
	ending bool
	done   chan struct{} // closed once it has ended
}

func newDatagrams(b *budget, dropped *atomic.Uint64) *datagrams {
	return &datagrams{budget: b, dropped: dropped, kick: make(chan struct{}, 1), done: make(chan struct{})}
}

// parcelHeap has the first one that is due at 0.
type parcelHeap []*parcel

func (h parcelHeap) Len() int { return len(h) }
func (h parcelHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].number < h[j].number
	}
	return h[i].due.Before(h[j].due)
}
func (h parcelHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *parcelHeap) Push(x any) {
	p := x.(*parcel)
	p.place = len(*h)
	*h = append(*h, p)
}
func (h *parcelHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return p
}

// push queues a datagram, whose bytes it copies.
func (q *datagrams) push(in parcel) {
	cost := int64(len(in.data) + parcelCost)
	limit := q.budget.most / 4
	if q.budget.used.Load() >= q.budget.most {
		limit = queueFloor
	}
	q.mu.Lock()
	if q.ending && len(in.waits) > 0 || q.cost+cost > limit {
		q.mu.Unlock()
		in.release()
		q.dropped.Add(1)
		return
	}
	p := &in
	p.data = slices.Clone(p.data)
	p.number = q.number
	q.number++
	q.cost += cost
	p.lane.pending.Add(1)
	heap.Push(&q.heap, p)
	if p.behind > 0 {
		p.lane.held = append(p.lane.held, p)
	}
	sooner := p.behind == 0 && q.overtake(p)
	sooner = sooner || q.heap[0] == p
	var lifted []*armed // a lift that has passed here already would not come again
	for _, w := range p.waits {
		if w.hit.isGone() {
			lifted = append(lifted, w.hit.armed)
		}
	}
	q.mu.Unlock()
	q.budget.used.Add(cost)
	if sooner {
		signal(q.kick)
	}
	for _, a := range lifted {
		q.drop(a)
	}
}

// overtake counts a datagram for those that it overtakes, and has them leave right
// behind it once there were enough; it tells whether there are such. q.mu is held.
func (q *datagrams) overtake(p *parcel) bool {
	held := len(p.lane.held)
	p.lane.held = slices.DeleteFunc(p.lane.held, func(h *parcel) bool {
		if h.behind--; h.behind > 0 {
			return false
		}
		due := p.due.Add(1)
		for i := range h.waits {
			if w := &h.waits[i]; w.hit.armed == h.by && due.Before(h.due) {
				sooner := min(h.due.Sub(due), w.wait)
				w.wait -= sooner
				h.due = h.due.Add(-sooner)
				heap.Fix(&q.heap, h.place)
			}
		}
		return true
	})
	return len(p.lane.held) < held
}

// run sends what is due until finish is called and all has left.
func (q *datagrams) run() {
	var b bell
	defer b.stop()
	defer close(q.done)
	var batch []*parcel
	for {
		var next time.Time
		var ending bool
		if batch, next, ending = q.take(batch[:0]); len(batch) > 0 {
			for _, p := range batch {
				p.lane.s.send(p.lane.way, p.data)
				p.release()
				p.lane.pending.Add(-1)
			}
			clear(batch)
			continue
		}
		if ending && next.IsZero() {
			return
		}
		b.wait(next, q.kick, nil)
	}
}

// take moves what is due into batch; an empty one comes with when something will be,
// zero if nothing waits.
func (q *datagrams) take(batch []*parcel) (_ []*parcel, next time.Time, ending bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, cost := time.Now(), int64(0)
	for len(q.heap) > 0 && len(batch) < batchSize {
		p := q.heap[0]
		if p.due.After(now) {
			next = p.due
			break
		}
		heap.Pop(&q.heap)
		q.unhold(p)
		batch = append(batch, p)
		cost += int64(len(p.data) + parcelCost)
	}
	q.cost -= cost
	q.budget.used.Add(-cost)
	return batch, next, q.ending
}

// unhold: it waits for nobody any more. q.mu is held.
func (q *datagrams) unhold(p *parcel) {
	if p.behind > 0 {
		p.behind = 0
		p.lane.held = slices.DeleteFunc(p.lane.held, func(h *parcel) bool { return h == p })
	}
}

// drop takes an effect's delay off all that wait.
func (q *datagrams) drop(a *armed) {
	q.mu.Lock()
	for _, p := range q.heap {
		p.waits = slices.DeleteFunc(p.waits, func(w delay) bool {
			if w.hit.armed != a {
				return false
			}
			p.due = p.due.Add(-w.wait)
			if w.mine {
				w.hit.end()
			}
			return true
		})
		if p.by == a {
			q.unhold(p)
		}
	}
	heap.Init(&q.heap)
	q.mu.Unlock()
	signal(q.kick)
}

// finish ends run once nothing waits any more, and waits for that. All effects
// have been lifted.
func (q *datagrams) finish() {
	q.mu.Lock()
	q.ending = true
	q.mu.Unlock()
	signal(q.kick)
	<-q.done
}

// The queue stands for all datagrams of its edge where effects come and go: those
// that come are asked about each as it passes.

func (q *datagrams) consider(*armed)       {}
func (q *datagrams) replace(old, _ *armed) { q.drop(old) }

var (
	_ unit = (*datagrams)(nil)
	_ link = (*session)(nil)
)
