package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Spec is an edge to be opened.
type Spec struct {
	From, To string
	// Protocol is experiment.TCP, HTTP, Auto or UDP.
	Protocol experiment.Protocol
	// Listen is where the caller is to call, host:port; port 0 picks one.
	Listen string
	// Upstreams are the callee's addresses, one or more; connections take turns.
	Upstreams []string
	// WhenDown is what a caller sees of a callee that cannot be reached: reset
	// (the default) or close, after it was accepted, or refuse: the listener
	// refuses connections for as long as the callee does. TCP edges; on HTTP
	// edges it is always reset.
	WhenDown string
	// TLS is how the edge deals with TLS; nil: callers and callee speak plain, or the
	// edge passes TLS through as bytes.
	TLS *TLS
	// SNI: the TLS connections for these server names alone are this edge's; names
	// and patterns (*.example.com). Edges with it may share a listen. TCP edges.
	SNI []string
	// ClientFaults are the limits of faults that callers ask for; nil ignores them.
	ClientFaults *experiment.ClientFaults
	// Idle is how long a session of a UDP edge lasts without a datagram; 0 is 60 s.
	Idle time.Duration
	// Protect lists requests that such faults spare.
	Protect []fault.Match
	// Resolve finds the addresses behind an element of Upstreams, for each
	// connection anew; it may refuse them. nil asks the system. TCP, http and auto.
	Resolve func(ctx context.Context, upstream string) ([]netip.AddrPort, error)
}

// TLS is how an edge deals with TLS. An edge may speak it on one side alone.
type TLS struct {
	// Certificate makes what is presented to a caller; nil: callers speak plain.
	Certificate func(hello *tls.ClientHelloInfo, leaf Leaf) (*tls.Certificate, error)
	// Upstream is how the callee is called; nil: plain. ServerName empty stands for
	// the caller's SNI, else the address's host.
	Upstream *tls.Config
}

// Options of a Set.
type Options struct {
	// Exchange is called after each exchange of an HTTP edge and after each
	// connection of a TCP edge, from many goroutines. It must not block. It may
	// be nil.
	Exchange func(experiment.Exchange)
	// Full is called, once a minute at most, when an edge accepts nothing more
	// until a connection ends, because what is left of the process's descriptors
	// is kept for the rest of it. It must not block. It may be nil.
	Full func(edge string)
	// TLS is called, once a minute at most, when an edge could not agree with its
	// callee on TLS: callers see what they see of a callee that is down. It must not
	// block. It may be nil.
	TLS func(edge string, err error)
	// QueueBytes is how many bytes may wait for being delayed or held, on all
	// edges; a single direction of a connection may have a quarter of it. Once
	// they are spent, each has 64 KiB. 0 is 512 MiB.
	QueueBytes int64
}

// fullEvery is how long nothing more is said about a lack of descriptors.
const fullEvery = time.Minute

// Set is all edges of a process. Its methods may be called concurrently.
type Set struct {
	ear    ear
	full   func(edge string)
	sayTLS func(edge string, err error)
	doors  doors
	budget budget
	slots  *slots

	dialTime time.Duration
	headTime time.Duration
	portable bool // do as systems without a poller of ours do
	lastID   atomic.Uint64
	pipes    atomic.Int32 // open, of all loops

	mu     sync.RWMutex
	loops  []*loop // made for the first TCP edge
	edges  map[string]*Edge
	held   map[string]bool // names that are being opened
	closed bool
	said   time.Time // when full was called
}

// NewSet returns a set without edges.
func NewSet(o Options) *Set {
	if o.TLS == nil {
		o.TLS = func(string, error) {}
	}
	if o.Full == nil {
		o.Full = func(string) {}
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = budgetSize
	}
	s := &Set{budget: budget{most: o.QueueBytes}, sayTLS: o.TLS, full: o.Full, slots: newSlots(fileLimit()), dialTime: dialTime, headTime: headTimeout, edges: map[string]*Edge{}, held: map[string]bool{}}
	if o.Exchange != nil {
		s.Listen(func(x *experiment.Exchange) { o.Exchange(*x) })
	}
	return s
}

// Open opens edges, all or none: if one cannot listen, the error names it with
// its address, and nothing stays open. They accept before it returns.
func (s *Set) Open(ctx context.Context, specs ...Spec) (err error) {
	if err := s.reserve(specs); err != nil {
		return err
	}
	var opened []*Edge
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, spec := range specs {
			delete(s.held, fault.EdgeName(spec.From, spec.To))
		}
		if err == nil && s.closed {
			err = fmt.Errorf("open edges: %w", ErrClosed)
		}
		for _, e := range opened {
			if err != nil {
				e.leaveDoor()
				e.unlisten()
				e.cancel()
				continue
			}
			s.slots.add(edgeFiles)
			s.edges[e.name] = e
			e.start()
		}
	}()
	// Those with names first: they make the listeners that others may share.
	inOrder := slices.SortedStableFunc(slices.Values(specs), func(a, b Spec) int {
		return min(1, len(b.SNI)) - min(1, len(a.SNI))
	})
	for _, spec := range inOrder {
		e, err := s.open(ctx, spec)
		if err != nil {
			return err
		}
		opened = append(opened, e)
	}
	return nil
}

// reserve checks the specs and takes their names.
func (s *Set) reserve(specs []Spec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("open edges: %w", ErrClosed)
	}
	names := map[string]bool{}
	for _, spec := range specs {
		name := fault.EdgeName(spec.From, spec.To)
		switch {
		case s.edges[name] != nil, s.held[name], names[name]:
			return fmt.Errorf("open %s: there is an edge of that name already", name)
		case len(spec.Upstreams) == 0 || slices.Contains(spec.Upstreams, ""):
			return fmt.Errorf("open %s: the callee has no address", name)
		case !slices.Contains([]string{"", WhenDownReset, WhenDownClose, WhenDownRefuse}, spec.WhenDown):
			return fmt.Errorf("open %s: whenDown must be reset, close or refuse, not %q", name, spec.WhenDown)
		case spec.Protocol == experiment.UDP:
			if err := checkUDP(spec); err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
		case spec.Protocol != experiment.TCP && !spec.Protocol.SeesRequests():
			return fmt.Errorf("open %s: there is no protocol %q", name, spec.Protocol)
		}
		names[name] = true
	}
	for name := range names {
		s.held[name] = true
	}
	return nil
}

func (s *Set) open(ctx context.Context, spec Spec) (*Edge, error) {
	name := fault.EdgeName(spec.From, spec.To)
	if spec.Protocol == experiment.UDP {
		return s.openUDP(ctx, name, spec)
	}
	p, door, err := s.openPort(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("open %s on %s: %w", name, spec.Listen, err)
	}
	spec.Listen, spec.Upstreams = p.addr, slices.Clone(spec.Upstreams)
	var loops []*loop
	if spec.Protocol != experiment.HTTP || s.fast(spec) {
		if loops, err = s.theLoops(); err != nil {
			if door != nil {
				door.leave(nil)
			}
			p.close()
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
	}
	e := &Edge{
		name: name, spec: spec, port: p, door: door, budget: &s.budget, ear: &s.ear,
		slots: s.slots, full: func() { s.sayFull(name) }, dialTime: s.dialTime, headTime: s.headTime,
		callee: upstreamsOf(spec.Upstreams), loops: loops, newID: func() uint64 { return s.lastID.Add(1) },
		others: s.Edge, fast: s.fast(spec),
		links: map[uint64]link{}, units: map[uint64]unit{},
	}
	if e.asked, err = newAsked(spec, name); err != nil {
		p.close()
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if spec.TLS != nil {
		e.tls = newTLSSide(e)
		own := &said{say: s.sayTLS}
		e.sayTLS = func(err error) { own.once(name, err) }
	}
	if spec.Protocol.SeesRequests() {
		e.http = newHTTPEdge(e)
	}
	return e, nil
}

// sayFull tells that an edge waits for descriptors, unless that was said lately.
func (s *Set) sayFull(edge string) {
	s.mu.Lock()
	again := time.Since(s.said) >= fullEvery
	if again {
		s.said = time.Now()
	}
	s.mu.Unlock()
	if again {
		s.full(edge)
	}
}

func (e *Edge) start() {
	if e.udp != nil {
		e.udp.start()
		return
	}
	if e.http != nil {
		e.http.start()
	}
	switch {
	case e.door != nil:
		e.door.enter(e)
	case e.http != nil && !e.fast || e.spec.terminates() || !e.openGates():
		e.work.Go(e.run)
	}
	if e.http == nil && e.spec.WhenDown == WhenDownRefuse {
		e.work.Go(func() {
			if !e.reachable() {
				e.calleeIsDown()
			}
		})
	}
}

// theLoops returns the loops that all TCP edges share: one for every two cores,
// because callers and callees of a relay often share the machine with it, and a
// loop that has much to do does more at a time; but two if there are two, or they
// would get two shares of a busy machine and we one.
func (s *Set) theLoops() ([]*loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cores := runtime.GOMAXPROCS(0)
	for len(s.loops) < min(cores, max(2, cores/2), maxLoops) {
		p, err := newPoller(s.portable)
		if err != nil {
			return nil, err
		}
		l := newLoop(p, &pipes{open: &s.pipes, most: int32(s.slots.spare / 4)})
		s.loops = append(s.loops, l)
		go l.run()
	}
	return s.loops, nil
}

// maxLoops is how many loops a set has at most.
const maxLoops = 8

// Edge returns an open edge by its name, "caller -> callee".
func (s *Set) Edge(name string) (*Edge, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.edges[name]
	return e, ok
}

// Status returns all open edges, sorted by name. It never waits for data.
func (s *Set) Status() []experiment.EdgeStatus {
	s.mu.RLock()
	all := make([]experiment.EdgeStatus, 0, len(s.edges))
	for _, e := range s.edges {
		all = append(all, e.status())
	}
	s.mu.RUnlock()
	slices.SortFunc(all, compareStatus)
	return all
}

// Connections lists the live connections of an edge, or of all if it is empty, in
// the order in which they came. It never waits for data.
func (s *Set) Connections(edge string) []experiment.Connection {
	now := time.Now()
	all := []experiment.Connection{}
	for _, e := range s.all() {
		if edge != "" && e.name != edge {
			continue
		}
		for _, l := range sorted(&e.live, e.links) {
			all = append(all, l.status(now))
		}
	}
	slices.SortFunc(all, func(a, b experiment.Connection) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// all returns the open edges.
func (s *Set) all() []*Edge {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.edges))
}

// CloseConnection ends a connection by its id, by a FIN or a reset; false if it is
// not there. It does not wait.
func (s *Set) CloseConnection(id uint64, reset bool) bool {
	how := Close
	if reset {
		how = Reset
	}
	for _, e := range s.all() {
		e.live.Lock()
		l := e.links[id]
		e.live.Unlock()
		if l != nil {
			l.end("relay", how)
			return true
		}
	}
	return false
}

// CloseEdge closes one edge as Shutdown does. An edge that is not there is an error.
func (s *Set) CloseEdge(ctx context.Context, name string) error {
	s.mu.Lock()
	e, ok := s.edges[name]
	delete(s.edges, name)
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("close %s: there is no such edge", name)
	}
	return e.close(ctx)
}

// Shutdown closes all edges: they stop accepting, lift what is armed, let live
// connections end until ctx is done, and then cut them. It returns when every
// goroutine has ended; the error says which edges had to be cut.
func (s *Set) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	edges, loops := s.edges, s.loops
	s.edges, s.loops = map[string]*Edge{}, nil
	s.mu.Unlock()
	defer func() {
		for _, l := range loops {
			l.stop()
		}
	}()
	errs := make([]error, len(edges))
	var all sync.WaitGroup
	i := 0
	for _, e := range edges {
		n := i
		all.Go(func() { errs[n] = e.close(ctx) })
		i++
	}
	all.Wait()
	return errors.Join(errs...)
}
