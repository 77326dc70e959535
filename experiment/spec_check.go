package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// DecodeNode decodes strictly and checks what needs no topology.
func (s *Spec) DecodeNode(n *strict.Node) {
	n.Fields(s)
	n.CheckRest(checkEnv(s))
	n.CheckRest(s.check(n.LineOf))
}

// Validate checks the whole of a spec, as far as that goes without a topology.
func (s *Spec) Validate() error {
	return errors.Join(checkEnv(s), s.check(func(string) int { return 0 }))
}

func (s *Spec) check(line func(path string) int) error {
	var errs []error
	if len(s.Steps) == 0 {
		errs = append(errs, strict.Fieldf("steps", "there are none; name at least one, with `for` and `faults`"))
	}
	if s.Topology != nil && s.TopologyRef != "" {
		errs = append(errs, strict.Fieldf("topologyRef", "stands beside `topology`; leave one of them out"))
	}
	if len(s.Hypothesis) > 4096 {
		errs = append(errs, strict.Fieldf("hypothesis", "must be at most 4096 characters long"))
	}
	if many := s.tooMany(); many != nil {
		return errors.Join(append(errs, many)...)
	}
	unique := func(list string, n int, name func(int) string) {
		seen := map[string]int{}
		for i := range n {
			if name(i) == "" {
				continue
			}
			path := fmt.Sprintf("%s[%d].name", list, i)
			if j, twice := seen[name(i)]; twice {
				errs = append(errs, strict.Fieldf(path, "%q stands twice%s", strict.Clip(name(i)), first(line, fmt.Sprintf("%s[%d].name", list, j))))
				continue
			}
			seen[name(i)] = i
		}
	}
	unique("traffic", len(s.Traffic), func(i int) string { return s.Traffic[i].Name })
	unique("gates", len(s.Gates), func(i int) string { return s.Gates[i].Name })
	unique("probes", len(s.Probes), func(i int) string { return s.Probes[i].Name })
	unique("expect", len(s.Expect), func(i int) string { return s.Expect[i].Name })
	unique("steps", len(s.Steps), func(i int) string { return s.Steps[i].Name })
	errs = append(errs, s.checkFaultNames(line)...)

	for i, g := range s.Gates {
		errs = append(errs, at(fmt.Sprintf("gates[%d].of", i), s.checkFlow(g.Of)))
	}
	for i, a := range s.Abort {
		errs = append(errs, at(fmt.Sprintf("abort[%d].of", i), s.checkFlow(a.Of)))
	}
	for i, e := range s.Expect {
		errs = append(errs, at(fmt.Sprintf("expect[%d].traffic", i), s.checkFlow(e.Traffic)))
	}
	return errors.Join(errs...)
}

// tooMany says of which things there are more than can be checked.
func (s *Spec) tooMany() error {
	faults := 0
	for _, st := range s.Steps {
		faults += len(st.Faults)
	}
	return errors.Join(atMost("traffic", len(s.Traffic), maxFlows), atMost("gates", len(s.Gates), maxRules), atMost("probes", len(s.Probes), maxRules),
		atMost("abort", len(s.Abort), maxRules), atMost("expect", len(s.Expect), maxRules), atMost("steps", max(faults, len(s.Steps)), maxRules))
}

// checkFaultNames refuses two faults that were given the same name: draws and
// receipts hang on it.
func (s *Spec) checkFaultNames(line func(string) int) []error {
	var errs []error
	seen := map[string]string{}
	for i, step := range s.Steps {
		for j, f := range step.Faults {
			path := fmt.Sprintf("steps[%d].faults[%d].name", i, j)
			if f.Name == "" {
				continue
			}
			if other, twice := seen[f.Name]; twice {
				errs = append(errs, strict.Fieldf(path, "%q stands twice%s", strict.Clip(f.Name), first(line, other)))
				continue
			}
			seen[f.Name] = path
		}
	}
	return errs
}

func (s *Spec) checkFlow(of string) error {
	if of == "" {
		return nil
	}
	var names []string
	for _, f := range s.Traffic {
		if f.Name == of {
			return nil
		}
		if f.Name != "" {
			names = append(names, f.Name)
		}
	}
	if len(s.Traffic) == 0 {
		return fmt.Errorf("there is no flow %q, as there is no `traffic`", strict.Clip(of))
	}
	return fmt.Errorf("there is no flow %q%s", strict.Clip(of), strict.Suggest(of, names))
}

// checkAgainst returns what of the spec does not fit a topology, as FieldErrors
// below the spec. ok tells whether a path was decoded without a mistake.
func (s *Spec) checkAgainst(top *TopologySpec, ok func(path string) bool) error {
	if s.tooMany() != nil {
		return nil
	}
	var errs []error
	for i, f := range s.Traffic {
		svc, found := top.Services[f.Service]
		path := fmt.Sprintf("traffic[%d].service", i)
		switch {
		case f.Service == "":
		case !found:
			errs = append(errs, strict.Fieldf(path, "there is no service %q%s", strict.Clip(f.Service), strict.Suggest(f.Service, top.names())))
		case top.EdgeProtocol(Edge{From: Users, To: f.Service}) != HTTP:
			errs = append(errs, strict.Fieldf(path, "`%s` is %s; traffic needs a service with `protocol: http`", f.Service, top.EdgeProtocol(Edge{From: Users, To: f.Service})))
		case len(svc.addresses()) == 0:
			errs = append(errs, strict.Fieldf(path, "`%s` has no address to call; give it one in the topology", f.Service))
		}
	}
	g := newGround(top, s.Traffic)
	for i := range s.Expect {
		if path := fmt.Sprintf("expect[%d]", i); s.Expect[i].Edge != "" && ok(path) {
			errs = append(errs, g.checkExpected(&s.Expect[i], path+".edge")...)
		}
	}
	var seed uint64
	if s.Seed != nil {
		seed = *s.Seed
	}
	for i := range s.Steps {
		for j := range s.Steps[i].Faults {
			path := fmt.Sprintf("steps[%d].faults[%d]", i, j)
			if ok(path) && len(errs) <= strict.MaxProblems {
				errs = append(errs, g.checkFault(&s.Steps[i].Faults[j], path, seed)...)
			}
		}
	}
	return errors.Join(errs...)
}

// checkFault returns why a fault cannot be placed.
func (g ground) checkFault(f *fault.Fault, path string, seed uint64) []error {
	var errs []error
	for _, e := range flattened(g.checkNames(f)) {
		var fe *strict.FieldError
		if errors.As(e, &fe) {
			errs = append(errs, strict.Fieldf(path+"."+fe.Path, "%s", fe.Message))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	_, err := g.place(f, seed)
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	where := path + ".target"
	if f.Target.IsZero() {
		where = path + ".params"
	}
	return []error{strict.Fieldf(where, "%s", strings.Join(slices.DeleteFunc([]string{e.Message, e.Hint}, func(s string) bool { return s == "" }), "; "))}
}

// Validate checks what a flow says by itself.
func (f *Flow) Validate() error {
	errs := []error{at("name", checkTitle(f.Name))}
	if f.Service == "" {
		errs = append(errs, strict.Fieldf("service", "is missing; it must name the service that is called"))
	}
	if f.HTTP == nil {
		errs = append(errs, strict.Fieldf("http", "is missing; for example `http: {path: /checkout}`"))
	}
	if f.Rate.N == 0 {
		errs = append(errs, strict.Fieldf("rate", "is missing; for example 50/s"))
	}
	for i, code := range f.Status {
		if code < 100 || code > 599 {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("status[%d]", i), "must be an HTTP status from 100 to 599, not %d", code))
		}
	}
	if f.MaxInFlight < 0 || f.MaxInFlight > 100_000 {
		errs = append(errs, strict.Fieldf("maxInFlight", "must be from 1 to 100000, not %d", f.MaxInFlight))
	}
	return errors.Join(errs...)
}

// Validate checks method, path and headers.
func (r *Request) Validate() error {
	errs := []error{at("method", checkMethod(r.Method))}
	if r.Path == "" {
		errs = append(errs, strict.Fieldf("path", "is missing; for example /checkout"))
	} else {
		errs = append(errs, at("path", checkPath(r.Path, "/checkout?id=1")))
	}
	return errors.Join(append(errs, checkHeaders(r.Headers, ofTraffic()))...)
}

// figures are the rules of a gate that are given.
func (g *Gate) figures() int {
	n := 0
	for _, r := range []*TimeRule{g.P50, g.P90, g.P95, g.P99, g.P999} {
		if r != nil {
			n++
		}
	}
	if g.Success != nil {
		n++
	}
	return n
}

// Validate checks what a gate says by itself.
func (g *Gate) Validate() error {
	errs := []error{at("name", checkTitle(g.Name))}
	if g.Of == "" {
		errs = append(errs, strict.Fieldf("of", "is missing; it must name a flow of `traffic`"))
	}
	if g.figures() == 0 {
		errs = append(errs, strict.Fieldf("", "has no figure; give `success`, `p50`, `p90`, `p95`, `p99` or `p999`, for example success: \">= 99.5%%\""))
	}
	for i, s := range g.During {
		path := fmt.Sprintf("during[%d]", i)
		errs = append(errs, at(path, among("stage for a gate", s, StageSteady, StageHurt, StageRecovery)))
		if slices.Contains(g.During[:min(i, 3)], s) {
			errs = append(errs, strict.Fieldf(path, "`%s` stands twice", strict.Clip(string(s))))
		}
	}
	return errors.Join(errs...)
}

// Validate checks that a probe measures one thing.
func (p *Probe) Validate() error {
	errs := []error{at("name", checkTitle(p.Name))}
	var given []string
	for _, t := range []struct {
		name string
		set  bool
	}{{"http", p.HTTP != nil}, {"tcp", p.TCP != nil}, {"grpc", p.GRPC != nil}, {"command", p.Command != nil}, {"prometheus", p.Prometheus != nil}} {
		if t.set {
			given = append(given, t.name)
		}
	}
	switch len(given) {
	case 0:
		errs = append(errs, strict.Fieldf("", "measures nothing; give one of `http`, `tcp`, `grpc`, `command` or `prometheus`"))
	case 1:
	default:
		errs = append(errs, strict.Fieldf("", "measures %s at once; make a probe of each", strings.Join(given, " and ")))
	}
	return errors.Join(errs...)
}

// Validate refuses other words; empty stands for the default.
func (m ProbeMode) Validate() error {
	if m == "" {
		return nil
	}
	return among("mode", m, AtStart, AtEnd, AtEdges, Continuous, DuringFault)
}

// Validate checks URL, method, headers and status.
func (p *HTTPProbe) Validate() error {
	errs := []error{at("url", checkURL(p.URL)), at("method", checkMethod(p.Method)), checkHeaders(p.Headers, ofHTTP())}
	if p.Status != 0 && (p.Status < 100 || p.Status > 599) {
		errs = append(errs, strict.Fieldf("status", "must be an HTTP status from 100 to 599, not %d", p.Status))
	}
	return errors.Join(errs...)
}

// Validate checks the address.
func (p *TCPProbe) Validate() error { return at("address", checkAddress(p.Address, 1)) }

// Validate checks the address.
func (p *GRPCProbe) Validate() error { return at("address", checkAddress(p.Address, 1)) }

// Validate checks that there is a program.
func (p *CommandProbe) Validate() error {
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return strict.Fieldf("argv", "must name a program and its arguments, for example [pg_isready, -h, db]")
	}
	return nil
}

// Validate checks URL, query and rule.
func (p *PrometheusProbe) Validate() error {
	errs := []error{at("url", checkURL(p.URL))}
	if strings.TrimSpace(p.Query) == "" {
		errs = append(errs, strict.Fieldf("query", "is missing; it must be a PromQL query that yields one number"))
	}
	if p.Value.Op == "" {
		errs = append(errs, strict.Fieldf("value", "is missing; it must be a rule on the number, for example \"< 0.01\""))
	}
	return errors.Join(errs...)
}

// Validate checks that a step lasts and hurts.
func (s *Step) Validate() error {
	var errs []error
	if s.Name != "" {
		errs = append(errs, at("name", checkTitle(s.Name)))
	}
	if s.For == 0 {
		errs = append(errs, strict.Fieldf("for", "must be given and more than 0, for example 20s"))
	}
	if len(s.Faults) == 0 {
		errs = append(errs, strict.Fieldf("faults", "there are none; a step hurts something, for example {kind: net.latency, target: {service: auth-service}, params: {delay: 500ms}}"))
	}
	return errors.Join(errs...)
}

// Validate checks that there is something to judge.
func (a *Abort) Validate() error {
	var errs []error
	if a.Of == "" {
		errs = append(errs, strict.Fieldf("of", "is missing; it must name a flow of `traffic`"))
	}
	if a.Success == nil && a.P99 == nil {
		errs = append(errs, strict.Fieldf("", "has no figure; give `success` or `p99`, for example success: \"< 50%%\""))
	}
	return errors.Join(errs...)
}
