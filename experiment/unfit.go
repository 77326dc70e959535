package experiment

import (
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
)

// unfit says why a fault cannot act on an edge of its protocol, nil if it can.
func (g ground) unfit(k *fault.Kind, f *fault.Fault, e Edge) *Error {
	p := g.spec.EdgeProtocol(e)
	requests := f.Match != nil && f.Match.OnRequests()
	refuse := func(what, hint string, args ...any) *Error {
		return &Error{Code: Unsupported, Message: fmt.Sprintf("%s; %s is %s", what, e.Name(), p), Hint: fmt.Sprintf(hint, args...)}
	}
	switch {
	case (k.HTTPOnly || requests) && !p.SeesRequests():
		what := k.Name
		if !k.HTTPOnly {
			what = "match"
		}
		return refuse(what+" needs an edge that sees requests", "give the service `%s` `protocol: http` in the topology, or narrow the target", e.To)
	case k.DatagramsOnly && p != UDP:
		return refuse(k.Name+" needs an edge that passes datagrams", "it is for services with `protocol: udp`; TCP hides it from who uses it, but for a delay (net.latency)")
	case p == UDP && !k.Datagrams:
		return refuse(k.Name+" does not act on datagrams", "narrow the target, or choose one of %s", strings.Join(forDatagrams(), ", "))
	case p == UDP && ofConnections(f.Params) != "":
		return refuse(fmt.Sprintf("`%s` of %s is about connections", ofConnections(f.Params), k.Name), "leave it out on edges that pass datagrams")
	case k.TLSOnly && e.TLS == nil && len(e.SNI) == 0:
		return &Error{Code: Unsupported,
			Message: fmt.Sprintf("%s needs an edge that answers TLS; the relay of %s does not", k.Name, e.Name()),
			Hint:    "give the edge `tls: {}` in the topology, so that its relay answers callers by TLS"}
	case k.BytesOnly && (p == HTTP || p == Auto && k.WholeConnections): // before it is known what comes
		return refuse(k.Name+" needs an edge that passes bytes as they come", "give the service `%s` `protocol: tcp` in the topology, or choose a kind that acts on requests; `chaosctl kinds` lists them", e.To)
	}
	return nil
}

// ofConnections is the param, if any, that asks for what datagrams do not have.
func ofConnections(p fault.Params) string {
	if c, ok := p.(interface{ OfConnections() string }); ok {
		return c.OfConnections()
	}
	return ""
}

// forDatagrams are the kinds that act on UDP edges.
func forDatagrams() []string {
	var names []string
	for _, k := range fault.Kinds() {
		if k.Datagrams {
			names = append(names, k.Name)
		}
	}
	return names
}

// checkIdle refuses the end of sessions where there are none.
func checkIdle(s *TopologySpec, e Edge) error {
	if e.Idle == 0 {
		return nil
	}
	_, known := s.Services[e.To]
	switch p := s.EdgeProtocol(e); {
	case e.Listen == "":
		return fmt.Errorf("is about a relay; give the edge a `listen`, or leave it out")
	case known && p != UDP:
		return fmt.Errorf("is about the sessions of a udp edge, and this one is %s; leave it out", p)
	case e.Idle < leastIdle || e.Idle > mostIdle:
		return fmt.Errorf("must be from %s to %s, not %s", leastIdle, mostIdle, e.Idle)
	}
	return nil
}

// How long sessions may be idle.
const (
	leastIdle = fault.Duration(100e6)   // 100ms
	mostIdle  = fault.Duration(86400e9) // 24h
)
