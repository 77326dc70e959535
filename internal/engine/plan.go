package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// stepLease is what a fault of a run has beyond its step.
const stepLease = 30 * time.Second

// Plan says what a run would do, and does nothing.
func (e *Engine) Plan(_ context.Context, r experiment.RunRequest) (experiment.Plan, error) {
	loaded, err := e.load(r)
	if err != nil {
		return experiment.Plan{}, err
	}
	return planOf(loaded, r, e.cfg.Drivers)
}

// PlanOnly is Plan without an engine: nothing is opened, recovered or read. A
// topology that the document refers to by file stands in the request.
func PlanOnly(r experiment.RunRequest, drivers []driver.Driver) (experiment.Plan, error) {
	loaded, err := experiment.Load(experiment.Input{
		File: r.File, Data: []byte(r.Document), TopologyData: []byte(r.Topology), Set: r.Set,
	})
	if err != nil {
		return experiment.Plan{}, err
	}
	return planOf(loaded, r, drivers)
}

func planOf(l *experiment.Loaded, r experiment.RunRequest, drivers []driver.Driver) (experiment.Plan, error) {
	seed, err := seedOr(l.Experiment.Spec.Seed)
	if err != nil {
		return experiment.Plan{}, err
	}
	plan, _, err := makePlan(l, seed, drivers, permissions{r.AllowProduction, r.AllowIrreversible})
	return plan, err
}

// load decodes a request's documents against the topology that is served.
func (e *Engine) load(r experiment.RunRequest) (*experiment.Loaded, error) {
	in := experiment.Input{File: r.File, Data: []byte(r.Document), TopologyData: []byte(r.Topology), Set: r.Set, Server: e.cfg.Topology}
	loaded, err := experiment.Load(in)
	// It may hurt an edge that has come at run time. A document with a topology of
	// its own is not held against those. Against a topology without services nothing
	// has been held yet.
	if now := e.Topology(); now != in.Server && (err != nil || in.Server.Spec.Services == nil) {
		in.Server = now
		if l, again := experiment.Load(in); again == nil || err == nil {
			loaded, err = l, again
		}
	}
	if err != nil {
		return nil, err
	}
	for i, p := range loaded.Experiment.Spec.Probes {
		if p.Command != nil && !e.cfg.AllowCommands {
			return nil, &experiment.Error{
				Code:    experiment.Guarded,
				Message: fmt.Sprintf("spec.probes[%d]: a command probe would run a program on the server", i),
				Hint:    "run it without a server, or start the server with --allow-commands and a token",
			}
		}
	}
	if where := refersToEnv(&loaded.Experiment.Spec); where != "" && e.cfg.Env == nil {
		return nil, &experiment.Error{
			Code:    experiment.Guarded,
			Message: where + ": ${env:...} would read the server's environment",
			Hint:    "run it without a server",
		}
	}
	return loaded, nil
}

// refersToEnv is the path of the first flow or probe that does, else empty.
func refersToEnv(s *experiment.Spec) string {
	refers := func(headers map[string]string, body string) bool {
		for _, v := range headers {
			if strings.Contains(v, "${env:") {
				return true
			}
		}
		return strings.Contains(body, "${env:")
	}
	for i, f := range s.Traffic {
		if f.HTTP != nil && refers(f.HTTP.Headers, f.HTTP.Body) {
			return fmt.Sprintf("spec.traffic[%d]", i)
		}
	}
	for i, p := range s.Probes {
		if p.HTTP != nil && refers(p.HTTP.Headers, p.HTTP.Body) {
			return fmt.Sprintf("spec.probes[%d]", i)
		}
	}
	return ""
}

// makePlan resolves every step through the topology and asks the guard. It
// returns the placed faults per step beside the plan.
func makePlan(l *experiment.Loaded, seed uint64, drivers []driver.Driver, may permissions) (experiment.Plan, [][]fault.Fault, error) {
	spec, top := &l.Experiment.Spec, &l.Topology.Spec
	p := experiment.Plan{
		Experiment: l.Experiment.Metadata.Name, Topology: l.Topology.Metadata.Name, Environment: top.Environment, Seed: seed,
		Traffic: []string{}, Gates: []string{}, Probes: []string{}, Abort: []string{}, Steps: []experiment.PlanStep{},
	}
	longest := spec.Steady.For.Std() + spec.Recovery.Within.Std() + spec.Recovery.Hold.Std()
	var placed [][]fault.Fault
	for i, s := range spec.Steps {
		step := experiment.PlanStep{Name: stepName(s, i), For: s.For, Changes: []experiment.PlanChange{}}
		var places []fault.Fault
		for k := range s.Faults {
			some, err := experiment.ResolveTargets(top, spec.Traffic, &s.Faults[k], seed)
			if err != nil {
				return p, nil, fmt.Errorf("spec.steps[%d].faults[%d]: %w", i, k, err)
			}
			places = append(places, some...)
		}
		if err := guard(top, places, nil, may); err != nil {
			return p, nil, err
		}
		p.Warnings = append(p.Warnings, emulated(top, places, p.Warnings)...)
		for _, f := range places {
			if _, err := pick(drivers, f); err != nil {
				return p, nil, err
			}
			step.Changes = append(step.Changes, experiment.PlanChange{
				Fault: f.Title(), Kind: f.Kind, Where: where(f), Touches: words(f), Undo: undoWords(f, s.For.Std()),
			})
		}
		step.Reach = reach(top, spec.Traffic, places)
		p.Steps = append(p.Steps, step)
		placed = append(placed, places)
		longest += s.For.Std()
	}
	p.Longest = fault.Duration(longest)
	for _, f := range spec.Traffic {
		p.Traffic = append(p.Traffic, redact(fmt.Sprintf("%s: %s %s%s at %s", f.Name, methodOf(f.HTTP), f.Service, f.HTTP.Path, f.Rate), spec))
	}
	for _, g := range spec.Gates {
		p.Gates = append(p.Gates, gateWords(g))
	}
	for _, pr := range spec.Probes {
		p.Probes = append(p.Probes, fmt.Sprintf("%s (%s)", pr.Name, pr.Mode))
	}
	for _, a := range spec.Abort {
		p.Abort = append(p.Abort, abortWords(a))
	}
	for _, x := range spec.Expect {
		for _, rule := range x.Rules() {
			p.Expect = append(p.Expect, fmt.Sprintf("%s: %s", x.Title(), rule.Words))
		}
	}
	p.Recovery = fmt.Sprintf("within %s of the lift all gates hold again, for %s at least", spec.Recovery.Within, spec.Recovery.Hold)
	if len(spec.Gates) == 0 && len(spec.Expect) == 0 {
		p.Warnings = append(p.Warnings, "there are no gates: nothing that users get is judged")
	}
	return p, placed, nil
}

func stepName(s experiment.Step, i int) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("step %d", i+1)
}

func methodOf(r *experiment.Request) string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

// words says what a placed fault hurts.
func words(f fault.Fault) string {
	var b strings.Builder
	b.WriteString(f.Info().Doc)
	if f.Share != 0 && f.Share != 1 {
		fmt.Fprintf(&b, " Share %g%%.", f.Share.Of()*100)
	}
	if f.MaxActive > 0 {
		fmt.Fprintf(&b, " At most %d at a time.", f.MaxActive)
	}
	if when := f.When(); when != "" {
		b.WriteString(" It hurts" + strings.TrimPrefix(when, ",") + ".")
	}
	if m := f.Match; m != nil {
		b.WriteString(" Only")
		if len(m.Client) > 0 {
			fmt.Fprintf(&b, " from %s", strings.Join(m.Client, " or "))
		}
		if len(m.Method) > 0 {
			fmt.Fprintf(&b, " %s", strings.Join(m.Method, ", "))
		}
		if m.Path != "" {
			fmt.Fprintf(&b, " %s", m.Path)
		}
		for _, set := range []map[string]string{m.Header, m.Query} {
			for k := range set {
				fmt.Fprintf(&b, " with %s", k)
			}
		}
		if m.GRPC != nil {
			b.WriteString(" " + m.GRPC.String())
		}
		b.WriteString(".")
	}
	return b.String()
}

func undoWords(f fault.Fault, step time.Duration) string {
	if f.Info().Irreversible {
		return "nothing undoes it"
	}
	return fmt.Sprintf("lifted at the step's end, by halt, or by its lease after %s", step+stepLease)
}

func gateWords(g experiment.Gate) string {
	var rules []string
	if g.Success != nil {
		rules = append(rules, "success "+g.Success.String())
	}
	for _, q := range []struct {
		name string
		rule *experiment.TimeRule
	}{{"p50", g.P50}, {"p90", g.P90}, {"p95", g.P95}, {"p99", g.P99}, {"p99.9", g.P999}} {
		if q.rule != nil {
			rules = append(rules, q.name+" "+q.rule.String())
		}
	}
	during := make([]string, len(g.During))
	for i, d := range g.During {
		during[i] = string(d)
	}
	return fmt.Sprintf("%s: %s of %s in %s", g.Name, strings.Join(rules, " and "), g.Of, strings.Join(during, ", "))
}

func abortWords(a experiment.Abort) string {
	var rules []string
	if a.Success != nil {
		rules = append(rules, "success "+a.Success.String())
	}
	if a.P99 != nil {
		rules = append(rules, "p99 "+a.P99.String())
	}
	return fmt.Sprintf("%s of %s over %s", strings.Join(rules, " or "), a.Of, a.For)
}

// hurtByName tells whether a fault hurts the callers of an edge's callee when they
// look it up.
func hurtByName(top *experiment.TopologySpec, f fault.Fault, edge string) bool {
	_, callee, ok := fault.SplitEdge(edge)
	return ok && f.At.Resolver != nil && slices.Contains(placedOn(top, f), callee)
}

// reach tells for every edge who can still talk to whom.
func reach(top *experiment.TopologySpec, flows []experiment.Flow, places []fault.Fault) []experiment.Reach {
	edges := make([]string, 0, len(top.Edges)+len(flows))
	for _, e := range top.Edges {
		edges = append(edges, e.Name())
	}
	for _, f := range flows {
		name := fault.EdgeName(experiment.Users, f.Service)
		known := false
		for _, e := range edges {
			known = known || e == name
		}
		if !known {
			edges = append(edges, name)
		}
	}
	out := make([]experiment.Reach, 0, len(edges))
	for _, name := range edges {
		r := experiment.Reach{Edge: name, State: "open"}
		for _, f := range places {
			if where(f) != name && !hurtByName(top, f, name) {
				continue
			}
			state := "hurt"
			if f.Info().Severs && f.Always() {
				state = "cut"
			}
			if r.State != "cut" {
				r.State = state
			}
			if r.Why != "" {
				r.Why += ", "
			}
			r.Why += f.Title()
		}
		out = append(out, r)
	}
	return out
}
