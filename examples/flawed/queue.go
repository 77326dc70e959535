package flawed

import (
	"context"
	"sync"
)

// shortQueue is how many may wait in a bounded queue.
const shortQueue = 16

// queue is work for one pair of hands.
type queue struct {
	random  *random
	endless bool // first come, first served, without a limit, and whether somebody waits or not

	mu      sync.Mutex
	waiting []*order
	more    chan struct{} // one token: there may be something to do
}

// order is one piece of work.
type order struct {
	ctx  context.Context
	done chan struct{}
	good bool // read after done
}

func newQueue(r *random, endless bool) *queue {
	return &queue{random: r, endless: endless, more: make(chan struct{}, 1)}
}

// do has a piece of work done; false if it was turned away or nobody waits for it.
func (q *queue) do(ctx context.Context) bool {
	o := &order{ctx: ctx, done: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, o)
	var dropped *order
	if !q.endless && len(q.waiting) > shortQueue {
		dropped, q.waiting = q.waiting[0], q.waiting[1:] // who has waited longest has the least to win
	}
	q.mu.Unlock()
	if dropped != nil {
		close(dropped.done)
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
	select {
	case <-o.done:
		return o.good
	case <-ctx.Done():
		return false
	}
}

// next takes an order: the oldest of an endless queue, else the newest that
// somebody waits for. nil if there is none.
func (q *queue) next() *order {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := len(q.waiting); n > 0; n = len(q.waiting) {
		if q.endless {
			o := q.waiting[0]
			q.waiting = q.waiting[1:]
			return o
		}
		o := q.waiting[n-1]
		q.waiting = q.waiting[:n-1]
		if o.ctx.Err() == nil {
			return o
		}
	}
	return nil
}

// work does one order after the other until ctx ends.
func (q *queue) work(ctx context.Context) {
	for {
		o := q.next()
		if o == nil {
			select {
			case <-q.more:
				continue
			case <-ctx.Done():
				return
			}
		}
		if pause(ctx, q.random.upTo(longestWork)) != nil {
			return
		}
		o.good = true
		close(o.done)
	}
}
