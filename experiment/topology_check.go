package experiment

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Production is the environment that may be hurt with a permission only.
const Production = "production"

// DefaultEnvironment is that of a topology that names none.
const DefaultEnvironment = "development"

// DecodeNode decodes strictly, checks the whole and fills in what was left out.
func (s *TopologySpec) DecodeNode(n *strict.Node) {
	n.Fields(s)
	n.CheckRest(checkEnv(s))
	n.CheckRest(s.check(n.LineOf))
	if s.Environment == "" {
		s.Environment = DefaultEnvironment
	}
}

// Validate checks the whole topology: names, addresses, who calls whom.
func (s *TopologySpec) Validate() error {
	return errors.Join(checkEnv(s), s.check(func(string) int { return 0 }))
}

// check is Validate; line tells where a path stands, 0 if that is not known.
func (s *TopologySpec) check(line func(path string) int) error {
	var errs []error
	if strings.Trim(s.Environment, "abcdefghijklmnopqrstuvwxyz-") != "" || len(s.Environment) > maxName {
		errs = append(errs, strict.Fieldf("environment", "must be a word in lower case letters, for example staging, not %q", strict.Clip(s.Environment)))
	}
	if slices.Contains([]string{"prod", "prd", "live"}, s.Environment) {
		errs = append(errs, strict.Fieldf("environment", "write `%s`, so that it is guarded as such", Production))
	}
	if len(s.Services) == 0 {
		errs = append(errs, strict.Fieldf("services", "there are none; name at least one, for example `auth-service: {address: \"127.0.0.1:9001\", protocol: http}`"))
	}
	if many := errors.Join(atMost("services", len(s.Services), maxServices), atMost("edges", len(s.Edges), maxEdges), atMost("guard.protect", len(s.Guard.Protect), maxEdges)); many != nil {
		return errors.Join(append(errs, many)...)
	}
	c := &edgeCheck{s: s, line: line, edges: map[string]int{}, listens: ports{}, datagrams: ports{}, services: ports{}}
	for _, name := range s.names() {
		errs = append(errs, at("services."+name, checkServiceName(name)))
		for _, a := range s.Services[name].addresses() {
			c.services.take(a, name)
		}
	}
	for i := range s.Edges {
		errs = append(errs, c.check(i)...)
	}
	errs = append(errs, s.checkProxy(c), s.checkResolver(c))
	for i, p := range s.Guard.Protect {
		errs = append(errs, at(fmt.Sprintf("guard.protect[%d]", i), s.checkProtected(p)))
	}
	return errors.Join(errs...)
}

// The most entries that documents may have of each thing, far beyond what one
// machine can run, so that checking one against the other stays cheap.
const (
	maxServices  = 1000
	maxEdges     = 2000
	maxInstances = 1000
	maxFlows     = 200
	maxRules     = 1000 // gates, probes, abort rules, steps, faults of all steps
)

func atMost(path string, n, most int) error {
	if n <= most {
		return nil
	}
	return strict.Fieldf(path, "there are %d; the limit is %d", n, most)
}

// names are those of the services, sorted.
func (s *TopologySpec) names() []string { return slices.Sorted(maps.Keys(s.Services)) }

// edgeCheck checks the edges of a topology one after the other.
type edgeCheck struct {
	s         *TopologySpec
	line      func(path string) int
	edges     map[string]int // where each edge stands, by name
	listens   ports          // of the relays so far, with the names of their edges
	datagrams ports          // listens of the udp relays so far, in the same way
	services  ports          // of the services, with their names
}

func (c *edgeCheck) check(i int) []error {
	s, e, path := c.s, c.s.Edges[i], fmt.Sprintf("edges[%d]", i)
	var errs []error
	ends := len(s.Services) > 0
	if _, ok := s.Services[e.From]; !ok && ends && e.From != Users && e.From != "" {
		errs = append(errs, strict.Fieldf(path+".from", "there is no service %q%s", strict.Clip(e.From), strict.Suggest(e.From, append(s.names(), Users))))
	}
	callee, ok := s.Services[e.To]
	switch {
	case e.To == "" || !ends:
	case e.To == Users:
		errs = append(errs, strict.Fieldf(path+".to", "nobody calls `users`: they only call; put them in `from`"))
	case !ok:
		errs = append(errs, strict.Fieldf(path+".to", "there is no service %q%s", strict.Clip(e.To), strict.Suggest(e.To, s.names())))
	case e.Listen != "" && len(callee.addresses()) == 0:
		errs = append(errs, strict.Fieldf(path+".to", "`%s` has no address for the relay to call; give it one in services", e.To))
	}
	j, twice := c.edges[e.Name()]
	switch {
	case e.From == "" || e.To == "":
	case twice:
		errs = append(errs, strict.Fieldf(path, "is the edge %s once more%s", e.Name(), first(c.line, fmt.Sprintf("edges[%d]", j))))
	default:
		c.edges[e.Name()] = i
	}
	errs = append(errs, at(path+".whenDown", checkWhenDown(s, e)), at(path+".idle", checkIdle(s, e)), at(path+".clientFaults", checkClientFaults(s, e)))
	errs = append(errs, c.checkTLS(i, path)...)
	return append(errs, c.checkListen(i, path)...)
}

// checkWhenDown refuses ways that there are not, or not on such an edge.
func checkWhenDown(s *TopologySpec, e Edge) error {
	if e.WhenDown == "" {
		return nil
	}
	if err := among("way", e.WhenDown, DownReset, DownClose, DownRefuse); err != nil {
		return err
	}
	_, known := s.Services[e.To]
	switch {
	case e.Listen == "":
		return errors.New("is about a relay; give the edge a `listen`, or leave it out")
	case known && s.EdgeProtocol(e) == UDP:
		return errors.New("is about connections, and a udp edge has none; leave it out")
	case known && e.WhenDown != DownReset && s.EdgeProtocol(e) == HTTP:
		return errors.New("an http edge always resets; leave it out, or give the edge `protocol: tcp`")
	}
	return nil
}

// checkListen refuses a relay on the address of another or of a service.
func (c *edgeCheck) checkListen(i int, path string) []error {
	var errs []error
	e := c.s.Edges[i]
	listens := c.listens
	if c.s.EdgeProtocol(e) == UDP { // a port of UDP is another than that of TCP
		listens = c.datagrams
	}
	if other, taken := listens.take(e.Listen, strconv.Itoa(i)); taken {
		j, _ := strconv.Atoi(other) // it was written as a number above
		if !c.mayShare(i, j) {
			errs = append(errs, strict.Fieldf(path+".listen", "is the address of the edge %s already%s; each edge needs its own, unless `sni` tells their callers apart", c.s.Edges[j].Name(), onLine(c.line, fmt.Sprintf("edges[%d].listen", j))))
		}
	}
	switch name, taken := c.services.owner(e.Listen); {
	case !taken:
	case name == e.To:
		errs = append(errs, strict.Fieldf(path+".listen", "is the address of `%s` itself, so that the relay would call itself; take a free port", name))
	default:
		errs = append(errs, strict.Fieldf(path+".listen", "is the address of the service `%s`; take a free port", name))
	}
	return errs
}

func first(line func(string) int, path string) string {
	if n := line(path); n > 0 {
		return fmt.Sprintf("; the first is on line %d", n)
	}
	return ""
}

func onLine(line func(string) int, path string) string {
	if n := line(path); n > 0 {
		return fmt.Sprintf(" (line %d)", n)
	}
	return ""
}

func (s *TopologySpec) checkProtected(p Protected) error {
	svc, ok := s.Services[p.Service]
	if p.Service == "" || len(s.Services) == 0 {
		return nil
	}
	if !ok {
		return fmt.Errorf("there is no service %q%s", strict.Clip(p.Service), strict.Suggest(p.Service, s.names()))
	}
	if p.Path == "" && len(p.Method) == 0 {
		return nil
	}
	seen := svc.Protocol == HTTP
	for _, e := range s.Edges {
		seen = seen || e.To == p.Service && s.EdgeProtocol(e) == HTTP
	}
	if !seen {
		return fmt.Errorf("`%s` is %s, where requests are not seen; leave out path and method to protect all of it, or give it `protocol: http`", p.Service, s.EdgeProtocol(Edge{To: p.Service}))
	}
	return nil
}

// Validate checks the addresses, the protocol and the instances.
func (s *Service) Validate() error {
	var errs []error
	if s.Address != "" {
		errs = append(errs, at("address", checkAddress(s.Address, 1)))
	}
	if s.Health != "" {
		errs = append(errs, at("health", checkPath(s.Health, "/healthz")))
	}
	switch {
	case s.Health == "":
	case len(s.addresses()) == 0:
		errs = append(errs, strict.Fieldf("health", "needs an address to ask"))
	case s.Protocol == UDP:
		errs = append(errs, strict.Fieldf("health", "is asked by HTTP over TCP, and the service is udp; leave it out, and give the experiment a probe"))
	}
	if len(s.Instances) > 0 && s.Address != "" {
		errs = append(errs, strict.Fieldf("address", "is shorthand for one instance; with `instances`, give each its own"))
	}
	if len(s.Instances) > 0 && s.At != nil {
		errs = append(errs, strict.Fieldf("at", "is shorthand for one instance; with `instances`, give each its own"))
	}
	errs = append(errs, atMost("instances", len(s.Instances), maxInstances))
	names, taken := map[string]bool{}, ports{}
	for i, in := range s.Instances {
		path := fmt.Sprintf("instances[%d]", i)
		if names[in.Name] && in.Name != "" {
			errs = append(errs, strict.Fieldf(path+".name", "there is an instance %q already", in.Name))
		}
		names[in.Name] = true
		if other, twice := taken.take(in.Address, in.Name); twice {
			errs = append(errs, strict.Fieldf(path+".address", "is that of the instance %q already", other))
		}
	}
	for i, n := range s.Names {
		if err := notExpanded(n); err != nil {
			errs = append(errs, at(fmt.Sprintf("names[%d]", i), err))
		} else if _, err := fault.CompileName(n); err != nil {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("names[%d]", i), "%s", err))
		}
	}
	return errors.Join(errs...)
}

// addresses are those of the instances that have one.
func (s Service) addresses() []string {
	var all []string
	for _, in := range s.All() {
		if in.Address != "" {
			all = append(all, in.Address)
		}
	}
	return all
}

// Validate checks name and address.
func (i *Instance) Validate() error {
	errs := []error{}
	switch {
	case i.Name == "":
		errs = append(errs, strict.Fieldf("name", "is missing"))
	case tidy(i.Name, "-") != i.Name:
		errs = append(errs, strict.Fieldf("name", "must be lower case letters, digits and dashes; write `%s`", tidy(i.Name, "-")))
	}
	if i.Address != "" {
		errs = append(errs, at("address", checkAddress(i.Address, 1)))
	}
	return errors.Join(errs...)
}

// Validate checks the process id.
func (a *At) Validate() error {
	if a.PID <= 0 {
		return strict.Fieldf("pid", "must be the id of a process, 1 or more")
	}
	return nil
}

// Validate refuses protocols that are not known; empty stands for the default.
func (p Protocol) Validate() error {
	if p == "" {
		return nil
	}
	return among("protocol", p, HTTP, TCP, UDP, Auto)
}

// Validate checks what an edge says by itself.
func (e *Edge) Validate() error {
	var errs []error
	if e.From == "" {
		errs = append(errs, strict.Fieldf("from", "is missing; it must name the calling service, or users"))
	}
	if e.To == "" {
		errs = append(errs, strict.Fieldf("to", "is missing; it must name the service that is called"))
	}
	if e.From == e.To && e.From != "" && e.From != Users {
		errs = append(errs, strict.Fieldf("", "is an edge from `%s` to itself; an edge joins two services", e.From))
	}
	if e.Listen != "" {
		errs = append(errs, at("listen", checkAddress(e.Listen, 0)))
	}
	return errors.Join(errs...)
}

// Validate checks the pattern and the methods.
func (p *Protected) Validate() error {
	var errs []error
	if p.Service == "" {
		errs = append(errs, strict.Fieldf("service", "is missing; it must name the service whose routes are protected"))
	}
	m := fault.Match{Path: p.Path, Method: p.Method}
	return errors.Join(append(errs, m.Validate())...)
}

// splitEdge takes the name of an edge apart: the very name of one, whose services
// may begin and end with spaces, else a name in which spaces do not matter.
func splitEdge(name string, edges []Edge) (from, to string, ok bool) {
	for _, e := range edges {
		if e.Name() == name {
			return e.From, e.To, true
		}
	}
	return fault.SplitEdge(name)
}

// Edge returns the edge with a name, "caller -> callee". Unless it is the very name
// of one, spaces do not matter.
func (t *Topology) Edge(name string) (Edge, bool) {
	from, to, ok := splitEdge(name, t.Spec.Edges)
	if ok {
		for _, e := range t.Spec.Edges {
			if e.From == from && e.To == to {
				return e, true
			}
		}
	}
	return Edge{}, false
}

// EdgeProtocol is the edge's own protocol, else that of its callee, else tcp.
func (s *TopologySpec) EdgeProtocol(e Edge) Protocol {
	if e.Protocol != "" {
		return e.Protocol
	}
	if p := s.Services[e.To].Protocol; p != "" {
		return p
	}
	return TCP
}
