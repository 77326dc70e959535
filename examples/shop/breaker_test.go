package shop

import (
	"testing"
	"testing/synctest"
	"time"
)

// use makes one call through the breaker, if it lets one through.
func use(b *breaker, good bool) (asked bool) {
	trial, ok := b.allow()
	if ok {
		b.done(trial, good)
	}
	return ok
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(Options{})
		for i := range opensAfter {
			if !use(b, false) {
				t.Fatalf("open after %d failures", i)
			}
		}
		if use(b, true) {
			t.Error("closed after its failures")
		}
		time.Sleep(coolDown)
		if trial, next := use(b, false), use(b, true); !trial || next {
			t.Error("a trial that fails must be let through, and leave it open")
		}
		time.Sleep(coolDown)
		if trial, next := use(b, true), use(b, true); !trial || !next {
			t.Error("a trial that goes well must close it")
		}
	})
}

func TestBreakerOneTrialAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(Options{})
		for range opensAfter {
			use(b, false)
		}
		time.Sleep(coolDown)
		trial, ok := b.allow()
		if !trial || !ok {
			t.Fatal("no trial after the cool-down")
		}
		if _, ok := b.allow(); ok {
			t.Error("a second call beside the trial")
		}
		b.done(trial, true)
	})
}

func TestBreakerHealsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 3 * time.Second
		b := newBreaker(Options{SlowHeal: Wait(slow)})
		for range opensAfter {
			use(b, false)
		}
		time.Sleep(time.Minute) // down for long: that must not count
		use(b, false)
		healed := time.Now()
		var asked int
		for !closed(b) {
			time.Sleep(10 * time.Millisecond)
			if use(b, true) {
				asked++
			}
		}
		if took := time.Since(healed); took < slow || took > slow+3*trialEvery {
			t.Errorf("healed in %s, want %s", took, slow)
		}
		if most := int(slow/trialEvery) + 2; asked > most {
			t.Errorf("%d calls while it healed, want at most %d", asked, most)
		}
	})
}

func closed(b *breaker) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.open
}

func TestBackOff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 5: maxPause, 1000: maxPause} {
		for range 100 {
			if got := backOff(n); got < want/2 || got >= want {
				t.Errorf("pause %d is %s, want within [%s, %s)", n, got, want/2, want)
			}
		}
	}
}
