package flawed

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errOpen: the breaker lets nobody through. errFull: the pool has no place.
var (
	errOpen = errors.New("circuit breaker is open")
	errFull = errors.New("too many calls are under way")
)

const (
	opensAfter = 5 // failures in a row
	openFor    = 400 * time.Millisecond
)

// breaker stops calls to a callee that is down: it opens after opensAfter failures
// in a row; after openFor it lets one probe through, which closes it or opens it
// again.
type breaker struct {
	forever  bool // never lets a probe through
	atOnce   bool // lets everybody through once openFor is over
	mu       sync.Mutex
	failures int
	open     bool
	until    time.Time
	probing  bool
}

// allow tells whether a call may be made, and whether it is a probe. Each that was
// allowed must be reported by done. A nil breaker allows all.
func (b *breaker) allow() (probe, ok bool) {
	if b == nil {
		return false, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return false, true
	case b.forever, b.probing, time.Now().Before(b.until):
		return false, false
	case b.atOnce:
		b.open, b.failures = false, 0
		return false, true
	}
	b.probing = true
	return true, true
}

// done reports how a call ended.
func (b *breaker) done(probe, good bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case probe:
		b.probing, b.open, b.failures = false, !good, 0
		b.until = time.Now().Add(openFor)
	case b.open: // began before it opened
	case good:
		b.failures = 0
	default:
		if b.failures++; b.failures >= opensAfter {
			b.open, b.until = true, time.Now().Add(openFor)
		}
	}
}

// pool bounds the calls under way.
type pool struct {
	places chan struct{}
	wait   time.Duration // for a place
}

func newPool(size int, wait time.Duration) *pool {
	return &pool{places: make(chan struct{}, size), wait: wait}
}

// enter waits for a place; leave gives it back. A nil pool has no limit.
func (p *pool) enter(ctx context.Context) error {
	if p == nil {
		return nil
	}
	t := time.NewTimer(p.wait)
	defer t.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-t.C:
		return errFull
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) leave() {
	if p != nil {
		<-p.places
	}
}
