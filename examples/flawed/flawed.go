// Package flawed is a collection of small systems with one weakness each, made to
// prove that chaosctl finds it: [Cases] lists them. Every system has a fixed
// version, in which nothing of the list is wrong; [Options] tells which is started.
//
// A system is a few HTTP services over real sockets. Each takes between 0 and 20 ms
// of random time for its work, by a seed. What is wrong with one is a line or two
// in its case (retries.go, breakers.go, timeouts.go, fallbacks.go, load.go); the
// defences that all share are a policy of a caller (call.go, breaker.go).
//
// Beside each case stands the experiment that brings its weakness to light,
// NAME.yaml, with the topology in it: see [Document].
//
// The package uses nothing but the standard library and knows nothing of chaosctl.
package flawed

import (
	"fmt"
	"slices"
	"strings"
)

// Case is one weakness and the system that has it.
type Case struct {
	// Name of the weakness, as chaosctl names it.
	Name string
	// Flawed and Fixed say in a sentence what the two versions do.
	Flawed, Fixed string
	// Services in the order in which they start; users call the first.
	Services []string
	// Edges are the calls between services.
	Edges []Edge

	build func(s *System)
}

// Edge is one service that calls another.
type Edge struct{ From, To string }

// String is "caller -> callee", as topologies name it.
func (e Edge) String() string { return e.From + " -> " + e.To }

// IDs says whether services pass on the trace that a request belongs to.
type IDs string

// Passing on traces: as W3C Trace Context has it, or not at all.
const (
	Trace IDs = "trace"
	None  IDs = "none"
)

// Options say which version of a system is started, and how.
type Options struct {
	// Fixed starts the version in which nothing is wrong.
	Fixed bool
	// IDs is Trace by default.
	IDs IDs
	// Seed of all that is random.
	Seed uint64
	// Addresses by service (where it listens) and by edge (what its caller dials).
	// What is left out is free for a service, and the callee itself for an edge.
	Addresses map[string]string
}

func (o Options) check(c Case) error {
	if o.IDs != "" && o.IDs != Trace && o.IDs != None {
		return fmt.Errorf("ids must be %s or %s, not %q", Trace, None, o.IDs)
	}
	for name := range o.Addresses {
		if !slices.Contains(c.Services, name) && !slices.ContainsFunc(c.Edges, func(e Edge) bool { return e.String() == name }) {
			return fmt.Errorf("%s has no service or edge %q", c.Name, name)
		}
	}
	return nil
}

// Cases are all of them, in the order in which the weaknesses are told.
func Cases() []Case {
	return slices.Concat(retryCases(), breakerCases(), timeoutCases(), fallbackCases(), loadCases())
}

// Find returns the case of a name; the error tells which there are.
func Find(name string) (Case, error) {
	var names []string
	for _, c := range Cases() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Case{}, fmt.Errorf("there is no flaw %q; there are %s", name, strings.Join(names, ", "))
}

// Ports are the addresses that the documents are written with: 127.0.0.1:181xx for
// services and 127.0.0.1:191xx for the relays in front of them. All cases share them.
func (c Case) Ports() map[string]string {
	at := map[string]string{}
	for i, s := range c.Services {
		at[s] = fmt.Sprintf("127.0.0.1:%d", 18100+i)
	}
	for i, e := range c.Edges {
		at[e.String()] = fmt.Sprintf("127.0.0.1:%d", 19100+i)
	}
	return at
}
