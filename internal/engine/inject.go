package engine

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// Owners of injections besides runs.
const ownerDirect = "api"

// injection is one id in force. Its mutex is held while drivers act for it, so
// that a lift waits for an inject that is half done.
type injection struct {
	engine *Engine
	places []fault.Fault // reserved for the guard; never changes
	armed  chan struct{} // closed when the attempt to arm has ended

	mu      sync.Mutex
	info    experiment.Injection
	changes []armedChange
	lease   *time.Timer
	gone    bool
}

type armedChange struct {
	driver  driver.Driver
	change  driver.Change
	receipt fault.Receipt // the last one read
	before  fault.Receipt // of the changes that it has replaced
	over    bool
}

// Inject puts faults in force under one id and one lease. Either all of them
// are in force when it returns, or none.
func (e *Engine) Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error) {
	if r.Owner == "" {
		r.Owner = ownerDirect
	}
	lease := r.For.Std()
	if lease == 0 {
		lease = experiment.DefaultLease
	}
	if lease < minLease {
		return experiment.Injection{}, &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf("for: must be %s or more, not %s", minLease, r.For)}
	}
	seed, err := seedOr(r.Seed)
	if err != nil {
		return experiment.Injection{}, err
	}
	places, err := e.place(r.Faults, nil, seed)
	if err != nil {
		return experiment.Injection{}, err
	}
	return e.inject(ctx, r, places, lease, seed)
}

// place resolves logical faults to placed ones and names them apart.
func (e *Engine) place(faults []fault.Fault, flows []experiment.Flow, seed uint64) ([]fault.Fault, error) {
	if len(faults) == 0 {
		return nil, &experiment.Error{Code: experiment.BadInput, Message: "no fault is given", Hint: "`chaosctl kinds` lists what there is"}
	}
	var places []fault.Fault
	spec := &e.Topology().Spec
	for i := range faults {
		f := faults[i]
		if f.Info() == nil {
			_, err := fault.Lookup(f.Kind)
			return nil, &experiment.Error{Code: experiment.BadInput, Message: err.Error()}
		}
		if f.Params == nil {
			f.Params = f.Info().New()
		}
		if err := f.Validate(); err != nil {
			return nil, &experiment.Error{Code: experiment.BadInput, Message: f.Kind + ": " + oneLine(err)}
		}
		if f.Name == "" {
			f.Name = f.Kind
		}
		some, err := experiment.ResolveTargets(spec, flows, &f, seed)
		if err != nil {
			return nil, err
		}
		places = append(places, some...)
	}
	return places, nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (e *Engine) inject(ctx context.Context, r experiment.InjectRequest, places []fault.Fault, lease time.Duration, seed uint64) (experiment.Injection, error) {
	in := &injection{engine: e, places: places, armed: make(chan struct{})}
	defer close(in.armed)
	if err := e.reserve(in, r); err != nil {
		e.audit.write("refused", "", r.Actor, describe(places), err)
		return experiment.Injection{}, err
	}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.info.Owner, in.info.Actor, in.info.Seed = r.Owner, r.Actor, seed
	in.info.Since, in.info.Until, in.info.State = now, now.Add(lease), experiment.InForce
	if err := in.plan(ctx); err != nil {
		in.gone = true
		e.forget(in)
		return experiment.Injection{}, asInput(err)
	}
	for i := range in.changes {
		if err := in.apply(ctx, i); err != nil {
			return experiment.Injection{}, in.undoFailed(ctx, i, err)
		}
	}
	e.waiting.Add(1)
	in.lease = time.AfterFunc(time.Until(in.info.Until), func() {
		defer e.waiting.Done()
		in.expire()
	})
	e.audit.write("inject", in.info.ID, r.Actor, describe(places), nil)
	e.events.publish(experiment.Event{Type: "injected", ID: in.info.ID, Message: describe(places)})
	return in.copyInfo(), nil
}

// reserve enters the injection, if the guard allows it, so that two of them
// cannot slip past the blast radius together.
func (e *Engine) reserve(in *injection, r experiment.InjectRequest) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return &experiment.Error{Code: experiment.Unavailable, Message: "chaosctl is shutting down"}
	}
	others := []fault.Fault{}
	for _, o := range e.injections {
		others = append(others, o.places...)
	}
	if err := guard(&e.served().Spec, in.places, others, permissions{r.AllowProduction, r.AllowIrreversible}); err != nil {
		return err
	}
	e.enter(in)
	return nil
}

// enter gives the injection an id. It is called under mu, as strike is.
func (e *Engine) enter(in *injection) {
	for {
		in.info.ID = newID("f")
		if _, taken := e.injections[in.info.ID]; !taken {
			break
		}
	}
	e.injections[in.info.ID] = in
	for _, g := range e.guestsOf(in) {
		g.hurt[in] = struct{}{}
	}
}

func (e *Engine) strike(in *injection) {
	delete(e.injections, in.info.ID)
	for _, g := range e.guestsOf(in) {
		delete(g.hurt, in)
	}
}

func (e *Engine) forget(in *injection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.strike(in)
}

// plan asks the drivers for all changes and stamps them.
func (in *injection) plan(ctx context.Context) error {
	for i, f := range in.places {
		ac, err := in.planAs(ctx, f, i+1)
		if err != nil {
			return err
		}
		ac.change.Protect = protectedOn(in.engine.spec, f)
		in.changes = append(in.changes, ac)
		in.info.Armed = append(in.info.Armed, ac.shown())
	}
	return nil
}

// planAs plans one change and stamps it; the number makes its id unique.
func (in *injection) planAs(ctx context.Context, f fault.Fault, number int) (armedChange, error) {
	d, err := in.engine.driverFor(f)
	if err != nil {
		return armedChange{}, err
	}
	c, err := planOne(ctx, d, f)
	if err != nil {
		return armedChange{}, err
	}
	c.ID = in.info.ID + "." + strconv.Itoa(number)
	c.Seed, c.Until = in.info.Seed, in.info.Until
	return armedChange{driver: d, change: c}, nil
}

func (ac *armedChange) shown() experiment.Armed {
	c := ac.change
	return experiment.Armed{Fault: shown(c.Fault), Where: where(c.Fault), Touches: c.Touches, Undo: c.Undoes, Receipt: ac.before}
}

func planOne(ctx context.Context, d driver.Driver, f fault.Fault) (driver.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	if p, ok := d.(driver.Prober); ok {
		if err := p.Probe(ctx, f.Info()); errors.Is(err, driver.ErrUnsupported) {
			return driver.Change{}, fmt.Errorf("%s: %w", f.Kind, err)
		}
	}
	c, err := d.Plan(ctx, f)
	if err != nil {
		return c, fmt.Errorf("%s on %s: %w", f.Kind, f.At, err)
	}
	return c, nil
}

// where is the edge's name or the process of a placed fault.
func where(f fault.Fault) string { return f.At.String() }

// apply journals a durable change and puts it in force.
func (in *injection) apply(ctx context.Context, i int) error {
	e, c := in.engine, in.changes[i].change
	if !c.Volatile {
		e.cfg.checkpoint("before-intent")
		if err := e.book.intent(c, in.info.Owner); err != nil {
			return err
		}
		e.cfg.checkpoint("after-intent")
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	if err := in.changes[i].driver.Apply(ctx, c); err != nil {
		return fmt.Errorf("%s on %s: %w", c.Fault.Kind, c.Fault.At, err)
	}
	if !c.Volatile {
		e.cfg.checkpoint("after-apply")
	}
	return nil
}

// undoFailed takes back what was applied up to and including change i.
func (in *injection) undoFailed(ctx context.Context, i int, cause error) error {
	in.changes = in.changes[:i+1]
	in.info.Armed = in.info.Armed[:i+1]
	err := in.revertAll(ctx)
	in.engine.audit.write("inject-failed", in.info.ID, in.info.Actor, describe(in.places), errors.Join(cause, err))
	if err != nil {
		in.markStuck(err)
		return errors.Join(stuckError([]string{fmt.Sprintf("%s: %v", in.info.ID, err)}), cause)
	}
	in.gone = true
	in.engine.forget(in)
	return asInput(cause)
}

// revertAll reverts every change that is not over, last first. It does not
// hang on the caller's context: what was asked for is finished.
func (in *injection) revertAll(ctx context.Context) error {
	e := in.engine
	var errs []error
	for i := len(in.changes) - 1; i >= 0; i-- {
		ac := &in.changes[i]
		if ac.over {
			continue
		}
		if !ac.change.Volatile {
			e.cfg.checkpoint("before-revert")
		}
		if err := revertOne(context.WithoutCancel(ctx), e.cfg.Drivers, ac.change); err != nil {
			errs = append(errs, fmt.Errorf("%s on %s: %w", ac.change.Fault.Kind, ac.change.Fault.At, err))
			continue
		}
		if !ac.change.Volatile {
			e.cfg.checkpoint("after-revert")
		}
		in.readReceipt(ctx, i)
		if err := e.book.over(ac.change.ID); err != nil {
			errs = append(errs, fmt.Errorf("journal the end of %s: %w", ac.change.ID, err))
			continue
		}
		ac.over = true
		if !ac.change.Volatile {
			e.cfg.checkpoint("after-over")
		}
	}
	return errors.Join(errs...)
}

func (in *injection) readReceipt(ctx context.Context, i int) bool {
	ac := &in.changes[i]
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	st, err := ac.driver.Inspect(ctx, ac.change)
	if err != nil {
		return true // could not tell: what was known stays
	}
	ac.receipt = ac.before.Add(st.Receipt)
	in.info.Armed[i].Receipt = ac.receipt
	return st.InForce
}

func describe(places []fault.Fault) string {
	words := make([]string, len(places))
	for i, f := range places {
		words[i] = f.Kind + " on " + where(f)
	}
	return strings.Join(words, ", ")
}

// asInput turns a driver's reasons into refusals that a caller can act on.
func asInput(err error) error {
	var known *experiment.Error
	if errors.As(err, &known) {
		return err
	}
	var code experiment.Code
	switch {
	case errors.Is(err, driver.ErrUnsupported):
		code = experiment.Unsupported
	case errors.Is(err, driver.ErrNoTarget):
		code = experiment.NotFound
	case errors.Is(err, driver.ErrConflict):
		code = experiment.Conflict
	default:
		return err
	}
	return &experiment.Error{Code: code, Message: oneLine(err)}
}

func newID(prefix string) string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return prefix + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// seedOr is the given seed, else a fresh one that fits a JavaScript number.
func seedOr(given *uint64) (uint64, error) {
	if given != nil {
		return *given, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("choose a seed: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) >> 12, nil
}
