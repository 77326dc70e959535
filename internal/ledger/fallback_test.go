package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestFallbacks(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		c    shopSetup
		seen bool
		to   string
		same bool
		cost time.Duration // 0 is not compared
	}{
		"none":                {shopSetup{rate: 40, hurt: 2 * second, recovery: second}, false, "", false, 0},
		"none, with retries":  {shopSetup{rate: 20, hurt: 2 * second, recovery: second, tries: 3, wait: 30 * time.Millisecond}, false, "", false, 0},
		"none, some fail":     {shopSetup{rate: 60, hurt: 3 * second, recovery: second, failing: 0.5}, false, "", false, 0},
		"retries that save":   {shopSetup{rate: 20, hurt: 3 * second, recovery: second, failing: 0.5, tries: 4, wait: 10 * time.Millisecond}, false, "", false, 0},
		"cache":               {shopSetup{rate: 40, hurt: 2 * second, recovery: second, fallback: "cache"}, true, "", false, 0},
		"slow cache":          {shopSetup{rate: 40, hurt: 3 * second, recovery: second, fallback: "cache", fallbackTook: 150 * time.Millisecond}, true, "", false, 141 * time.Millisecond},
		"archive":             {shopSetup{rate: 40, hurt: 2 * second, recovery: second, fallback: "archive"}, true, "front -> archive GET /item", false, 0},
		"archive, slow edge":  {shopSetup{rate: 20, hurt: 3 * second, recovery: second, fallback: "archive", failTook: 300 * time.Millisecond}, true, "front -> archive GET /item", false, 301 * time.Millisecond},
		"archive and breaker": {shopSetup{rate: 40, hurt: 3 * second, recovery: 2 * second, fallback: "archive", breaker: &countingBreaker{after: 5, open: second / 2, probes: 1}}, true, "front -> archive GET /item", false, 0},
		"same callee":         {shopSetup{rate: 20, hurt: 2 * second, recovery: second, fallback: "same"}, false, "front -> catalog GET /summary", true, 0},
		"same, some fail":     {shopSetup{rate: 40, hurt: 3 * second, recovery: second, fallback: "same", failing: 0.5}, true, "front -> catalog GET /summary", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range shopSeeds() {
				c := tt.c
				c.trace = true
				if c.breaker != nil {
					c.breaker = &countingBreaker{after: 5, open: second / 2, probes: 1}
				}
				f := behaviourOf(playShop(seed, c)).Fallback
				if !f.Known && (tt.seen || tt.to != "") {
					t.Fatalf("seed %d: unknown: %s", seed, f.Why)
				}
				if f.Seen != tt.seen || f.To != tt.to || f.SameCallee != tt.same {
					t.Fatalf("seed %d: %+v", seed, f)
				}
				if tt.cost > 0 && !nearly(f.Cost.Std(), tt.cost, 0) {
					t.Errorf("seed %d: cost %s, not %s", seed, f.Cost, tt.cost)
				}
				if f.Known && (len(f.Evidence) == 0 || f.Failed < f.Answered) {
					t.Errorf("seed %d: %+v", seed, f)
				}
			}
		})
	}
}

func TestFallbackUntested(t *testing.T) {
	v := playShop(1, shopSetup{rate: 50, hurt: time.Second, recovery: time.Second, failing: 1e-9, trace: true, fallback: "cache"})
	if f := behaviourOf(v).Fallback; f.Known || f.Seen || f.Why == "" {
		t.Errorf("%+v", f)
	}
}

// Another edge to the same address is the same callee.
func TestFallbackSameAddress(t *testing.T) {
	b, r := shopBook(3, shopSetup{rate: 20, hurt: 2 * time.Second, recovery: time.Second, trace: true, fallback: "archive"})
	r.Edges = []experiment.EdgeStatus{{Name: "front -> catalog", Upstream: "127.0.0.1:9001"}, {Name: "front -> archive", Upstream: "127.0.0.1:9001"}}
	if f := behaviourOf(Look(b, r)).Fallback; f.To != "front -> archive GET /item" || !f.SameCallee {
		t.Errorf("%+v", f)
	}
}

func TestHealthChecks(t *testing.T) {
	const second = time.Second
	for name, tt := range map[string]struct {
		c       shopSetup
		seen    bool
		ignored bool
	}{
		"none":                 {shopSetup{rate: 30, hurt: 2 * second, recovery: second}, false, false},
		"none, few users":      {shopSetup{rate: 4, hurt: 3 * second, recovery: 2 * second}, false, false},
		"none, breaker":        {shopSetup{rate: 40, hurt: 4 * second, recovery: 2 * second, breaker: &countingBreaker{after: 5, open: second / 2, probes: 1}}, false, false},
		"heeded":               {shopSetup{rate: 30, hurt: 2 * second, recovery: second, check: second / 10, heeded: true, fallback: "archive"}, true, false},
		"ignored":              {shopSetup{rate: 30, hurt: 2 * second, recovery: second, check: second / 10, fallback: "archive"}, true, true},
		"ignored, seldom":      {shopSetup{rate: 30, hurt: 5 * second, recovery: second, check: second}, true, true},
		"ignored, slow answer": {shopSetup{rate: 60, service: 100 * time.Millisecond, hurt: 3 * second, recovery: second, check: 200 * time.Millisecond}, true, true},
		"never failed":         {shopSetup{rate: 30, hurt: 2 * second, recovery: second, check: second / 10, failing: 1e-9}, true, false},
	} {
		for _, trace := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, trace %v", name, trace), func(t *testing.T) {
				t.Parallel()
				seeds := shopSeeds()
				if !trace {
					seeds = min(seeds, 4)
				}
				for seed := range seeds {
					c := tt.c
					c.trace = trace
					if c.breaker != nil {
						c.breaker = &countingBreaker{after: 5, open: second / 2, probes: 1}
					}
					b := behaviourOf(playShop(seed, c))
					h := b.HealthCheck
					if h.Seen != tt.seen || h.Ignored != tt.ignored {
						t.Fatalf("seed %d: %+v", seed, h)
					}
					if h.Seen && (h.Path != "/healthz" || (h.Every.Std()-c.check).Abs() > c.service+c.check/5+25*time.Millisecond) {
						t.Errorf("seed %d: %s every %s", seed, h.Path, h.Every)
					}
					if h.Ignored && len(h.Evidence) == 0 {
						t.Errorf("seed %d: without evidence", seed)
					}
					if tt.seen && (b.Breaker.Seen || b.Fallback.SameCallee) {
						t.Errorf("seed %d: %s %+v", seed, b.Breaker.Why, b.Fallback)
					}
				}
			})
		}
	}
}

// A caller that goes on calling has none, whatever else it does.
func TestNoBreaker(t *testing.T) {
	const second = time.Second
	for name, c := range map[string]shopSetup{
		"plain":         {rate: 50, hurt: 3 * second, recovery: 2 * second},
		"retries":       {rate: 30, hurt: 3 * second, recovery: 2 * second, tries: 4, wait: 200 * time.Millisecond},
		"some fail":     {rate: 100, hurt: 6 * second, recovery: 2 * second, failing: 0.5},
		"slow":          {rate: 50, hurt: 4 * second, recovery: 2 * second, failTook: second},
		"few users":     {rate: 5, hurt: 6 * second, recovery: 2 * second},
		"fallback":      {rate: 50, hurt: 3 * second, recovery: 2 * second, fallback: "archive"},
		"same fallback": {rate: 50, hurt: 3 * second, recovery: 2 * second, fallback: "same"},
		"bulkhead":      {rate: 50, hurt: 4 * second, recovery: 2 * second, failTook: second, breaker: &bulkhead{room: 10}},
		"bulkhead of 1": {rate: 50, hurt: 4 * second, recovery: 2 * second, failTook: second, breaker: &bulkhead{room: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range shopSeeds() {
				c := c
				c.trace = true
				if b, ok := c.breaker.(*bulkhead); ok {
					c.breaker = &bulkhead{room: b.room}
				}
				b := behaviourOf(playShop(seed, c)).Breaker
				if b.Seen || b.HalfOpen.Known || b.Closed.Known {
					t.Fatalf("seed %d: %s", seed, inShort(&b))
				}
				if name != "some fail" && name != "few users" && name != "bulkhead of 1" && !b.Known {
					t.Errorf("seed %d: %s", seed, inShort(&b))
				}
			}
		})
	}
}

// bulkhead bounds what is under way.
type bulkhead struct{ room, used int }

func (b *bulkhead) allow(time.Duration) (int, bool) {
	if b.used == b.room {
		return 0, false
	}
	b.used++
	return 0, true
}

func (b *bulkhead) done(int, time.Duration, bool) { b.used-- }
