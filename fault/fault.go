// Package fault holds the words of chaosctl: every kind of fault, its params,
// their defaults and their rules, the modifiers that narrow a fault, and the
// receipt that says what it did.
//
// A fault is data. Nothing here acts on anything: drivers do, on the engine's
// word. One file per kind; `ls fault` is the list of what can be injected.
package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Fault is one fault as a document or a command states it: a kind, its params,
// a target, and modifiers. The engine fills At.
type Fault struct {
	// Name tells faults of a run apart; every random draw hangs on it. The
	// default is the kind, with a number where a kind stands twice.
	Name string `json:"name,omitempty" doc:"tells faults apart; the kind by default"`
	// Kind is the name of a kind, as `chaosctl kinds` lists them.
	Kind string `json:"kind" doc:"what happens, for example net.latency; see chaosctl kinds"`
	// Target says where the fault acts, in the words of the topology.
	Target Target `json:"target,omitzero" doc:"where it happens, in the words of the topology"`
	// Params are the kind's own settings; nil means all defaults.
	Params Params `json:"params,omitempty" doc:"the settings of the kind; see chaosctl explain KIND"`
	// Match narrows a fault to some requests, on HTTP edges, or some callers.
	Match *Match `json:"match,omitempty" doc:"hurt these requests (HTTP edges) or callers only"`
	// Share is the part of the matched units that is hurt, in (0, 1]; 0 stands
	// for absent and means all of them.
	Share Share `json:"share,omitempty" doc:"hurt this part of what is matched, for example 0.2 or 20%; all by default"`
	// MaxActive is how many units may be hurt at the same time; 0 is no limit.
	MaxActive int `json:"maxActive,omitempty" doc:"hurt at most this many at the same time; no limit by default" strict:"positive"`
	// Attempts are the tries of each call that are hurt, on edges that see requests.
	// What makes requests tries of one call, and when there is none, package relay
	// says at its call key. Requests without one are spared.
	Attempts Attempts `json:"attempts,omitempty" doc:"hurt these tries of each call only, for example 1-2, 3- or 2,4-5, counted from the arming by idempotency key, request id, trace or body; edges that see requests"`
	// Pulse has the fault come and go; nil keeps it in force.
	Pulse *Pulse `json:"pulse,omitempty" doc:"come and go: {on: 5s, off: 10s}, on first; always on by default"`
	// After has it sleep until another edge was called; nil: it never sleeps.
	After *After `json:"after,omitempty" doc:"sleep until another edge was called: {edge: caller -> callee, calls: 3}"`
	// At is where the engine has placed the fault. Documents do not set it.
	At *Placed `json:"at,omitempty" strict:"output"`
}

// Params are the settings of one kind: a pointer to a struct with JSON names,
// decoded over the kind's defaults.
type Params interface {
	// Validate returns what is wrong with the values, as FieldErrors joined.
	Validate() error
}

// Target is a logical target: one of Edge, Service (narrowed by From), or From
// and To. Kinds whose params name their own members need none.
type Target struct {
	// Service is hurt on every edge to it, or in its processes.
	Service string `json:"service,omitempty" doc:"hurt on every edge to it, or in its processes"`
	// Edge is one edge, "caller -> callee".
	Edge string `json:"edge,omitempty" doc:"one edge: caller -> callee"`
	// From is the calling side: it narrows Service, or is one side of a cut. An empty
	// list is refused, as that of Match.Client.
	From []string `json:"from,omitzero" doc:"the callers that service is narrowed to, or one side of a cut"`
	// To is the other side of a cut.
	To []string `json:"to,omitempty" doc:"the other side of a cut"`
}

// IsZero tells whether no target is given.
func (t Target) IsZero() bool {
	return t.Service == "" && t.Edge == "" && len(t.From) == 0 && len(t.To) == 0
}

func (t Target) String() string {
	switch {
	case t.Edge != "":
		return t.Edge
	case t.Service != "" && len(t.From) > 0:
		return strings.Join(t.From, ",") + " -> " + t.Service
	case t.Service != "":
		return t.Service
	case t.IsZero():
		return "(by its params)"
	}
	return strings.Join(t.From, ",") + " / " + strings.Join(t.To, ",")
}

// Validate refuses targets that name two things at once.
func (t Target) Validate() error {
	var errs []error
	if len(t.From)+len(t.To) > maxMembers {
		return strict.Fieldf("", "names more than %d services", maxMembers)
	}
	switch {
	case t.IsZero():
		errs = append(errs, strict.Fieldf("", "names nothing; give `service`, `edge`, or `from` and `to`"))
	case t.Edge != "" && (t.Service != "" || len(t.From) > 0 || len(t.To) > 0):
		errs = append(errs, strict.Fieldf("", "`edge` stands alone; leave out `service`, `from` and `to`"))
	case t.Service != "" && len(t.To) > 0:
		errs = append(errs, strict.Fieldf("to", "goes with `from`, not with `service`"))
	case t.Service == "" && t.Edge == "" && (len(t.From) == 0 || len(t.To) == 0):
		errs = append(errs, strict.Fieldf("", "`from` and `to` go together"))
	}
	if t.From != nil && len(t.From) == 0 {
		errs = append(errs, strict.Fieldf("from", "is empty; name a service, or leave it out"))
	}
	for i, s := range t.From {
		if s == "" {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("from[%d]", i), "is empty; it must name a service"))
		}
		if slices.Contains(t.To, s) {
			errs = append(errs, strict.Fieldf("to", "`%s` stands on both sides", s))
		}
	}
	for i, s := range t.To {
		if s == "" {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("to[%d]", i), "is empty; it must name a service"))
		}
	}
	if t.Edge != "" {
		if _, _, ok := SplitEdge(t.Edge); !ok {
			errs = append(errs, strict.Fieldf("edge", "must be `caller -> callee`, not %q", strict.Clip(t.Edge)))
		}
	}
	return errors.Join(errs...)
}

// maxMembers bounds the services that one fault may name.
const maxMembers = 100

// EdgeName is the name of the edge between two services.
func EdgeName(from, to string) string { return from + " -> " + to }

// SplitEdge takes "caller -> callee" apart.
func SplitEdge(name string) (from, to string, ok bool) {
	from, to, ok = strings.Cut(name, "->")
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	return from, to, ok && from != "" && to != ""
}

// Match narrows a fault to some requests or callers; all that is given must
// hold. Client is for edges of any protocol, the rest for HTTP edges.
type Match struct {
	// Methods of the request, upper case; any if empty.
	Method []string `json:"method,omitempty" doc:"methods in capitals; any by default"`
	// Path is a glob over the path without the query: `*` stops at a slash, `**`
	// does not: /pay* leaves out /pay/x, /pay** covers it. `~` in front makes it
	// a regular expression (RE2) that must match somewhere.
	Path string `json:"path,omitempty" doc:"glob over the path, for example /users/*: * stops at a slash, ** does not: /pay** covers /pay/x; ~ in front makes it a regular expression"`
	// Header fields that must be there; each value is a glob.
	Header map[string]string `json:"header,omitempty" doc:"header fields that must be there, each with a glob over its value"`
	// Query parameters that must be there; each value is a glob.
	Query map[string]string `json:"query,omitempty" doc:"query parameters that must be there, each with a glob over its value"`
	// GRPC narrows to gRPC calls, and to some of them; nil: other requests, too.
	GRPC *GRPC `json:"grpc,omitempty" doc:"gRPC calls, by service and method; {} for all of them"`
	// Client holds the callers' addresses as the relay sees them: single ones, or
	// networks in CIDR notation. One of them must fit; any does if nil. What is there and
	// empty is refused: a list that a program has left empty must not hurt everybody.
	Client []string `json:"client,omitzero" doc:"addresses of callers, each an IP address or a network such as 10.0.0.0/8; any by default; TCP edges, too"`
}

// OnRequests tells whether it asks for anything that only requests have.
func (m *Match) OnRequests() bool {
	return len(m.Method) > 0 || m.Path != "" || len(m.Header) > 0 || len(m.Query) > 0 || m.GRPC != nil
}

// Validate refuses patterns that cannot be read.
func (m *Match) Validate() error {
	var errs []error
	for i, s := range m.Method {
		if s == "" || strings.ToUpper(s) != s || strings.ContainsAny(s, " \t/") {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("method[%d]", i), "must be a method in capitals such as GET, not %q", strict.Clip(s)))
		}
	}
	if _, err := CompilePath(m.Path); err != nil {
		errs = append(errs, strict.Fieldf("path", "%s", err))
	}
	for k, v := range m.Header {
		if _, err := path.Match(v, ""); err != nil || k == "" {
			errs = append(errs, strict.Fieldf("header."+k, "must be a name with a glob, not %q", strict.Clip(v)))
		}
	}
	for k, v := range m.Query {
		if _, err := path.Match(v, ""); err != nil || k == "" {
			errs = append(errs, strict.Fieldf("query."+k, "must be a name with a glob, not %q", strict.Clip(v)))
		}
	}
	if m.Client != nil && len(m.Client) == 0 {
		errs = append(errs, strict.Fieldf("client", "is empty; give an address, or leave it out to hurt every caller"))
	}
	if len(m.Client) > maxMembers {
		return errors.Join(append(errs, strict.Fieldf("client", "names more than %d addresses; give a network", maxMembers))...)
	}
	for i, s := range m.Client {
		if _, err := ParseClient(s); err != nil {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("client[%d]", i), "%s", err))
		}
	}
	return errors.Join(errs...)
}

// ParseClient reads an element of Match.Client. IPv4 addresses that are written
// as IPv6 (::ffff:10.0.0.1) become IPv4; so must those that are compared with it.
func ParseClient(s string) (netip.Prefix, error) {
	bad := fmt.Errorf("must be an IP address or a network such as 10.0.0.0/8 or 2001:db8::/32, not %q", strict.Clip(s))
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, bad
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, bad
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("must have no bits set behind its first %d: write %s, or the address alone for one caller, not %q", p.Bits(), p.Masked(), strict.Clip(s))
	}
	return p, nil
}

// CompilePath turns a path pattern (see Match.Path) into a regular expression
// over the whole path; an empty pattern matches all.
func CompilePath(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 1024 {
		return nil, errors.New("must not be longer than 1024 characters")
	}
	if re, ok := strings.CutPrefix(pattern, "~"); ok {
		r, err := regexp.Compile(re)
		if err != nil {
			return nil, fmt.Errorf("is not a regular expression: %w", err)
		}
		return r, nil
	}
	if pattern == "" {
		return regexp.Compile("")
	}
	if pattern[0] != '/' && pattern[0] != '*' {
		return nil, fmt.Errorf("must start with / or *, for example /login*, not %q", strict.Clip(pattern))
	}
	q := regexp.QuoteMeta(pattern)
	q = strings.ReplaceAll(q, `\*\*`, "\x00")
	q = strings.ReplaceAll(q, `\*`, `[^/]*`)
	q = strings.ReplaceAll(q, `\?`, `[^/]`)
	q = strings.ReplaceAll(q, "\x00", `.*`)
	return regexp.Compile("(?s)^" + q + "$") // a line break in a path hides nothing
}

// Placed says where a fault really acts; exactly one field is set, and it picks
// the driver.
type Placed struct {
	// Relay is an edge with a relay of ours on it.
	Relay *RelayEdge `json:"relay,omitempty"`
	// Process is a process of this machine.
	Process *Process `json:"process,omitempty"`
	// Resolver is the resolver of the topology, for some names.
	Resolver *Resolver `json:"resolver,omitempty"`
}

// Resolver is a placement on the topology's resolver.
type Resolver struct {
	// Listen is the address of the resolver, as the topology has it.
	Listen string `json:"listen"`
	// Service whose names are meant; empty if the params name them.
	Service string `json:"service,omitempty"`
	// Names are the DNS names and patterns (*.example.com) that are hurt.
	Names []string `json:"names"`
}

// RelayEdge is a placement on a relay.
type RelayEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Name is the edge's name, "caller -> callee".
func (e RelayEdge) Name() string { return EdgeName(e.From, e.To) }

// Process is a placement on a process, pinned by its start time so that a
// reused pid is never hit.
type Process struct {
	Service  string `json:"service"`
	Instance string `json:"instance,omitempty"`
	PID      int    `json:"pid"`
	// Start is the process's start time in clock ticks since boot, from
	// /proc/PID/stat field 22; 0 until the driver has planned.
	Start uint64 `json:"start,omitempty"`
}

// Target is the name of the set field, which is also a driver's target.
func (p *Placed) Target() string {
	switch {
	case p == nil:
		return ""
	case p.Relay != nil:
		return "relay"
	case p.Process != nil:
		return "process"
	case p.Resolver != nil:
		return "resolver"
	}
	return ""
}

func (p *Placed) String() string {
	switch {
	case p == nil:
		return "nowhere"
	case p.Relay != nil:
		return p.Relay.Name()
	case p.Process != nil:
		return fmt.Sprintf("%s (pid %d)", p.Process.Service, p.Process.PID)
	case p.Resolver != nil:
		return "resolver " + p.Resolver.Listen
	}
	return "nowhere"
}

// Receipt is what a fault really did.
type Receipt struct {
	// Unit is what is counted: exchange, connection or process.
	Unit Unit `json:"unit"`
	// Matched units were seen while the fault was in force and fitted its match.
	Matched uint64 `json:"matched"`
	// Injected units were hurt.
	Injected uint64 `json:"injected"`
	// Skipped units were matched and spared, by attempts, share, maxActive or
	// protection, or there was nothing about them to hurt. What comes while a fault sleeps (after, pulse) is not matched.
	Skipped uint64 `json:"skipped"`
}

// Add sums two receipts of one fault.
func (r Receipt) Add(o Receipt) Receipt {
	if r.Unit == "" {
		r.Unit = o.Unit
	} else if o.Unit != "" && o.Unit != r.Unit {
		r.Unit = Units
	}
	r.Matched += o.Matched
	r.Injected += o.Injected
	r.Skipped += o.Skipped
	return r
}

// Unit is what a receipt counts.
type Unit string

// The units. Units stands for a sum over different ones.
const (
	Exchange   Unit = "exchange"
	Connection Unit = "connection"
	Datagram   Unit = "datagram"
	Query      Unit = "query" // of DNS
	OneProcess Unit = "process"
	Units      Unit = "unit"
)
