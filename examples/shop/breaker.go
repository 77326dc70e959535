package shop

import (
	"errors"
	"sync"
	"time"
)

// errOpen: the breaker lets nobody through.
var errOpen = errors.New("circuit breaker is open")

const (
	opensAfter = 5 // failed calls in a row
	coolDown   = time.Second
	trialEvery = 100 * time.Millisecond // while a slow breaker heals
)

// breaker stops calls to a dependency that is down. After opensAfter failed
// calls in a row it opens; after a cool-down it lets one trial through; a trial
// that goes well closes it, or, with slow set, begins a time of that length in
// which all trials must go well. A nil breaker lets everything through.
type breaker struct {
	slow time.Duration

	mu       sync.Mutex
	failures int       // in a row, while closed
	open     bool      //
	next     time.Time // of the next trial
	trial    bool      // one is under way
	healing  time.Time // since when trials go well; zero if they do not
}

func newBreaker(o Options) *breaker {
	if o.NoBreaker {
		return nil
	}
	return &breaker{slow: time.Duration(o.SlowHeal)}
}

// allow tells whether a call may be made, and whether it is a trial. Each call
// that was allowed must be reported by done.
func (b *breaker) allow() (trial, ok bool) {
	if b == nil {
		return false, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false, true
	}
	if b.trial || time.Now().Before(b.next) {
		return false, false
	}
	b.trial = true
	return true, true
}

// done reports how a call ended.
func (b *breaker) done(trial, good bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case trial:
		b.trial = false
		b.judge(now, good)
	case b.open: // began before it opened: says nothing new
	case good:
		b.failures = 0
	default:
		b.failures++
		if b.failures >= opensAfter {
			b.open, b.next, b.healing = true, now.Add(b.pause()), time.Time{}
		}
	}
}

func (b *breaker) judge(now time.Time, good bool) {
	if !good {
		b.healing, b.next = time.Time{}, now.Add(b.pause())
		return
	}
	if b.healing.IsZero() {
		b.healing = now
	}
	if now.Sub(b.healing) >= b.slow {
		b.open, b.failures = false, 0
		return
	}
	b.next = now.Add(trialEvery)
}

// pause before the next trial: a slow breaker tries often, so that the time it
// takes to heal is the one that was asked for.
func (b *breaker) pause() time.Duration {
	if b.slow > 0 {
		return trialEvery
	}
	return coolDown
}
