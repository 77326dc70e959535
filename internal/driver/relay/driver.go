// Package relay is the driver for edges that have a relay of ours on them: it
// turns each kind of fault into an effect for internal/relay.
//
// There is one file per kind. A file says with serve which effect the kind's
// params become and how to say it in words; nothing else has to be edited to add
// one.
//
// All changes are volatile: they die with the process that holds the relay.
package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// Name of the driver, as journaled.
const Name = "relay"

// served is a kind with what it becomes on a relay.
type served struct {
	kind   *fault.Kind
	effect func(fault.Params) (relay.Effect, error)
	words  func(fault.Params) words
}

// words say what a kind does, in the parts of two sentences.
type words struct {
	// touches is a verb phrase with the edge as %s: "answers on %s start 500ms later".
	touches string
	// emulated is touches on edges that only imitate what happens; empty for kinds
	// that do it for real everywhere.
	emulated string
	// datagrams are the words for edges that pass datagrams, where they are others.
	datagrams *words
	// undoes ends "the effect is taken out of the relay; ..."; it may be empty.
	undoes string
}

var table = map[string]served{}

// serve says how a kind is carried out. It runs while package variables
// initialise; serving a kind twice panics at start.
func serve[P any, PP interface {
	*P
	fault.Params
}](k *fault.Kind, effect func(p PP) relay.Effect, say func(p PP) words) *fault.Kind {
	if _, twice := table[k.Name]; twice {
		panic("driver/relay: " + k.Name + " is served twice")
	}
	table[k.Name] = served{
		kind: k,
		effect: func(p fault.Params) (relay.Effect, error) {
			own, ok := p.(PP)
			if !ok {
				return nil, fmt.Errorf("params are %T, not those of %s", p, k.Name)
			}
			return effect(own), nil
		},
		words: func(p fault.Params) words {
			own, ok := p.(PP)
			if !ok {
				return words{}
			}
			return say(own)
		},
	}
	return k
}

// Driver is the driver of a set of relays.
type Driver struct{ set *relay.Set }

// New returns the driver of a set.
func New(set *relay.Set) *Driver { return &Driver{set} }

var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Updater = (*Driver)(nil)
)

// Name is "relay".
func (d *Driver) Name() string { return Name }

// Serves lists the kinds by name.
func (d *Driver) Serves() (string, []*fault.Kind) {
	var kinds []*fault.Kind
	for _, s := range table {
		kinds = append(kinds, s.kind)
	}
	slices.SortFunc(kinds, func(a, b *fault.Kind) int { return strings.Compare(a.Name, b.Name) })
	return "relay", kinds
}

// Plan checks that the edge is there and can do it.
func (d *Driver) Plan(_ context.Context, f fault.Fault) (driver.Change, error) {
	edge, s, err := d.find(f)
	if err != nil {
		return driver.Change{}, err
	}
	spec := edge.Spec()
	effect, err := s.effect(f.Params)
	if err != nil {
		return driver.Change{}, fmt.Errorf("plan %s on %s: %w", f.Kind, edge.Name(), err)
	}
	if why := cannot(s.kind, effect, f.Match, spec); why != "" {
		return driver.Change{}, fmt.Errorf("%s on %s: %s: %w", f.Kind, edge.Name(), why, driver.ErrUnsupported)
	}
	if why := noHandshake(effect, spec); why != "" {
		return driver.Change{}, fmt.Errorf("%s on %s: %s: %w", f.Kind, edge.Name(), why, driver.ErrUnsupported)
	}
	if err := relay.Check(effect, spec.Protocol, f.Match); err != nil {
		return driver.Change{}, fmt.Errorf("plan %s on %s: %w: %w", f.Kind, edge.Name(), err, driver.ErrUnsupported)
	}
	if err := relay.CheckAttempts(effect, spec.Protocol); err != nil && f.Attempts != "" {
		return driver.Change{}, fmt.Errorf("plan %s on %s: attempts: %w: %w", f.Kind, edge.Name(), err, driver.ErrUnsupported)
	}
	if f.After != nil {
		if _, ok := d.set.Edge(f.After.Edge); !ok || f.After.Edge == edge.Name() {
			return driver.Change{}, fmt.Errorf("plan %s on %s: after: %s must be another edge with a relay: %w", f.Kind, edge.Name(), f.After.Edge, driver.ErrUnsupported)
		}
	}
	w := s.words(f.Params)
	if w.datagrams != nil && spec.Protocol == experiment.UDP {
		w = *w.datagrams
	}
	touches := w.touches
	if w.emulated != "" && spec.Protocol != experiment.UDP {
		touches = w.emulated
	}
	undoes := "the effect is taken out of the relay"
	if w.undoes != "" {
		undoes += "; " + w.undoes
	}
	return driver.Change{
		Driver: Name, Fault: f, Volatile: true, Undoes: undoes,
		Touches: fmt.Sprintf(touches, fmt.Sprintf("%s (%s)", edge.Name(), spec.Listen)) + whom(f, s.kind, spec.Protocol),
	}, nil
}

// cannot says why an edge cannot do it; the relay has the last word.
func cannot(k *fault.Kind, e relay.Effect, m *fault.Match, s relay.Spec) string {
	p := s.Protocol
	sees := fmt.Sprintf("the edge is %s and sees bytes only", p)
	if p == experiment.UDP {
		sees = "the edge is udp and passes datagrams"
	}
	_, raw := e.(relay.Raw)
	_, greets := e.(relay.Greeter)
	refuser, _ := e.(relay.Refuser)
	switch {
	case k.HTTPOnly && !p.SeesRequests():
		return sees + ", the kind needs requests (protocol: http)"
	case k.DatagramsOnly && p != experiment.UDP:
		return fmt.Sprintf("the edge is %s and passes streams, in which there are no datagrams (protocol: udp)", p)
	case p == experiment.UDP && !k.Datagrams:
		return sees + ", the kind acts on connections and their bytes (protocol: tcp or http)"
	case p == experiment.UDP && refuser != nil && refuser.Refuses():
		return sees + "; a socket that refuses hears nobody, so no session can be kept open (leave out keepOpen)"
	case greets && p == experiment.Auto:
		return "the edge is auto and has to read what comes first, the fault must not (protocol: tcp)"
	case (raw || greets) && p == experiment.HTTP:
		return fmt.Sprintf("the edge is %s and passes requests on connections of its own, the fault needs the caller's bytes as they come (protocol: tcp)", p)
	case m == nil:
		return ""
	case !k.MatchesClients():
		return "it acts before a caller is known, so `match` does not go with it"
	case m.OnRequests() && !p.SeesRequests():
		return sees + ", so `match` cannot choose among requests (protocol: http would; `client` goes with any)"
	case m.OnRequests() && k.WholeConnections:
		return "it acts on whole connections, so only `match.client` goes with it"
	}
	return ""
}

// whom says which units are hurt.
func whom(f fault.Fault, k *fault.Kind, p experiment.Protocol) string {
	if k.NoShare && f.Match == nil {
		return f.When()
	}
	unit := "connections"
	switch {
	case p == experiment.UDP && k.WholeConnections:
		unit = "sessions"
	case p == experiment.UDP:
		unit = "datagrams"
	case p == experiment.Auto && k.BytesOnly:
		unit = "connections that carry no requests"
	case p == experiment.Auto && !k.HTTPOnly && !k.WholeConnections && f.Attempts == "" && !(f.Match != nil && f.Match.OnRequests()):
		unit = "exchanges and connections that carry none"
	case p.SeesRequests() && !k.WholeConnections:
		unit = "exchanges"
	}
	text := ", on all " + unit
	if share := f.Share.Of(); share < 1 {
		text = fmt.Sprintf(", on %.4g%% of the %s", share*100, unit)
	}
	if m := f.Match; m != nil {
		var parts []string
		if len(m.Client) > 0 {
			text += " from " + strings.Join(m.Client, " or ")
		}
		if len(m.Method) > 0 {
			parts = append(parts, strings.Join(m.Method, "/"))
		}
		if m.Path != "" {
			parts = append(parts, m.Path)
		}
		for _, name := range sortedKeys(m.Header) {
			parts = append(parts, "header "+name)
		}
		for _, name := range sortedKeys(m.Query) {
			parts = append(parts, "query "+name+"="+m.Query[name])
		}
		if m.GRPC != nil {
			parts = append(parts, m.GRPC.String())
		}
		if len(parts) > 0 {
			text += " that match " + strings.Join(parts, ", ")
		}
	}
	if f.MaxActive > 0 {
		text += fmt.Sprintf(", at most %d at a time", f.MaxActive)
	}
	return text + f.When()
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Apply arms the effect. A change that protects requests from an effect that
// cannot tell requests apart is refused.
func (d *Driver) Apply(_ context.Context, c driver.Change) error {
	edge, a, err := d.armed(c)
	if err == nil {
		err = edge.Arm(a)
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", c.ID, err)
	}
	return nil
}

// Update applies a change in the place of another on the same edge: at no time do
// both act or neither. It is Apply if the other one is not in force.
func (d *Driver) Update(_ context.Context, old, fresh driver.Change) error {
	edge, a, err := d.armed(fresh)
	if err == nil {
		err = edge.Replace(old.ID, a)
	}
	if err != nil {
		return fmt.Errorf("apply %s in the place of %s: %w", fresh.ID, old.ID, err)
	}
	return nil
}

// armed is a change as its edge takes it.
func (d *Driver) armed(c driver.Change) (*relay.Edge, relay.Armed, error) {
	edge, s, err := d.find(c.Fault)
	if err != nil {
		return nil, relay.Armed{}, err
	}
	effect, err := s.effect(c.Fault.Params)
	if err != nil {
		return nil, relay.Armed{}, err
	}
	return edge, relay.Armed{
		ID: c.ID, Name: c.Fault.Title(), Effect: effect, Match: c.Fault.Match, After: c.Fault.After, Pulse: c.Fault.Pulse,
		Attempts: c.Fault.Attempts, Share: c.Fault.Share, MaxActive: c.Fault.MaxActive, Seed: c.Seed, Until: c.Until, Protect: c.Protect,
	}, nil
}

// Revert lifts the effect.
func (d *Driver) Revert(_ context.Context, c driver.Change) error {
	edge, ok := d.edge(c.Fault)
	if !ok {
		return nil // gone with its edge
	}
	if err := edge.Lift(c.ID); err != nil {
		return fmt.Errorf("revert %s: %w", c.ID, err)
	}
	return nil
}

// Inspect reads what the relay has in force. The receipt stays readable after
// the effect is gone.
func (d *Driver) Inspect(_ context.Context, c driver.Change) (driver.State, error) {
	edge, ok := d.edge(c.Fault)
	if !ok {
		return driver.State{}, nil
	}
	receipt, _ := edge.Receipt(c.ID)
	return driver.State{InForce: edge.InForce(c.ID), Receipt: receipt}, nil
}

func (d *Driver) edge(f fault.Fault) (*relay.Edge, bool) {
	if f.At == nil || f.At.Relay == nil {
		return nil, false
	}
	return d.set.Edge(f.At.Relay.Name())
}

func (d *Driver) find(f fault.Fault) (*relay.Edge, served, error) {
	s, ok := table[f.Kind]
	if !ok {
		return nil, s, fmt.Errorf("%s on a relay: %w", f.Kind, driver.ErrUnsupported)
	}
	edge, ok := d.edge(f)
	if !ok {
		return nil, s, fmt.Errorf("relay on %s: %w", f.At, driver.ErrNoTarget)
	}
	return edge, s, nil
}
