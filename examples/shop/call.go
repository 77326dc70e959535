package shop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstPause = 10 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// Source says where a part of an answer comes from.
type Source string

// The sources, from the best to the worst.
const (
	Live     Source = "live"     // the dependency answered
	Cache    Source = "cache"    // its last good answer
	Fallback Source = "fallback" // an empty answer, better than none
)

// worse returns the worse of two sources.
func worse(a, b Source) Source {
	rank := map[Source]int{Live: 0, Cache: 1, Fallback: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// dependency is something the api-service needs: how to ask it, and all that
// stands between a failure of it and the user.
type dependency[T any] struct {
	name string
	// ask makes one try.
	ask func(ctx context.Context) (T, error)
	// empty is the fallback when nothing is cached; fallback says whether
	// there is any at all.
	empty    T
	fallback bool
	options  Options
	breaker  *breaker

	mu   sync.Mutex
	last *T
}

// get returns the dependency's answer, or the best substitute that is allowed.
func (d *dependency[T]) get(ctx context.Context) (T, Source, error) {
	v, err := d.call(ctx)
	if err == nil {
		d.keep(v)
		return v, Live, nil
	}
	if !d.fallback {
		return v, "", fmt.Errorf("%s: %w", d.name, err)
	}
	if v, ok := d.kept(); ok {
		return v, Cache, nil
	}
	return d.empty, Fallback, nil
}

// call tries until one try goes well, under the breaker.
func (d *dependency[T]) call(ctx context.Context) (T, error) {
	var zero T
	trial, ok := d.breaker.allow()
	if !ok {
		return zero, errOpen
	}
	v, err := d.retry(ctx, trial)
	d.breaker.done(trial, err == nil)
	return v, err
}

// retry tries up to the number of tries, a trial once.
func (d *dependency[T]) retry(ctx context.Context, trial bool) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	for n := 1; ; n++ {
		v, err := d.try(ctx)
		last := trial || n >= d.options.tries() && !d.options.RetryForever
		if err == nil || last || ctx.Err() != nil {
			return v, err
		}
		if d.options.RetryNoDelay {
			continue
		}
		if stopped := pause(ctx, backOff(n)); stopped != nil {
			return v, errors.Join(err, stopped)
		}
	}
}

func (d *dependency[T]) try(ctx context.Context) (T, error) {
	if !d.options.NoTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.options.timeout())
		defer cancel()
	}
	return d.ask(ctx)
}

func (d *dependency[T]) keep(v T) {
	if d.options.NoCache {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = &v
}

func (d *dependency[T]) kept() (v T, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		return v, false
	}
	return *d.last, true
}

// backOff is the pause after the nth try: it doubles up to maxPause, and its
// upper half is left to chance so that callers do not march in step.
func backOff(n int) time.Duration {
	p := min(firstPause<<min(n-1, 10), maxPause)
	return p/2 + rand.N(p/2)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
