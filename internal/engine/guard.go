package engine

import (
	"fmt"
	"slices"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// permissions are what a caller has explicitly allowed.
type permissions struct{ production, irreversible bool }

// guard refuses what may not be hurt: a production environment and irreversible
// kinds without permission, protected services and routes, and more of a
// service's edges or instances than the topology allows, counting what is in
// force already.
func guard(spec *experiment.TopologySpec, places, inForce []fault.Fault, may permissions) error {
	if spec.Environment == "production" && !may.production {
		return refused("the topology's environment is production", "give --allow-production if you mean it")
	}
	for _, f := range places {
		k := f.Info()
		if k.Irreversible && !may.irreversible {
			return refused(fmt.Sprintf("%s cannot be undone", k.Name), "give --allow-irreversible if you mean it")
		}
		if err := guardRoutes(spec, f, k); err != nil {
			return err
		}
	}
	return guardRadius(spec, append(append([]fault.Fault{}, inForce...), places...))
}

func refused(what, hint string) error {
	return &experiment.Error{Code: experiment.Guarded, Message: "refused by the guard: " + what, Hint: hint}
}

// guardRoutes refuses faults that cannot spare a protected route.
func guardRoutes(spec *experiment.TopologySpec, f fault.Fault, k *fault.Kind) error {
	services := placedOn(spec, f)
	for _, p := range spec.Guard.Protect {
		if !slices.Contains(services, p.Service) {
			continue
		}
		if p.Path == "" && len(p.Method) == 0 {
			return refused(fmt.Sprintf("%s is protected", p.Service), "choose another target, or change guard.protect in the topology")
		}
		seesRequests := false
		if f.At.Relay != nil {
			if e, ok := findEdge(spec, f.At.Relay); ok {
				seesRequests = spec.EdgeProtocol(e) == experiment.HTTP
			}
		}
		if k.WholeConnections || !seesRequests {
			return refused(fmt.Sprintf("%s acts on all of %s, and %s of it is protected", k.Name, f.At, route(p)),
				"choose a kind that acts on requests, such as http.status or net.latency, or change guard.protect in the topology")
		}
	}
	return nil
}

func route(p experiment.Protected) string {
	if p.Path == "" {
		return fmt.Sprint(p.Method)
	}
	if len(p.Method) > 0 {
		return fmt.Sprintf("%v %s", p.Method, p.Path)
	}
	return p.Path
}

// placedOn are the services a placed fault hurts: one, but for names that several
// are called by.
func placedOn(spec *experiment.TopologySpec, f fault.Fault) []string {
	switch {
	case f.At.Relay != nil:
		return []string{f.At.Relay.To}
	case f.At.Process != nil:
		return []string{f.At.Process.Service}
	case f.At.Resolver != nil:
		services := spec.Named(f.At.Resolver.Names)
		if s := f.At.Resolver.Service; s != "" && !slices.Contains(services, s) {
			services = append(services, s)
		}
		return services
	}
	return nil
}

func findEdge(spec *experiment.TopologySpec, at *fault.RelayEdge) (experiment.Edge, bool) {
	for _, e := range spec.Edges {
		if e.From == at.From && e.To == at.To {
			return e, true
		}
	}
	if at.From == experiment.Users {
		return experiment.Edge{From: at.From, To: at.To}, true
	}
	return experiment.Edge{}, false
}

// protectedOn lists the requests that a placed fault must not touch.
func protectedOn(spec *experiment.TopologySpec, f fault.Fault) []fault.Match {
	var routes []fault.Match
	for _, p := range spec.Guard.Protect {
		if f.At.Relay != nil && p.Service == f.At.Relay.To {
			routes = append(routes, fault.Match{Method: p.Method, Path: p.Path})
		}
	}
	return routes
}

// guardRadius counts, per service, the edges and instances that would be hurt.
func guardRadius(spec *experiment.TopologySpec, all []fault.Fault) error {
	type hurt struct{ edges, instances map[string]bool }
	services := map[string]hurt{}
	for _, f := range all {
		for _, s := range placedOn(spec, f) {
			h, ok := services[s]
			if !ok {
				h = hurt{map[string]bool{}, map[string]bool{}}
				services[s] = h
			}
			switch {
			case f.At.Relay != nil:
				h.edges[f.At.Relay.Name()] = true
			case f.At.Process != nil:
				h.instances[fmt.Sprint(f.At.Process.Instance, f.At.Process.PID)] = true
			case f.At.Resolver != nil: // who asks is not known, so it may be any caller
				for _, e := range edgesTo(spec, s) {
					h.edges[e] = true
				}
			}
		}
	}
	for name, h := range services {
		edges := map[string]bool{}
		for _, e := range edgesTo(spec, name) {
			edges[e] = true
		}
		for e := range h.edges {
			edges[e] = true // an implicit users edge
		}
		if err := overRadius("maxEdges", "edges", name, len(h.edges), len(edges), spec.Guard.MaxEdges); err != nil {
			return err
		}
		if err := overRadius("maxInstances", "instances", name, len(h.instances), len(spec.Services[name].All()), spec.Guard.MaxInstances); err != nil {
			return err
		}
	}
	return nil
}

// edgesTo are the names of the edges to a service.
func edgesTo(spec *experiment.TopologySpec, service string) []string {
	var names []string
	for _, e := range spec.Edges {
		if e.To == service {
			names = append(names, e.Name())
		}
	}
	return names
}

func overRadius(field, what, service string, hurt, all int, limit fault.Share) error {
	if limit == 0 || all == 0 || float64(hurt) <= float64(limit)*float64(all) {
		return nil
	}
	return refused(fmt.Sprintf("%d of %d %s of %s would be hurt, and guard.%s is %g%%", hurt, all, what, service, field, float64(limit)*100),
		"lift what is in force, narrow the target, or raise the limit in the topology")
}
