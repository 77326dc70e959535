package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// ResolveTargets places a fault: it returns a copy for each place where it
// acts, with At set and with the params as that place needs them. Faults on
// edges are placed on relays: on every edge that fits the target and has a
// `listen`, and on the edge `users -> service` of each flow, which is there
// without one. Faults on processes are placed on the instances whose process
// is known, faults on names on the resolver. The seed is that of shapes which choose
// their sides by chance.
//
// The error is an *Error that says what there is instead; f must be valid by
// itself.
func ResolveTargets(spec *TopologySpec, flows []Flow, f *fault.Fault, seed uint64) ([]fault.Fault, error) {
	return newGround(spec, flows).place(f, seed)
}

// place is ResolveTargets on this ground.
func (g ground) place(f *fault.Fault, seed uint64) ([]fault.Fault, error) {
	if unknown := flattened(g.checkNames(f)); len(unknown) > 0 {
		var fe *strict.FieldError
		msg := unknown[0].Error()
		if errors.As(unknown[0], &fe) {
			msg = fe.Message
		}
		return nil, &Error{Code: NotFound, Message: msg, Hint: g.known()}
	}
	k := f.Info()
	if k == nil {
		_, err := fault.Lookup(f.Kind)
		return nil, &Error{Code: BadInput, Message: fmt.Sprint(err)}
	}
	switch k.Acts {
	case fault.OnProcesses:
		return g.processes(f)
	case fault.OnNames:
		return g.onNames(f)
	}
	hits, err := g.hits(f, seed)
	if err != nil {
		return nil, err
	}
	placed := make([]fault.Fault, 0, len(hits))
	for _, h := range hits {
		if err := g.unfit(k, f, h.edge); err != nil {
			return nil, err
		}
		if err := g.checkTimes(f, h.edge); err != nil {
			return nil, err
		}
		c := *f
		c.Params = h.params
		c.After = g.exactly(f.After)
		if c.Target.IsZero() { // the params have named it, and name it no more
			c.Target.Edge = h.edge.Name()
		}
		c.At = &fault.Placed{Relay: &fault.RelayEdge{From: h.edge.From, To: h.edge.To}}
		placed = append(placed, c)
	}
	return placed, nil
}

// ground is where faults are placed: the topology with the edges that the
// traffic brings along.
type ground struct {
	spec    *TopologySpec
	edges   []Edge
	relayed map[string]bool // edges by name on which a relay of ours stands
}

func newGround(spec *TopologySpec, flows []Flow) ground {
	spec = spec.withHosts()
	g := ground{spec, slices.Clone(spec.Edges), map[string]bool{}}
	declared := map[string]bool{}
	for _, e := range spec.Edges {
		declared[e.Name()] = true
		g.relayed[e.Name()] = g.relayed[e.Name()] || e.Listen != ""
	}
	for _, f := range flows {
		e := Edge{From: Users, To: f.Service}
		if _, ok := spec.Services[f.Service]; !ok {
			continue
		}
		if !declared[e.Name()] {
			declared[e.Name()] = true
			g.edges = append(g.edges, e)
		}
		g.relayed[e.Name()] = true
	}
	return g
}

// hit is an edge that is hurt, and how.
type hit struct {
	edge   Edge
	params fault.Params
}

// maxShown is how many edges a hint lists.
const maxShown = 20

// known lists the edges there are, for hints.
func (g ground) known() string {
	var names []string
	for _, e := range g.edges {
		n := e.Name()
		if !g.relayed[e.Name()] {
			n += " (no listen)"
		}
		names = append(names, n)
	}
	if more := len(names) - maxShown; more > 0 {
		names = append(names[:maxShown], fmt.Sprintf("and %d more", more))
	}
	if len(names) == 0 && g.spec.Proxy != nil {
		return "the forward proxy has not been asked for any host yet; hosts that faults are to find before their first call stand in `hosts` of the proxy"
	}
	if len(names) == 0 {
		return "the topology has no edges; say who calls whom: `edges: [{from: users, to: SERVICE, listen: \"127.0.0.1:19001\"}]`"
	}
	return "the edges are: " + strings.Join(names, ", ")
}

// checkNames returns FieldErrors below the fault for services and edges that
// do not exist.
func (g ground) checkNames(f *fault.Fault) error {
	var errs []error
	service := func(path, name string, users bool) {
		if _, ok := g.spec.Services[name]; ok || name == "" || name == Users && users {
			return
		}
		if name == Users {
			errs = append(errs, strict.Fieldf(path, "nobody calls `users`: they only call; put them in `from`"))
			return
		}
		names := g.spec.names()
		if users {
			names = append(names, Users)
		}
		errs = append(errs, strict.Fieldf(path, "there is no service %q%s", strict.Clip(name), strict.Suggest(name, names)))
	}
	service("target.service", f.Target.Service, false)
	for i, n := range f.Target.From {
		service(fmt.Sprintf("target.from[%d]", i), n, true)
	}
	for i, n := range f.Target.To {
		service(fmt.Sprintf("target.to[%d]", i), n, false)
	}
	if s, ok := f.Params.(fault.Shaped); ok {
		for i, n := range s.Members() {
			service(fmt.Sprintf("params.among[%d]", i), n, true)
		}
	}
	if from, to, ok := splitEdge(f.Target.Edge, g.edges); ok {
		if !slices.ContainsFunc(g.edges, func(e Edge) bool { return e.From == from && e.To == to }) {
			errs = append(errs, strict.Fieldf("target.edge", "there is no edge %q%s", strict.Clip(fault.EdgeName(from, to)), strict.Suggest(fault.EdgeName(from, to), g.names())))
		}
	}
	return errors.Join(append(errs, g.checkAfter(f))...)
}

// names are those of all edges.
func (g ground) names() []string {
	var names []string
	for _, e := range g.edges {
		names = append(names, e.Name())
	}
	return names
}

// hits finds the edges that a fault acts on; at least one, or an *Error.
func (g ground) hits(f *fault.Fault, seed uint64) ([]hit, error) {
	var hits []hit
	var without []string // edges that fit but have no relay
	fits := 0
	choose := g.chooser(f, seed)
	for _, e := range g.edges {
		p := choose(e)
		if p == nil {
			continue
		}
		fits++
		if !g.relayed[e.Name()] {
			without = append(without, e.Name())
			continue
		}
		hits = append(hits, hit{e, p})
	}
	if len(hits) > 0 {
		return hits, nil
	}
	if fits == 0 {
		return nil, &Error{Code: NotFound, Message: g.nothing(f), Hint: g.known()}
	}
	return nil, &Error{Code: Unsupported,
		Message: fmt.Sprintf("no relay stands on %s, so nothing can be hurt there", strings.Join(without, ", ")),
		Hint:    "give the edge a `listen` address in the topology, and configure the caller to call it; " + g.known()}
}

// nothing says that no edge fits a target.
func (g ground) nothing(f *fault.Fault) string {
	t := f.Target
	switch {
	case t.Service != "" && len(t.From) > 0:
		return fmt.Sprintf("there is no edge from %s to %s", strings.Join(t.From, " or "), t.Service)
	case t.Service != "":
		return "there is no edge to " + t.Service
	case t.IsZero():
		if s, ok := f.Params.(fault.Shaped); ok {
			return "there is no edge that is cut between " + strings.Join(s.Members(), ", ")
		}
	}
	return fmt.Sprintf("there is no edge between %s and %s", strings.Join(t.From, ", "), strings.Join(t.To, ", "))
}

// chooser returns what tells for each edge with which params it is hurt, nil
// for an edge that is not.
func (g ground) chooser(f *fault.Fault, seed uint64) func(Edge) fault.Params {
	along := func(bool) fault.Params { return f.Params }
	if d, ok := f.Params.(fault.Directed); ok {
		along = d.Along
	}
	t := f.Target
	if s, ok := f.Params.(fault.Shaped); ok && len(s.Members()) > 0 {
		cut := map[[2]string]bool{}
		for _, pair := range s.Cuts(seed) {
			cut[pair] = true
		}
		return func(e Edge) fault.Params {
			request, response := cut[[2]string{e.From, e.To}], cut[[2]string{e.To, e.From}]
			if !request && !response {
				return nil
			}
			return s.Cut(request, response)
		}
	}
	if from, to, ok := splitEdge(t.Edge, g.edges); ok {
		return func(e Edge) fault.Params {
			if e.From != from || e.To != to {
				return nil
			}
			return along(true)
		}
	}
	return func(e Edge) fault.Params {
		switch {
		case t.Service != "":
			if e.To == t.Service && (len(t.From) == 0 || slices.Contains(t.From, e.From)) {
				return along(true)
			}
		case slices.Contains(t.From, e.From) && slices.Contains(t.To, e.To):
			return along(true)
		case slices.Contains(t.To, e.From) && slices.Contains(t.From, e.To):
			return along(false)
		}
		return nil
	}
}

// processes places a fault on the processes of a service.
func (g ground) processes(f *fault.Fault) ([]fault.Fault, error) {
	t := f.Target
	if t.Service == "" || len(t.From) > 0 {
		return nil, &Error{Code: BadInput, Message: f.Kind + " acts on the processes of a service, not on edges", Hint: "write target: {service: NAME} alone"}
	}
	var placed []fault.Fault
	for _, in := range g.spec.Services[t.Service].All() {
		if in.At == nil || in.At.PID <= 0 {
			continue
		}
		c := *f
		c.At = &fault.Placed{Process: &fault.Process{Service: t.Service, Instance: in.Name, PID: in.At.PID}}
		placed = append(placed, c)
	}
	if len(placed) == 0 {
		return nil, &Error{Code: Unsupported,
			Message: fmt.Sprintf("the topology does not say where the process of %s is", t.Service),
			Hint:    fmt.Sprintf("give `%s` an `at: {pid: 812}` in the topology", t.Service)}
	}
	return placed, nil
}

func flattened(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
