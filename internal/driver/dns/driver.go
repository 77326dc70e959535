package dns

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// Name of the driver, as journaled.
const Name = "dns"

// served is a kind with what it becomes on a resolver.
type served struct {
	kind *fault.Kind
	make func(fault.Params) (effect, words, []fault.QueryType, error)
}

// words say what a kind does, in the parts of two sentences.
type words struct {
	// touches goes on after "queries for NAMES": "get no answer".
	touches string
	// undoes ends "the effect is taken out of the resolver; ..."; it may be empty.
	undoes string
}

var table = map[string]served{}

// chosen is what all params of ours say of queries.
type chosen[P any] interface {
	*P
	fault.Params
	QueryTypes() []fault.QueryType
}

// serve says how a kind is carried out. It runs while package variables
// initialise; serving a kind twice panics at start.
func serve[P any, PP chosen[P]](k *fault.Kind, become func(p PP) effect, say func(p PP) words) *fault.Kind {
	if _, twice := table[k.Name]; twice {
		panic("driver/dns: " + k.Name + " is served twice")
	}
	table[k.Name] = served{k, func(p fault.Params) (effect, words, []fault.QueryType, error) {
		own, ok := p.(PP)
		if !ok {
			return effect{}, words{}, nil, fmt.Errorf("params are %T, not those of %s", p, k.Name)
		}
		if err := own.Validate(); err != nil {
			return effect{}, words{}, nil, err
		}
		return become(own), say(own), own.QueryTypes(), nil
	}}
	return k
}

// Driver is the driver of a resolver.
type Driver struct{ resolver *Resolver }

// New returns the driver of a resolver; nil is one that hurts nothing.
func New(r *Resolver) *Driver { return &Driver{r} }

var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Updater = (*Driver)(nil)
)

// Name is "dns".
func (d *Driver) Name() string { return Name }

// Serves lists the kinds by name.
func (d *Driver) Serves() (string, []*fault.Kind) {
	var kinds []*fault.Kind
	for _, s := range table {
		kinds = append(kinds, s.kind)
	}
	slices.SortFunc(kinds, func(a, b *fault.Kind) int { return strings.Compare(a.Name, b.Name) })
	return "resolver", kinds
}

// Plan checks that the resolver is there and that the names can be read.
func (d *Driver) Plan(_ context.Context, f fault.Fault) (driver.Change, error) {
	p, w, err := d.plan(driver.Change{Fault: f})
	if err != nil {
		return driver.Change{}, fmt.Errorf("plan %s on %s: %w", f.Kind, f.At, err)
	}
	c := driver.Change{Driver: Name, Fault: f, Volatile: true, Undoes: "the effect is taken out of the resolver"}
	if w.undoes != "" {
		c.Undoes += "; " + w.undoes
	}
	c.Touches = fmt.Sprintf("queries for %s on the resolver (%s) %s%s", strings.Join(f.At.Resolver.Names, ", "), d.resolver.Addr(), w.touches, whom(f, p))
	return c, nil
}

// whom says which queries are hurt.
func whom(f fault.Fault, p plan) string {
	text := ", all of "
	if share := f.Share.Of(); share < 1 {
		text = fmt.Sprintf(", %.4g%% of ", share*100)
	}
	if types := p.words; len(types) > 0 {
		text += "those for " + strings.Join(types, " and ")
	} else {
		text += "them"
	}
	if f.MaxActive > 0 {
		text += fmt.Sprintf(", at most %d at a time", f.MaxActive)
	}
	return text + f.When()
}

// plan is a change as the resolver takes it.
func (d *Driver) plan(c driver.Change) (plan, words, error) {
	f := c.Fault
	s, ok := table[f.Kind]
	if !ok {
		return plan{}, words{}, driver.ErrUnsupported
	}
	if !d.at(f) {
		return plan{}, words{}, driver.ErrNoTarget
	}
	if f.Match != nil || f.Attempts != "" || f.After != nil {
		return plan{}, words{}, fmt.Errorf("neither `match` nor `attempts` nor `after` goes with it: %w", driver.ErrUnsupported)
	}
	if len(c.Protect) > 0 {
		return plan{}, words{}, fmt.Errorf("it cannot spare requests: %w", driver.ErrUnsupported)
	}
	become, w, types, err := s.make(f.Params)
	if err != nil {
		return plan{}, words{}, err
	}
	p := plan{
		id: c.ID, name: f.Title(), effect: become, types: map[uint16]bool{},
		share: f.Share, maxActive: f.MaxActive, seed: c.Seed, pulse: f.Pulse, until: c.Until,
	}
	for _, t := range types {
		p.types[t.Number()] = true
		p.words = append(p.words, string(t))
	}
	for _, n := range f.At.Resolver.Names {
		m, err := fault.CompileName(n)
		if err != nil {
			return plan{}, words{}, fmt.Errorf("name %q: %w", n, err)
		}
		p.names = append(p.names, m)
	}
	return p, w, nil
}

// at tells whether a fault is placed on the resolver.
func (d *Driver) at(f fault.Fault) bool {
	return d.resolver != nil && f.At != nil && f.At.Resolver != nil && f.At.Resolver.Listen == d.resolver.listen
}

// Apply puts the effect in force.
func (d *Driver) Apply(ctx context.Context, c driver.Change) error {
	return d.Update(ctx, driver.Change{}, c)
}

// Update puts fresh in the place of old, in one step.
func (d *Driver) Update(_ context.Context, old, fresh driver.Change) error {
	p, _, err := d.plan(fresh)
	if err == nil {
		err = d.resolver.arm(old.ID, p)
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", fresh.ID, err)
	}
	return nil
}

// Revert lifts the effect.
func (d *Driver) Revert(_ context.Context, c driver.Change) error {
	if d.at(c.Fault) {
		d.resolver.lift(c.ID)
	}
	return nil
}

// Inspect reads what the resolver has in force. The receipt stays readable after
// the effect is gone.
func (d *Driver) Inspect(_ context.Context, c driver.Change) (driver.State, error) {
	if !d.at(c.Fault) {
		return driver.State{}, nil
	}
	receipt, inForce := d.resolver.receipt(c.ID)
	return driver.State{InForce: inForce, Receipt: receipt}, nil
}
