package ledger

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// shopSeeds is how often a simulated shop is run, each time with another seed.
func shopSeeds() uint64 {
	switch {
	case soaks():
		return 20
	case raceOn:
		return 1
	}
	return 5
}

// behaviourOf is what is inferred of front -> catalog.
func behaviourOf(v *View) experiment.EdgeBehaviour {
	for _, b := range v.Behaviours() {
		if b.Edge == "front -> catalog" {
			return b
		}
	}
	return experiment.EdgeBehaviour{}
}

// near tells whether a figure is within 10 % or the margin.
func nearly(got, want, margin time.Duration) bool {
	return (got - want).Abs() <= max(want/10, margin, 5*time.Millisecond)
}

func TestBreakers(t *testing.T) {
	const second = time.Second
	type want struct {
		after  int
		open   time.Duration
		half   string // probes, none, unknown, any
		probes int
		closed string // closes, never, unknown
		share  float64
		loose  bool // the count need not be known
	}
	for name, tt := range map[string]struct {
		c       shopSetup
		breaker func() *countingBreaker
		want    want
	}{
		"after 3":            {shopSetup{rate: 50, hurt: 3 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 3, open: second / 2, probes: 1} }, want{3, second / 2, "probes", 1, "closes", 0, false}},
		"after 5":            {shopSetup{rate: 50, hurt: 3 * second, recovery: 3 * second, noise: 0.01}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2, probes: 1} }, want{5, second / 2, "probes", 1, "closes", 0, false}},
		"after 10":           {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 10, open: second, probes: 1} }, want{10, second, "probes", 1, "closes", 0, false}},
		"slow users":         {shopSetup{rate: 20, hurt: 5 * second, recovery: 4 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, probes: 1} }, want{5, second, "probes", 1, "closes", 0, false}},
		"many users":         {shopSetup{rate: 100, hurt: 3 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: 300 * time.Millisecond, probes: 1} }, want{5, 300 * time.Millisecond, "probes", 1, "closes", 0, false}},
		"open for 2 s":       {shopSetup{rate: 50, hurt: 6 * second, recovery: 4 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: 2 * second, probes: 1} }, want{5, 2 * second, "probes", 1, "closes", 0, false}},
		"slow failures":      {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second, failTook: 300 * time.Millisecond}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2, probes: 1} }, want{5, second / 2, "probes", 1, "closes", 0, false}},
		"3 probes at a time": {shopSetup{rate: 50, hurt: 5 * second, recovery: 3 * second, failTook: 100 * time.Millisecond}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2, probes: 3, needs: 3} }, want{5, second / 2, "probes", 3, "closes", 0, false}},
		"3 probes judged together": {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second}, func() *countingBreaker {
			return &countingBreaker{after: 10, open: second / 2, probes: 3, needs: 3, judged: true}
		}, want{10, second / 2, "probes", 3, "closes", 0, false}},
		"without half-open":                {shopSetup{rate: 60, hurt: 3 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: 400 * time.Millisecond} }, want{5, 400 * time.Millisecond, "none", 0, "closes", 0, false}},
		"without half-open, slow failures": {shopSetup{rate: 50, hurt: 5 * second, recovery: 3 * second, failTook: 300 * time.Millisecond}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2} }, want{5, second / 2, "none", 0, "closes", 0, false}},
		"after 1, at once answers":         {shopSetup{rate: 50, hurt: 3 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 1, open: second / 2, probes: 1} }, want{1, second / 2, "unknown", 0, "closes", 0, false}},
		"after 2 without half-open":        {shopSetup{rate: 50, hurt: 3 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 2, open: second / 2} }, want{2, second / 2, "unknown", 0, "closes", 0, false}},
		"after 1, slow failures":           {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second, failTook: 200 * time.Millisecond}, func() *countingBreaker { return &countingBreaker{after: 1, open: second / 2, probes: 1} }, want{1, second / 2, "probes", 1, "closes", 0, false}},
		"never closes":                     {shopSetup{rate: 40, hurt: 2 * second, recovery: 5 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, never: true} }, want{5, 0, "unknown", 0, "never", 0, false}},
		"short recovery":                   {shopSetup{rate: 50, hurt: second, recovery: second / 2}, func() *countingBreaker { return &countingBreaker{after: 5, open: 2 * second, probes: 1} }, want{5, 0, "unknown", 0, "unknown", 0, false}},
		"half of the calls fail":           {shopSetup{rate: 100, hurt: 10 * second, recovery: 3 * second, failing: 0.6}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2, probes: 1} }, want{5, second / 2, "any", 1, "closes", 0, true}},
		"by share": {shopSetup{rate: 50, steady: 10 * second, hurt: 12 * second, recovery: 4 * second}, func() *countingBreaker {
			return &countingBreaker{share: 0.5, window: 10 * second, volume: 10, open: second, probes: 1}
		}, want{0, second, "probes", 1, "closes", 0.5, true}},
		"by share, some fail": {shopSetup{rate: 50, steady: 10 * second, hurt: 15 * second, recovery: 4 * second, failing: 0.6}, func() *countingBreaker {
			return &countingBreaker{share: 0.5, window: 10 * second, volume: 10, open: second, probes: 1}
		}, want{0, second, "any", 1, "closes", 0.5, true}},
		"retries around it": {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second, tries: 3, wait: 50 * time.Millisecond}, func() *countingBreaker { return &countingBreaker{after: 10, open: second / 2, probes: 1} }, want{10, second / 2, "probes", 1, "closes", 0, false}},
		"retries inside it": {shopSetup{rate: 50, hurt: 5 * second, recovery: 3 * second, tries: 3, wait: 50 * time.Millisecond, inside: true}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, probes: 1} }, want{5, second, "probes", 1, "closes", 0, false}},
	} {
		for _, trace := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, trace %v", name, trace), func(t *testing.T) {
				t.Parallel()
				bad := 0
				c := tt.c
				seeds := shopSeeds()
				if !trace {
					seeds = min(seeds, 4) // putting calls and callers together without ids takes its time
				}
				exact := 0
				for seed := range seeds {
					c.trace = trace
					k := tt.breaker()
					c.breaker = k
					b := behaviourOf(playShop(seed, c)).Breaker
					if why := misreadBreaker(&b, tt.want.after, tt.want.open, tt.want.half, tt.want.probes, tt.want.closed, tt.want.share, tt.want.loose, c.rate); why != "" {
						if bad++; bad <= 3 {
							t.Errorf("seed %d: %s\n%+v", seed, why, inShort(&b))
						}
						continue
					}
					if b.OpensAfter > 0 {
						exact++
					}
					lift := c.steady + c.hurt
					if c.steady == 0 {
						lift += 3 * second
					}
					if tt.want.closed == "closes" && len(k.closed) > 0 {
						truth := k.closed[len(k.closed)-1] - lift
						if truth > 0 && (b.ClosedAfter.Std()-truth).Abs() > max(truth/10, 30*time.Millisecond) {
							t.Errorf("seed %d: closed %s after the lift, in truth %s", seed, b.ClosedAfter, truth)
						}
					}
				}
				if bad > 3 {
					t.Errorf("%d of %d wrong", bad, seeds)
				}
				t.Logf("%d of %d exact", exact, seeds)
				if seeds > 1 && tt.want.after > 0 && !tt.want.loose && exact*5 < int(seeds) && (trace || c.tries < 2) {
					t.Errorf("after how many failures it opens was told in %d of %d", exact, seeds)
				}
			})
		}
	}
}

func inShort(b *experiment.Breaker) string {
	return fmt.Sprintf("known %v seen %v after %d share %.2f open %s half %v probes %d closed %v after %s\n  %s\n  half: %s\n  closed: %s", b.Known, b.Seen, b.OpensAfter, b.ShareBefore, b.OpenFor, b.HalfOpen.Known, b.Probes, b.Closed.Known, b.ClosedAfter, b.Why, b.HalfOpen.Why, b.Closed.Why)
}

// misread says what is wrong.
func misreadBreaker(b *experiment.Breaker, after int, open time.Duration, half string, probes int, closed string, share float64, loose bool, rate float64) string {
	switch {
	case !b.Known || !b.Seen:
		return "not seen"
	case len(b.Evidence) == 0 || len(b.Evidence) > experiment.MaxEvidence || b.Confidence <= 0 || b.Confidence > 1 || b.Why == "":
		return "without evidence"
	case after > 0 && b.OpensAfter == 0 && strings.Contains(b.Why, "not sure which attempts"):
	case after > 0 && b.OpensAfter == 0:
		if n := b.OpensBetween; !loose && (len(n) != 2 || n[0] > after || n[1] < after || n[1] > n[0]+2) {
			return fmt.Sprintf("opens between %v", n)
		}
	case after > 0 && math.Abs(float64(b.OpensAfter-after)) > float64(after)/10:
		return fmt.Sprintf("opens after %d", b.OpensAfter)
	}
	switch {
	case share > 0 && math.Abs(b.ShareBefore-share) > share/10:
		return fmt.Sprintf("share %.2f", b.ShareBefore)
	case open > 0 && !nearly(b.OpenFor.Std(), open, time.Duration(float64(time.Second)/rate/2)):
		return fmt.Sprintf("open for %s", b.OpenFor)
	}
	switch {
	case half == "probes" && (!b.HalfOpen.Known || b.Probes != probes) && !strings.Contains(b.HalfOpen.Why, "not sure which attempts"),
		half == "none" && (!b.HalfOpen.Known || b.Probes != 0),
		half == "any" && b.HalfOpen.Known && b.Probes != probes,
		half == "unknown" && b.HalfOpen.Known:
		return fmt.Sprintf("half-open %v %d", b.HalfOpen.Known, b.Probes)
	}
	switch {
	case closed == "closes" && (!b.Closed.Known || b.ClosedAfter == 0),
		closed == "never" && (!b.Closed.Known || b.ClosedAfter != 0),
		closed == "unknown" && b.Closed.Known:
		return fmt.Sprintf("closed %v %s", b.Closed.Known, b.ClosedAfter)
	}
	for i, s := range b.Spans {
		if !s.From.Before(s.To) || i > 0 && s.From.Before(b.Spans[i-1].To) {
			return "spans overlap"
		}
	}
	return ""
}

// What looks like a breaker, or like one that never closes, and is none.
func TestBreakerTraps(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		c       shopSetup
		breaker func() *countingBreaker
		seen    bool
		closed  string // closes, never, unknown
	}{
		"another callee fails first":     {shopSetup{rate: 50, hurt: 3 * second, recovery: 3 * second, first: true, hurts: "front -> auth"}, nil, false, "unknown"},
		"one call at a time":             {shopSetup{rate: 20, hurt: 4 * second, recovery: 4 * second, single: true, tries: 3, wait: second / 2, service: 5 * time.Millisecond}, nil, false, "unknown"},
		"calls go elsewhere for good":    {shopSetup{rate: 50, hurt: 3 * second, recovery: 6 * second, fallback: "archive"}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, never: true} }, true, "unknown"},
		"stays open, and has a cache":    {shopSetup{rate: 50, hurt: 3 * second, recovery: 6 * second, fallback: "cache"}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, never: true} }, true, "never"},
		"pauses grow":                    {shopSetup{rate: 50, hurt: 4 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 4, probes: 1, grow: 2} }, true, "not never"},
		"probes go well and are not all": {shopSetup{rate: 50, hurt: 3 * second, recovery: 5 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: second / 2, probes: 1, needs: 1000} }, true, "never"},
		"a long pause, seen too shortly": {shopSetup{rate: 50, hurt: 2 * second, recovery: 3 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: 10 * second, probes: 1} }, true, "unknown"},
		"five seconds, as is usual":      {shopSetup{rate: 50, hurt: 2 * second, recovery: 6 * second}, func() *countingBreaker { return &countingBreaker{after: 5, open: 5 * second, probes: 1} }, true, "closes"},
		"still failing after the lift":   {shopSetup{rate: 50, hurt: 3 * second, recovery: 4 * second, noise: 0.9}, func() *countingBreaker { return &countingBreaker{after: 5, open: second, never: true} }, true, "any"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range shopSeeds() {
				c := tt.c
				c.trace = true
				if tt.breaker != nil {
					c.breaker = tt.breaker()
				}
				b := behaviourOf(playShop(seed, c)).Breaker
				never := b.Closed.Known && b.ClosedAfter == 0
				switch {
				case tt.closed == "any":
					continue
				case b.Seen != tt.seen,
					tt.closed == "unknown" && b.Closed.Known,
					tt.closed == "never" && !never,
					tt.closed == "not never" && never,
					tt.closed == "closes" && (!b.Closed.Known || never):
					t.Fatalf("seed %d: %s", seed, inShort(&b))
				}
			}
		})
	}
}

// Where a fault cut connections, no exchange tells that the caller called.
func TestBreakerUnseenCalls(t *testing.T) {
	b, r := shopBook(5, shopSetup{rate: 50, hurt: 3 * time.Second, recovery: 3 * time.Second, trace: true})
	hurt := r.Windows[1]
	var kept []Entry
	failures := 0
	for _, e := range b.Entries {
		if at := b.Time(e.Start); b.Edges[e.Edge].Name == "front -> catalog" && at.After(hurt.Start) && at.Before(hurt.End) {
			if failures++; failures > 3 {
				continue
			}
		}
		kept = append(kept, e)
	}
	b.Entries = kept
	look := func(kind string) experiment.Breaker {
		r.Injections[0].Armed[0].Fault.Kind = kind
		return behaviourOf(Look(b, r)).Breaker
	}
	if k := look("net.partition"); k.Seen {
		t.Errorf("a partition is no breaker: %s", inShort(&k))
	}
	if k := look("http.status"); !k.Seen {
		t.Errorf("a caller who does not call has a breaker: %s", inShort(&k))
	}
}

// Without a steady stage, without a recovery, without anything.
func TestBreakerUnknown(t *testing.T) {
	c := shopSetup{rate: 50, hurt: 3 * time.Second, recovery: 3 * time.Second, trace: true, breaker: &countingBreaker{after: 5, open: time.Second, probes: 1}}
	b, r := shopBook(5, c)
	all := r.Windows
	for name, windows := range map[string][]experiment.Window{"no steady stage": all[1:], "no windows": nil} {
		r.Windows = windows
		if k := behaviourOf(Look(b, r)).Breaker; k.Known || k.Why == "" {
			t.Errorf("%s: %s", name, inShort(&k))
		}
	}
	r.Windows = all[:2]
	if k := behaviourOf(Look(b, r)).Breaker; !k.Seen || k.Closed.Known || k.Closed.Why == "" {
		t.Errorf("no recovery: %s", inShort(&k))
	}
	if k := behaviourOf(Look(NewBook(nil), &experiment.Run{})).Breaker; k.Known {
		t.Errorf("nothing: %s", inShort(&k))
	}
}

// What is inferred of callers who stop calling takes little time with many exchanges.
func BenchmarkBreakers(b *testing.B) {
	v := playShop(1, shopSetup{rate: 1000, steady: 30 * time.Second, hurt: 40 * time.Second, recovery: 30 * time.Second, trace: true, fallback: "archive", breaker: &countingBreaker{after: 5, open: time.Second, probes: 1}})
	b.ReportMetric(float64(len(v.Entries)), "exchanges")
	for b.Loop() {
		for e := range v.Edges {
			var x experiment.EdgeBehaviour
			checks := v.checksOf(int32(e))
			v.breaker(int32(e), checks, &x)
			v.fallback(int32(e), checks, &x)
			v.healthCheck(int32(e), checks, &x)
		}
	}
}
