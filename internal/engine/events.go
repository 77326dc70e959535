package engine

import (
	"context"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	keepEvents = 1024 // for subscribers that come back
	queueDepth = 256  // per subscriber
)

// events is a bus with a short memory. Publishing never waits.
type events struct {
	mu     sync.Mutex
	seq    uint64
	kept   []experiment.Event
	subs   map[*subscriber]struct{}
	closed bool
}

type subscriber struct{ ch chan experiment.Event }

func newEvents() *events {
	return &events{subs: map[*subscriber]struct{}{}}
}

func (b *events) publish(ev experiment.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.seq++
	ev.Seq, ev.Time = b.seq, time.Now()
	if len(b.kept) >= keepEvents {
		b.kept = b.kept[:copy(b.kept, b.kept[keepEvents/2:])]
	}
	b.kept = append(b.kept, ev)
	for s := range b.subs {
		select {
		case s.ch <- ev:
		default: // too slow: it sees a gap
		}
	}
}

func (b *events) subscribe(ctx context.Context, after uint64) <-chan experiment.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &subscriber{ch: make(chan experiment.Event, queueDepth+keepEvents)}
	for _, ev := range b.kept {
		if ev.Seq > after {
			s.ch <- ev
		}
	}
	if b.closed {
		close(s.ch)
		return s.ch
	}
	b.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() { b.drop(s) })
	return s.ch
}

func (b *events) drop(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.subs[s]; ok {
		delete(b.subs, s)
		close(s.ch)
	}
}

func (b *events) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for s := range b.subs {
		delete(b.subs, s)
		close(s.ch)
	}
}
