package relay

import (
	"errors"
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
	// After has it sleep until another edge of the set was called; nil: it never does.
	After *fault.After
	// Pulse has it come and go; nil keeps it in force.
	Pulse *fault.Pulse
	// Attempts are the tries of each call that are hurt; empty is all. Edges that see
	// requests.
	Attempts fault.Attempts
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

// armed is an effect in force. The control side and the units share it. One that
// comes and goes has a life for each time that it is in force; they are one effect
// to the control side, and count together (see tally).
type armed struct {
	Armed
	first    *armed        // life; nil in that one itself
	sleeping atomic.Bool   // it is out of force, and will be in force again
	waits    *countdown    // what ends its sleep; nil if that is no call
	over     chan struct{} // closed at the lift of all lives; nil without more than one
	edge     string
	unit     fault.Unit
	match    *matcher
	protect  []*matcher

	gone  chan struct{} // closed at the lift
	swept chan struct{} // closed when the sweeping goroutine has ended; nil without
	lease *time.Timer   // nil without; guarded by Edge.control

	tries attempts // of traces, since the arming
	calls attempts // by the keys of calls, since the arming; for Attempts

	counted *atomic.Bool // the unit has been, by another that shares this; nil without

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
	if (unit == fault.Connection || unit == fault.Datagram) && (matchesRequests(a.Match) || len(a.Protect) > 0) {
		return nil, fmt.Errorf("arm %s on %s: it acts on %ss, so it can neither match nor spare requests", a.ID, edge, unit)
	}
	if err := CheckAttempts(a.Effect, p); err != nil && a.Attempts != "" {
		return nil, fmt.Errorf("arm %s on %s: %w", a.ID, edge, err)
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

// errNoAttempts says why attempts cannot be counted.
var errNoAttempts = errors.New("it does not act on requests there, so there are no attempts of calls to count")

// tally is the life that counts for all.
func (a *armed) tally() *armed {
	if a.first != nil {
		return a.first
	}
	return a
}

// fitsConn tells whether the effect is meant for a connection that is no exchange.
func (a *armed) fitsConn(from netip.Addr) bool {
	return !a.asleep() && a.Attempts == "" && !matchesRequests(a.Match) && a.match.fitsClient(from)
}

// fits tells whether the effect is meant for the request, and whether the
// request is protected from it.
func (a *armed) fits(r *http.Request, from netip.Addr) (fits, protected bool) {
	if _, calls := a.Effect.(CallsOnly); calls && !isGRPC(r) {
		return false, false
	}
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
	t := a.tally()
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.lifted || a.asleep() {
		return nil
	}
	t.receipt.Matched++
	if key == "" {
		key = strconv.FormatUint(t.receipt.Matched, 10)
	}
	share := a.Share.Of()
	if protected || share < 1 && fault.Draw(a.Seed, a.Name, a.edge, key) >= share ||
		a.MaxActive > 0 && t.active >= a.MaxActive {
		t.receipt.Skipped++
		return nil
	}
	t.active++
	return &hit{armed: a, key: key}
}

// strike does the deed, which must not block, unless the effect was lifted; a lift
// that comes at the same time waits. The unit counts as hurt if the deed says that
// it was not before.
func (a *armed) strike(deed func() (first bool)) bool {
	t := a.tally()
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.lifted {
		return false
	}
	if deed() && a.news() {
		t.receipt.Injected++
	}
	return true
}

// news tells whether the unit that was hurt counts: of several effects that a caller
// asked for with one request, the first does.
func (a *armed) news() bool { return a.counted == nil || a.counted.CompareAndSwap(false, true) }

// spare counts a unit that was drawn and could not be hurt.
func (a *armed) spare() {
	t := a.tally()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !a.lifted {
		t.receipt.Skipped++
	}
}

// lift ends the effect: from here on nothing is counted and nobody is hurt.
func (a *armed) lift() {
	a.endLife()
	if a.over != nil {
		close(a.over)
	}
}

// endLife is lift, but for the lives that may follow.
func (a *armed) endLife() {
	t := a.tally()
	t.mu.Lock()
	a.lifted = true
	t.mu.Unlock()
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
	t := a.tally()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.receipt
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
	t := h.tally()
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.lifted {
		return false
	}
	if h.acted.CompareAndSwap(false, true) && h.news() {
		t.receipt.Injected++
	}
	if damages {
		h.damaged.Store(true)
	}
	return true
}

// end gives the place under MaxActive back.
func (h *hit) end() {
	t := h.tally()
	t.mu.Lock()
	t.active--
	t.mu.Unlock()
}

// quit is end for a unit that an effect is taken off; one that it has not hurt by then
// counts as skipped.
func (h *hit) quit() {
	if !h.acted.Load() {
		t := h.tally()
		t.mu.Lock()
		t.receipt.Skipped++
		t.mu.Unlock()
	}
	h.end()
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

// CheckAttempts tells whether an edge of a protocol can count the attempts of what an
// effect acts on; Arm refuses Attempts where it cannot.
func CheckAttempts(e Effect, p experiment.Protocol) error {
	if unit, _ := carriedOut(e, p); unit != fault.Exchange && unit != fault.Units {
		return errNoAttempts
	}
	return nil
}

// Check tells whether an edge of a protocol can carry out an effect, narrowed by
// match; Arm refuses what Check does.
func Check(e Effect, p experiment.Protocol, match *fault.Match) error {
	unit, ok := carriedOut(e, p)
	if !ok {
		return fmt.Errorf("an edge of protocol %s cannot carry out a %T", p, e)
	}
	if matchesRequests(match) && (unit == fault.Connection || unit == fault.Datagram) {
		return fmt.Errorf("it acts on %ss there, so it cannot match requests", unit)
	}
	if onListener(e) && match != nil {
		return fmt.Errorf("it acts on the listener, so it cannot tell callers apart")
	}
	_, err := compile(match)
	return err
}
