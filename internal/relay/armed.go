package relay

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Armed is an effect with all that decides whom it hits, and for how long.
type Armed struct {
	// ID is unique on the edge, and stays taken while its receipt is kept.
	ID string
	// Name of the fault; draws hang on it, and exchanges list it.
	Name   string
	Effect Effect
	// Match narrows it to some requests; HTTP edges only.
	Match *fault.Match
	// Share of the matched units that is hurt; 0 is all.
	Share fault.Share
	// MaxActive is how many units may be hurt at the same time; 0 is no limit.
	MaxActive int
	Seed      uint64
	// Until is when the relay drops it by itself; zero is never.
	Until time.Time
	// Protect lists requests it spares: they count as matched and skipped. Where
	// units are connections it must be empty.
	Protect []fault.Match
}

// armed is an effect in force. The control side and the units share it.
type armed struct {
	Armed
	edge    string
	unit    fault.Unit
	match   *matcher
	protect []*matcher

	gone  chan struct{} // closed at the lift
	swept chan struct{} // closed when the sweeping goroutine has ended; nil without
	lease *time.Timer   // nil without; guarded by Edge.control

	tries attempts // of traces, since the arming

	mu      sync.Mutex // held for counting and for acts that cannot block
	lifted  bool
	receipt fault.Receipt
	active  int
}

func newArmed(a Armed, edge string, p experiment.Protocol) (*armed, error) {
	unit, ok := carriedOut(a.Effect, p)
	if !ok {
		return nil, fmt.Errorf("arm %s on %s: the edge cannot carry out a %T", a.ID, edge, a.Effect)
	}
	if unit == fault.Connection && (matchesRequests(a.Match) || len(a.Protect) > 0) {
		return nil, fmt.Errorf("arm %s on %s: it acts on connections, so it can neither match nor spare requests", a.ID, edge)
	}
	if onListener(a.Effect) && a.Match != nil {
		return nil, fmt.Errorf("arm %s on %s: it acts on the listener, so it cannot tell callers apart", a.ID, edge)
	}
	if !a.Until.IsZero() && time.Until(a.Until) <= 0 {
		return nil, fmt.Errorf("arm %s on %s: its lease is over already", a.ID, edge)
	}
	s := &armed{Armed: a, edge: edge, unit: unit, gone: make(chan struct{}), receipt: fault.Receipt{Unit: unit}}
	var err error
	if s.match, err = compile(a.Match); err != nil {
		return nil, fmt.Errorf("arm %s on %s: %w", a.ID, edge, err)
	}
	for i := range a.Protect {
		m, err := compile(&a.Protect[i])
		if err != nil {
			return nil, fmt.Errorf("arm %s on %s: protect: %w", a.ID, edge, err)
		}
		s.protect = append(s.protect, m)
	}
	return s, nil
}

// fits tells whether the effect is meant for the request, and whether the
// request is protected from it.
func (a *armed) fits(r *http.Request, from netip.Addr) (fits, protected bool) {
	if !a.match.fits(r) || !a.match.fitsClient(from) {
		return false, false
	}
	for _, p := range a.protect {
		if p.spares(r) {
			return true, true
		}
	}
	return true, false
}

// draw counts a unit and decides over it; nil spares it. key is empty for
// traffic without one: then it is the unit's number among the matched.
func (a *armed) draw(key string, protected bool) *hit {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lifted {
		return nil
	}
	a.receipt.Matched++
	if key == "" {
		key = strconv.FormatUint(a.receipt.Matched, 10)
	}
	share := a.Share.Of()
	if protected || share < 1 && fault.Draw(a.Seed, a.Name, a.edge, key) >= share ||
		a.MaxActive > 0 && a.active >= a.MaxActive {
		a.receipt.Skipped++
		return nil
	}
	a.active++
	return &hit{armed: a, key: key}
}

// strike does the deed, which must not block, unless the effect was lifted; a lift
// that comes at the same time waits. The unit counts as hurt if the deed says that
// it was not before.
func (a *armed) strike(deed func() (first bool)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lifted {
		return false
	}
	if deed() {
		a.receipt.Injected++
	}
	return true
}

// spare counts a unit that was drawn and could not be hurt.
func (a *armed) spare() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.lifted {
		a.receipt.Skipped++
	}
}

// lift ends the effect: from here on nothing is counted and nobody is hurt.
func (a *armed) lift() {
	a.mu.Lock()
	a.lifted = true
	a.mu.Unlock()
	close(a.gone)
}

// isGone tells whether the effect was lifted.
func (a *armed) isGone() bool {
	select {
	case <-a.gone:
		return true
	default:
		return false
	}
}

func (a *armed) counts() fault.Receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.receipt
}

// hit is a unit that was drawn.
type hit struct {
	*armed
	key     string
	before  *hit      // of the effect that this one's replaces
	greet   time.Time // until when the connection waits to be served
	acted   atomic.Bool
	damaged atomic.Bool // bytes were lost: the unit cannot go on
	stages  [2]Stage    // made on first use, by the unit
	made    [2]bool
}

// act counts the unit as hurt, once.
func (h *hit) act() {
	if !h.acted.Load() && h.acted.CompareAndSwap(false, true) {
		h.strike(func() bool { return true })
	}
}

// once is act for what cannot be taken back: it tells whether the effect was
// still in force, and marks the unit as damaged if it is.
func (h *hit) once(damages bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lifted {
		return false
	}
	if h.acted.CompareAndSwap(false, true) {
		h.receipt.Injected++
	}
	if damages {
		h.damaged.Store(true)
	}
	return true
}

// end gives the place under MaxActive back.
func (h *hit) end() {
	h.mu.Lock()
	h.active--
	h.mu.Unlock()
}

// stage returns the unit's stage for a way, nil if there is none.
func (h *hit) stage(way Way) Stage {
	s, ok := h.Effect.(Stager)
	if !ok {
		return nil
	}
	if !h.made[way] {
		h.made[way] = true
		h.stages[way] = s.Stage(way, h.unit, h.rand(way.String()))
		if heir, ok := h.stages[way].(Heir); ok && h.before != nil && h.before.stages[way] != nil {
			heir.Inherit(h.before.stages[way])
		}
	}
	return h.stages[way]
}

func (h *hit) rand(what string) *Rand {
	return &Rand{state: fault.Hash(h.Seed, h.Name, h.edge, h.key, what)}
}

func (h *hit) holds(way Way) bool {
	holder, ok := h.Effect.(Holder)
	return ok && holder.Holds(way)
}

func (h *hit) swallows() bool {
	_, ok := h.Effect.(Swallower)
	return ok
}

// Check tells whether an edge of a protocol can carry out an effect, narrowed by
// match; Arm refuses what Check does.
func Check(e Effect, p experiment.Protocol, match *fault.Match) error {
	unit, ok := carriedOut(e, p)
	if !ok {
		return fmt.Errorf("an edge of protocol %s cannot carry out a %T", p, e)
	}
	if matchesRequests(match) && unit == fault.Connection {
		return fmt.Errorf("it acts on connections there, so it cannot match requests")
	}
	if onListener(e) && match != nil {
		return fmt.Errorf("it acts on the listener, so it cannot tell callers apart")
	}
	_, err := compile(match)
	return err
}
