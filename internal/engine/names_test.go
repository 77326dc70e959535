package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// What a fault on names hurts counts as much as one on all edges to whoever is
// called by them.
func TestGuardOnNames(t *testing.T) {
	t.Parallel()
	spec := func(change func(*experiment.TopologySpec)) *experiment.TopologySpec {
		s := &experiment.TopologySpec{
			Services: map[string]experiment.Service{
				"api":   {Protocol: experiment.HTTP},
				"auth":  {Protocol: experiment.HTTP, Names: []string{"auth.example.com"}},
				"login": {Protocol: experiment.HTTP, Names: []string{"login.example.com", "*.login.example.com"}},
			},
			Edges:    []experiment.Edge{{From: "users", To: "auth"}, {From: "api", To: "auth"}, {From: "api", To: "login"}},
			Resolver: &experiment.Resolver{Listen: "127.0.0.1:5353"},
		}
		if change != nil {
			change(s)
		}
		return s
	}
	protect := func(p ...experiment.Protected) func(*experiment.TopologySpec) {
		return func(s *experiment.TopologySpec) { s.Guard.Protect = p }
	}
	onAuth := fault.Fault{Kind: "dns.fail", Target: fault.Target{Service: "auth"}, Params: fault.DNSFail.New()}
	byNames := func(names ...string) fault.Fault {
		return fault.Fault{Kind: "dns.fail", Params: &fault.DNSFailure{Rcode: fault.ServFail, Names: names}}
	}
	disguised := onAuth
	disguised.Params = &fault.DNSFailure{Rcode: fault.ServFail, Names: []string{"LOGIN.example.com."}}
	for about, c := range map[string]struct {
		spec    *experiment.TopologySpec
		fault   fault.Fault
		inForce []fault.Fault
		refused string
	}{
		"nothing is protected":          {spec: spec(nil), fault: onAuth},
		"another service is":            {spec: spec(protect(experiment.Protected{Service: "login"})), fault: onAuth},
		"the service is":                {spec: spec(protect(experiment.Protected{Service: "auth"})), fault: onAuth, refused: "auth is protected"},
		"some of its requests are":      {spec: spec(protect(experiment.Protected{Service: "auth", Path: "/pay"})), fault: onAuth, refused: "/pay of it is protected"},
		"its name is":                   {spec: spec(protect(experiment.Protected{Service: "login"})), fault: byNames("login.example.com"), refused: "login is protected"},
		"a pattern covers its name":     {spec: spec(protect(experiment.Protected{Service: "login"})), fault: byNames("*.example.com"), refused: "login is protected"},
		"its pattern covers the name":   {spec: spec(protect(experiment.Protected{Service: "login"})), fault: byNames("a.login.example.com"), refused: "login is protected"},
		"a target disguises its name":   {spec: spec(protect(experiment.Protected{Service: "login"})), fault: disguised, refused: "login is protected"},
		"other names":                   {spec: spec(protect(experiment.Protected{Service: "login"})), fault: byNames("example.com", "*.example.org")},
		"production":                    {spec: spec(func(s *experiment.TopologySpec) { s.Environment = "production" }), fault: onAuth, refused: "production"},
		"all edges, half are allowed":   {spec: spec(func(s *experiment.TopologySpec) { s.Guard.MaxEdges = 0.5 }), fault: onAuth, refused: "2 of 2 edges of auth"},
		"all edges, all are allowed":    {spec: spec(func(s *experiment.TopologySpec) { s.Guard.MaxEdges = 1 }), fault: onAuth},
		"names that nobody has, a half": {spec: spec(func(s *experiment.TopologySpec) { s.Guard.MaxEdges = 0.5 }), fault: byNames("example.org")},
	} {
		places, err := experiment.ResolveTargets(c.spec, nil, &c.fault, 1)
		if err != nil {
			t.Fatal(err)
		}
		err = guard(c.spec, places, c.inForce, permissions{})
		var e *experiment.Error
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", about, err)
		case c.refused != "" && (!errors.As(err, &e) || e.Code != experiment.Guarded || !strings.Contains(e.Message, c.refused)):
			t.Errorf("%s: %v, not %q", about, err, c.refused)
		}
	}
}

// standIn is a resolver that has seen something.
type standIn struct{}

func (standIn) Status() experiment.ResolverStatus {
	return experiment.ResolverStatus{Listen: "127.0.0.1:5353", Queries: 3}
}

// The status shows a resolver, and only where there is one.
func TestStatusOfResolver(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(top *experiment.TopologySpec) { top.Resolver = &experiment.Resolver{Listen: "127.0.0.1:0"} })
	if got := s.Status(context.Background()); got.Resolver != nil {
		t.Errorf("%+v", got.Resolver)
	}
	s.cfg.Resolver = standIn{}
	if got := s.Status(context.Background()).Resolver; got == nil || got.Queries != 3 || len(got.Faults) != 0 {
		t.Errorf("%+v", got)
	}
}
