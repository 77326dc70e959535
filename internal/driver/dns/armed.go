package dns

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// effect is what a kind does to a query; exactly one of its parts is set.
type effect struct {
	// delay before the query goes on. chance gives numbers in [0, 1) for a purpose.
	delay func(chance func(what string) float64) time.Duration
	// swallow: there is no answer at all.
	swallow bool
	// answer in the place of the upstreams, which ask reaches.
	answer func(ctx context.Context, q *query, ask asker) ([]byte, error)
}

// asker asks the upstreams.
type asker func(ctx context.Context, q *query) ([]byte, error)

// ends tells whether a query that the effect hits goes no further.
func (e effect) ends() bool { return e.delay == nil }

// plan is an effect with all that decides whom it hits.
type plan struct {
	id, name  string
	effect    effect
	names     []*fault.NameMatcher
	types     map[uint16]bool // empty is all
	words     []string        // the types in words
	share     fault.Share
	maxActive int
	seed      uint64
	pulse     *fault.Pulse
	until     time.Time // zero is never
}

// armed is a plan in force.
type armed struct {
	plan
	since time.Time
	gone  chan struct{} // closed at the lift
	lease *time.Timer   // nil without; guarded by Resolver.control

	mu      sync.Mutex
	lifted  bool
	receipt fault.Receipt
	active  int
}

func arm(p plan) *armed {
	return &armed{plan: p, since: time.Now(), gone: make(chan struct{}), receipt: fault.Receipt{Unit: fault.Query}}
}

// fits tells whether the effect is meant for a query.
func (a *armed) fits(q *query) bool {
	const inet, anyClass = 1, 255
	if q.class != inet && q.class != anyClass || len(a.types) > 0 && !a.types[q.qtype] {
		return false
	}
	for _, n := range a.names {
		if n.Fits(q.name) {
			return true
		}
	}
	return false
}

// hit is a query that was drawn.
type hit struct {
	*armed
	key string
}

// draw counts a query and decides over it; nil spares it.
func (a *armed) draw() *hit {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lifted || !a.pulse.IsOn(time.Since(a.since)) {
		return nil
	}
	a.receipt.Matched++
	key := strconv.FormatUint(a.receipt.Matched, 10)
	share := a.share.Of()
	if share < 1 && fault.Draw(a.seed, a.name, drawnOn, key) >= share || a.maxActive > 0 && a.active >= a.maxActive {
		a.receipt.Skipped++
		return nil
	}
	a.active++
	a.receipt.Injected++
	return &hit{a, key}
}

// drawnOn stands for the edge in draws.
const drawnOn = "resolver"

// chance is a number in [0, 1) for one purpose of this query.
func (h *hit) chance(what string) float64 { return fault.Draw(h.seed, h.name, drawnOn, h.key+" "+what) }

// end gives the place under maxActive back.
func (h *hit) end() {
	h.mu.Lock()
	h.active--
	h.mu.Unlock()
}

// hold waits until d is over, the effect is lifted or goes off, or ctx ends.
func (h *hit) hold(ctx context.Context, d time.Duration) {
	if p := h.pulse; p != nil {
		into := (time.Since(h.since) - p.Offset.Std()) % (p.On + p.Off).Std()
		d = min(d, p.On.Std()-into)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.gone:
	case <-ctx.Done():
	}
}

// lift ends the effect, once: from here on nothing is counted and nobody is hurt.
func (a *armed) lift() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.lifted {
		a.lifted = true
		close(a.gone)
	}
}

func (a *armed) counts() (receipt fault.Receipt, inForce bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.receipt, !a.lifted
}
