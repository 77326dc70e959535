package ledger

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// reading is what must be inferred of a policy.
type reading struct {
	name   string
	wait   func(int, *rand.Rand) float64
	kind   experiment.SpacingKind
	jitter bool
	base   float64 // mean of the first wait that is one
	factor float64
	step   float64
	cap    float64
	first0 bool
	wide   bool // spread by the half of it or more
}

// readings are all policies of the grid: how waits grow, how they are spread, from where.
func readings() []reading {
	all := []reading{{name: "none", kind: experiment.SpacingNone}}
	spreads := []struct {
		name     string
		from, to float64
	}{{"exact", 1, 1}, {"full jitter", 0, 1}, {"equal jitter", 0.5, 1}, {"20 % either way", 0.8, 1.2}, {"20 % more", 1, 1.2}, {"half either way", 0.5, 1.5}}
	for _, base := range []float64{10, 50, 2000} {
		for _, j := range spreads {
			if (j.to-j.from)*base < 15 && j.from != j.to {
				continue // noise is as large
			}
			mean := (j.from + j.to) / 2
			add := func(name string, r reading) {
				r.name = fmt.Sprintf("%s from %g ms, %s", name, base, j.name)
				r.wait = spreadBy(r.wait, j.from, j.to)
				r.wide = j.to-j.from >= 0.5
				r.jitter, r.base, r.step = j.from != j.to, r.base*mean, r.step*mean
				all = append(all, r)
			}
			add("fixed", reading{wait: exponentially(base, 1), kind: experiment.SpacingFixed, base: base})
			add("linear", reading{wait: linearly(base, base), kind: experiment.SpacingLinear, base: base, step: base})
			add("doubled", reading{wait: exponentially(base, 2), kind: experiment.SpacingExponential, base: base, factor: 2})
			add("times 1.5", reading{wait: exponentially(base, 1.5), kind: experiment.SpacingExponential, base: base, factor: 1.5})
			add("tripled", reading{wait: exponentially(base, 3), kind: experiment.SpacingExponential, base: base, factor: 3})
			add("doubled up to 4 times", reading{wait: capped(exponentially(base, 2), 4*base), kind: experiment.SpacingExponential, base: base, factor: 2, cap: 4 * base})
			add("urllib3", reading{wait: firstAt0(exponentially(base, 2)), kind: experiment.SpacingExponential, base: 2 * base, factor: 2, first0: true})
		}
	}
	return all
}

// wrong says what is wrong with what was inferred; nothing if that is right, or unknown
// where it may be.
func (w *reading) wrong(b *experiment.EdgeBehaviour, tries int, few bool) string {
	if t := &b.Tries; t.Known && (t.Most != tries || t.Endless) || !t.Known && !few {
		return fmt.Sprintf("tries %+v", b.Tries)
	}
	s := &b.Spacing
	waits := tries - 1
	if w.first0 {
		waits--
	}
	// Of two waits that are spread by far, growth by less than the double takes more calls.
	// 10, 20 and 30 ms are within noise of growth by 1.7, 10, 15 and 22.5 ms of steps of 6.
	mayMiss := few || waits == 3 && w.base == 10 && (w.factor == 1.5 || w.step > 0) || waits == 2 && w.wide && w.factor != 2 && w.factor != 3
	switch {
	case w.kind == experiment.SpacingNone && waits > 0:
		if s.Known && s.Kind == w.kind || !s.Known && mayMiss {
			return ""
		}
		return fmt.Sprintf("spacing %+v", s)
	case waits < 2:
		if s.Known && !(w.first0 && s.Kind == experiment.SpacingNone && waits < 1) {
			return fmt.Sprintf("known by %d waits: %+v", waits, s)
		}
		return ""
	case !s.Known:
		if mayMiss {
			return ""
		}
		return "unknown: " + s.Why
	}
	// Two waits, and waits that are spread, may be of either kind.
	alike := w.kind == experiment.SpacingLinear && s.Kind == experiment.SpacingExponential && (waits == 2 || w.jitter)
	return w.off(s, waits, alike, few)
}

// off compares figures.
func (w *reading) off(s *experiment.Spacing, waits int, alike, few bool) string {
	if s.Kind != w.kind && !alike || s.Jitter != w.jitter || s.FirstAtOnce != w.first0 {
		return fmt.Sprintf("spacing %+v", s)
	}
	within := func(what string, got, want, share, least float64) string {
		if d := math.Abs(got - want); d > want*share && d > least {
			return fmt.Sprintf("%s %g for %g: %+v", what, got, want, s)
		}
		return ""
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	share, least := 0.1, 5.0
	if w.jitter {
		share, least = 0.35, 10
		if few {
			share = 0.65
		}
	}
	if bad := within("base", ms(s.Base.Std()), w.base, share, least); bad != "" {
		return bad
	}
	if alike {
		return ""
	}
	if w.kind == experiment.SpacingExponential && (w.cap == 0 || waits > 2) {
		if bad := within("factor", s.Factor, w.factor, share, 0); bad != "" && !(w.base < 20 && math.Abs(s.Factor-w.factor) < 0.3) {
			return bad
		}
	}
	if w.kind == experiment.SpacingLinear && !w.jitter {
		if bad := within("step", ms(s.Step.Std()), w.step, share, least); bad != "" {
			return bad
		}
	}
	if w.cap > 0 && waits >= 4 && !w.jitter {
		return within("cap", ms(s.Cap.Std()), w.cap, share, least)
	}
	return ""
}

// Every policy of the grid is read right from 24 failed calls, whatever the seed, and
// never read wrong from fewer.
func TestPoliciesAreReadRight(t *testing.T) {
	for _, calls := range []int{60, 24, 12, 6, 3} {
		seeds := 3
		if raceOn {
			seeds = 1
		}
		if calls == 24 && soaks() {
			seeds = 20
		}
		n, unknown := 0, 0
		for _, w := range readings() {
			for tries := 1; tries <= 6; tries++ {
				bad := 0
				for seed := range seeds {
					s := simRun{seed: uint64(seed)*1000 + uint64(tries), calls: calls, hurt: 4000 * time.Second, tail: 2000 * time.Second, grouped: true}
					b := s.behaviour(simPolicy{tries: tries, wait: w.wait})
					n++
					if !b.Spacing.Known {
						unknown++
					}
					if why := w.wrong(&b, tries, calls < 24); why != "" {
						if bad++; bad < 4 {
							t.Errorf("%d calls, seed %d, %d tries, %s: %s", calls, seed, tries, w.name, why)
						}
					}
				}
				if bad > 0 {
					t.Logf("%d calls, %d tries, %s: %d of %d bad", calls, tries, w.name, bad, seeds)
				}
			}
		}
		t.Logf("%d calls: %d readings, %d unknown", calls, n, unknown)
	}
}

// On a machine that is so busy that every third wait is some 25 ms late, less is known,
// but nothing that is wrong.
func TestBusyMachines(t *testing.T) {
	known, all := 0, 0
	for _, w := range readings() {
		if (w.base < 50 || w.jitter && w.base < 150) && w.kind != experiment.SpacingNone {
			continue
		}
		for tries := 3; tries <= 5; tries++ {
			for seed := range 5 {
				s := simRun{seed: uint64(seed)*1000 + uint64(tries), calls: 40, hurt: 4000 * time.Second, tail: 2000 * time.Second, grouped: true}
				b := s.behaviour(simPolicy{tries: tries, wait: w.wait, busy: true})
				all++
				if b.Spacing.Known {
					known++
				}
				if why := w.wrong(&b, tries, true); why != "" {
					t.Errorf("seed %d, %d tries, %s: %s", seed, tries, w.name, why)
				}
			}
		}
	}
	if known*2 < all {
		t.Errorf("%d of %d are known", known, all)
	}
}

// lasting is a run in which everything fails for a minute.
func lasting(seed uint64) simRun {
	return simRun{seed: seed, calls: 40, hurt: time.Minute, tail: 20 * time.Second}
}

func backOff(base float64) func(int, *rand.Rand) float64 {
	return spreadBy(exponentially(base, 2), 0.5, 1)
}

// What is cut short says "at least", and does not count as given up.
func TestTriesAreCountedToTheirEnd(t *testing.T) {
	for _, tc := range []struct {
		name    string
		policy  simPolicy
		change  func(*simRun)
		known   bool
		most    int
		endless bool
	}{
		{"three", simPolicy{tries: 3, wait: backOff(100)}, nil, true, 3, false},
		{"one", simPolicy{tries: 1}, nil, true, 1, false},
		{"twelve, which is many, but an end", simPolicy{tries: 12, wait: exponentially(50, 1)}, nil, true, 12, false},
		{"without an end", simPolicy{wait: exponentially(200, 1)}, nil, true, 0, true},
		{"without an end, until the users go", simPolicy{wait: exponentially(200, 1)}, func(s *simRun) { s.users = 4000 }, true, 0, true},
		{"without an end, and users who go soon", simPolicy{wait: exponentially(300, 1)}, func(s *simRun) { s.users = 1500 }, false, 0, false},
		{"without an end, seen too short", simPolicy{wait: exponentially(20_000, 1)}, func(s *simRun) { s.hurt = 100 * time.Second }, false, 0, false},
		{"five, users go before", simPolicy{tries: 5, wait: exponentially(1000, 1)}, func(s *simRun) { s.users = 2500 }, false, 0, false},
		{"a budget of its own", simPolicy{tries: 9, wait: exponentially(400, 1), total: 1300}, nil, true, 4, false},
		{"three, few calls", simPolicy{tries: 3, wait: backOff(100)}, func(s *simRun) { s.calls = 4 }, false, 0, false},
		{"three, of some answers", simPolicy{tries: 3, wait: backOff(50), stops: func(status int) bool { return status == 500 },
			fails: func(r *rand.Rand) (int, float64) { return []int{500, 503}[r.IntN(2)], 5 }}, func(s *simRun) { s.calls = 150 }, true, 3, false},
	} {
		for seed := range uint64(6) {
			s := lasting(seed)
			if tc.change != nil {
				tc.change(&s)
			}
			b := s.behaviour(tc.policy)
			got := b.Tries
			if got.Known != tc.known || got.Endless != tc.endless || tc.most > 0 && got.Most != tc.most || !got.Known && (got.Most != 0 || got.Why == "") || got.Known && len(got.Evidence) == 0 {
				t.Errorf("%s, seed %d: %+v", tc.name, seed, got)
				break
			}
		}
	}
}

// hangs never answers in time.
func hangs(ms float64) func(*rand.Rand) (int, float64) {
	return func(*rand.Rand) (int, float64) { return 504, ms }
}

func TestTimeouts(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		policy                 simPolicy
		users                  float64
		known, none            bool
		perTry, total, atLeast float64
	}{
		{"of each attempt", simPolicy{tries: 3, wait: backOff(100), limit: 300, fails: hangs(60_000)}, 0, true, false, 300, 0, 0},
		{"of one attempt", simPolicy{tries: 1, limit: 1000, fails: hangs(60_000)}, 0, true, false, 1000, 0, 0},
		{"of the call", simPolicy{tries: 3, wait: exponentially(100, 1), limit: 400, total: 1200, fails: hangs(60_000)}, 0, true, false, 400, 1200, 0},
		{"of the call alone", simPolicy{tries: 3, wait: exponentially(100, 1), total: 900, fails: hangs(60_000)}, 0, true, false, 900, 0, 0},
		{"of the users alone", simPolicy{tries: 3, fails: hangs(60_000)}, 2000, false, false, 0, 0, 1999},
		{"of the users, who wait long", simPolicy{tries: 3, fails: hangs(60_000)}, 6000, true, true, 0, 0, 5999},
		{"of each attempt, shorter than that of the users", simPolicy{tries: 9, wait: exponentially(100, 1), limit: 400, fails: hangs(60_000)}, 1300, true, false, 400, 0, 0},
		{"none", simPolicy{tries: 1, fails: hangs(7000)}, 0, true, true, 0, 0, 7000},
		{"not needed", simPolicy{tries: 2, fails: hangs(800)}, 0, false, false, 0, 0, 800},
	} {
		for seed := range uint64(8) {
			s := lasting(seed)
			s.users = tc.users
			got := s.behaviour(tc.policy).Timeout
			close := func(d time.Duration, ms float64) bool {
				return math.Abs(float64(d)/float64(time.Millisecond)-ms) <= max(5, ms/20)
			}
			if got.Known != tc.known || got.None != tc.none || !close(got.PerTry.Std(), tc.perTry) || !close(got.Total.Std(), tc.total) || tc.atLeast > 0 && !close(got.AtLeast.Std(), tc.atLeast) || got.Why == "" {
				t.Errorf("%s, seed %d: %+v", tc.name, seed, got)
				break
			}
		}
	}
}

func TestRetryAfterAndWhatIsRetried(t *testing.T) {
	for seed := range uint64(8) {
		s := lasting(seed)
		p := simPolicy{tries: 3, wait: backOff(100), asks: 1000}
		b := s.behaviour(p)
		if r := b.RetryAfter; !r.Known || r.Obeyed > 0 || r.Asked < 70 || !b.Spacing.Known || !b.Spacing.Jitter {
			t.Errorf("seed %d, ignored: %+v, spacing %+v", seed, r, b.Spacing)
		}
		p.obeys = true
		b = s.behaviour(p)
		if r := b.RetryAfter; !r.Known || r.Obeyed != r.Asked || b.Spacing.Known {
			t.Errorf("seed %d, obeyed: %+v, spacing %+v", seed, r, b.Spacing)
		}
		// 400 is final to one caller, and not to the other.
		p = simPolicy{tries: 3, wait: backOff(50), fails: func(r *rand.Rand) (int, float64) { return []int{400, 503}[r.IntN(2)], 5 }}
		for _, stops := range []bool{true, false} {
			if p.stops = nil; stops {
				p.stops = func(status int) bool { return status == 400 }
			}
			b = s.behaviour(p)
			for _, o := range b.Retried {
				again := o.Outcome == "503" || !stops
				if o.Method != "GET" || o.Keyed || o.Ended < 10 || again != (o.Retried == o.Ended) || !again && o.Retried > 0 {
					t.Errorf("seed %d, 400 is final: %v: %+v", seed, stops, b.Retried)
				}
			}
			if len(b.Retried) != 2 {
				t.Errorf("seed %d: %+v", seed, b.Retried)
			}
		}
	}
}

// Attempts that overlap are hedged, and no retries without a wait.
func TestHedgingIsNoRetry(t *testing.T) {
	p := simPolicy{tries: 3, wait: exponentially(-60, 1), fails: func(r *rand.Rand) (int, float64) { return 503, 100 + 20*r.Float64() }}
	if b := lasting(1).behaviour(p); b.Spacing.Known {
		t.Errorf("spacing %+v", b.Spacing)
	}
}

// Users on the edge are synthetic: nothing is said of them.
func TestNothingIsSaidOfTheTraffic(t *testing.T) {
	s := lasting(1)
	s.users = 1000
	v := s.view(simPolicy{tries: 2})
	for i := range v.Entries {
		if e := &v.Entries[i]; v.Edges[e.Edge].From == experiment.Users && i%2 == 0 {
			e.Flow = 0
		}
	}
	b := experiment.EdgeBehaviour{}
	v.retries(v.EdgeOf("users -> front"), &b)
	if b.Tries.Known || b.Timeout.Known || b.Tries.Why == "" {
		t.Errorf("%+v", b)
	}
}

// Where it is not known which attempts are whose, their number for each request that
// comes still tells that calls have no end, and that Retry-After is ignored.
func TestWithoutKnowingWhoseAttemptsAreWhose(t *testing.T) {
	unsure := func(s simRun, p simPolicy) *caller {
		v := s.view(p)
		v.right = nil
		for i := range v.Calls {
			v.Calls[i].Sure = 0.3
		}
		return v.callerOf(v.EdgeOf("front -> back"))
	}
	for seed := range uint64(10) {
		s := lasting(seed)
		s.users = 100_000
		for tries, want := range map[int]bool{0: true, 1: false, 3: false, 12: false} {
			c := unsure(s, simPolicy{tries: tries, wait: exponentially(1000, 1)})
			if got := c.tries(); got.Endless != want || got.Known != want {
				t.Errorf("seed %d, %d tries: %+v", seed, tries, got)
			}
		}
		s.calls = 120
		for _, obeys := range []bool{true, false} {
			c := unsure(s, simPolicy{tries: 3, wait: backOff(100), asks: 8000, obeys: obeys})
			if early := c.early(8 * time.Second); early == obeys {
				t.Errorf("seed %d: early %v, obeys %v", seed, early, obeys)
			}
		}
	}
}
