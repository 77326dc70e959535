package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// pastReceipts is how many receipts of lifted effects an edge keeps.
const pastReceipts = 1024

// dialTime is how long connecting to a callee may take.
const dialTime = 30 * time.Second

// What a caller of Arm may decide on.
var (
	// ErrArmed: the id is taken.
	ErrArmed = errors.New("already armed")
	// ErrClosed: the edge or the set has been closed.
	ErrClosed = errors.New("closed")
)

// unit is what effects hurt: a connection of a TCP edge or an exchange.
type unit interface {
	// consider draws the unit for an effect that was armed after it began.
	consider(a *armed)
	// replace takes an effect off, and draws the unit for one that was armed in
	// its place.
	replace(old, a *armed)
	// drop takes an effect off.
	drop(a *armed)
}

// link is a caller's connection, whatever the edge sees in it.
type link interface {
	// strike ends it on an effect's word. h is nil for effects on links.
	strike(a *armed, how Ending, h *hit) bool
	// client is the caller's address.
	client() netip.Addr
	// status is the connection as it is listed.
	status(now time.Time) experiment.Connection
	// end ends it; it does not block.
	end(by string, how Ending)
}

// Edge is one edge with its listener, its live connections and the effects armed
// on it. All methods may be called concurrently.
type Edge struct {
	name     string
	spec     Spec
	port     *port
	budget   *budget
	slots    *slots
	full     func()
	http     *httpEdge   // nil on TCP edges
	fast     bool        // connections begin on loops, as h1Conn
	draining atomic.Bool // what is open ends after its answer
	udp      *udpEdge    // nil but on UDP edges, which have no port, loops nor gates
	tls      *tlsSide    // nil on edges that speak no TLS themselves
	door     *door       // nil on edges that share no listener
	doorLeft sync.Once
	sayTLS   func(error)
	callee   []upstream
	loops    []*loop // nil on edges whose connections no loop carries
	gates    []*gate // where loops accept
	newID    func() uint64
	others   func(name string) (*Edge, bool) // open edges of the set
	ear      *ear                            // who is told of exchanges
	tries    attempts                        // of calls, for exchanges
	asked    *asked                          // nil: callers may not ask for faults

	dialTime time.Duration
	headTime time.Duration // for the head of a request
	watching atomic.Bool   // somebody asks whether the callee is up again

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // the accept loop, connections, leases, sweeps
	nextUp atomic.Uint64

	accepted, exchanges, in, out atomic.Uint64

	control sync.Mutex // serialises Arm and Lift
	past    []pastReceipt
	closed  bool
	down    bool // the listener is closed because the callee is down

	chain atomic.Pointer[[]*armed] // immutable; nil if nothing is armed

	live  sync.Mutex
	links map[uint64]link
	units map[uint64]unit
}

type pastReceipt struct {
	id      string
	receipt fault.Receipt
}

// Name is the edge's name, "caller -> callee".
func (e *Edge) Name() string { return e.name }

// Spec is what the edge was opened with; Listen is the address as bound.
func (e *Edge) Spec() Spec {
	s := e.spec
	s.Upstreams = slices.Clone(s.Upstreams)
	return s
}

// armed returns what is in force.
func (e *Edge) armed() []*armed {
	if p := e.chain.Load(); p != nil {
		return *p
	}
	return nil
}

func (e *Edge) find(id string) *armed {
	for _, a := range e.armed() {
		if a.ID == id {
			return a
		}
	}
	return nil
}

func refusing(a *armed) bool { _, ok := a.Effect.(Refuser); return ok && !a.asleep() }

// InForce tells whether an effect is.
func (e *Edge) InForce(id string) bool { return e.find(id) != nil }

// Receipt is what an effect has done so far; of lifted ones the last 1024 are
// kept. False for ids never armed.
func (e *Edge) Receipt(id string) (fault.Receipt, bool) {
	if a := e.find(id); a != nil {
		return a.counts(), true
	}
	e.control.Lock()
	defer e.control.Unlock()
	if a := e.find(id); a != nil {
		return a.counts(), true
	}
	for _, p := range e.past {
		if p.id == id {
			return p.receipt, true
		}
	}
	return fault.Receipt{}, false
}

// sorted returns the live things in the order in which they came, so that draws
// can be repeated.
func sorted[T any](mu *sync.Mutex, live map[uint64]T) []T {
	mu.Lock()
	keys := slices.Collect(maps.Keys(live))
	slices.Sort(keys)
	all := make([]T, len(keys))
	for i, k := range keys {
		all[i] = live[k]
	}
	mu.Unlock()
	return all
}

// run accepts until the port is closed. A connection never waits for another,
// unless there are no descriptors for it.
func (e *Edge) run() {
	for {
		c, ok := e.port.accept(e.ctx)
		if !ok {
			return
		}
		if !e.slots.take(connFiles, e.port.shut, e.full) {
			c.Close()
			return
		}
		if e.port.fillers.has(remote(c)) {
			c.Close()
			e.slots.add(-connFiles)
			continue
		}
		e.accepted.Add(1)
		if e.turnedAway(func() { c.SetLinger(0); c.Close() }) {
			e.slots.add(-connFiles)
			continue
		}
		e.take(c)
	}
}

// take carries an accepted connection.
func (e *Edge) take(c *net.TCPConn) {
	if e.spec.terminates() {
		e.takeTLS(c)
		return
	}
	if e.spec.Protocol == experiment.Auto {
		e.meet(c, nil)
		return
	}
	if e.http != nil {
		e.http.take(c, e.newID())
		return
	}
	l := e.idlest()
	conn := e.newLive(l, remote(c))
	l.post(func() {
		conn.ends[Up].wire = newNetWire(c, conn, Up)
		conn.ends[Up].writable = true
		conn.begin()
	})
}

// newLive makes a connection, which is listed from now on.
func (e *Edge) newLive(l *loop, from netip.AddrPort) *conn {
	c := newConn(e, l, from)
	l.live.Add(1)
	e.work.Add(1)
	e.live.Lock()
	e.links[c.id], e.units[c.id] = c, c
	e.live.Unlock()
	return c
}

// turnedAway resets a connection that was on its way in when the listener closed.
func (e *Edge) turnedAway(reset func()) bool {
	armed := e.armed()
	i := slices.IndexFunc(armed, refusing)
	if i < 0 || armed[i].draw("", false) == nil {
		return false
	}
	return armed[i].strike(func() bool { reset(); return true })
}

// dial connects to the callee's next address, for at most 30 seconds.
func (e *Edge) dial(ctx context.Context) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.dialTime)
	defer cancel()
	return e.dialTo(ctx, e.next().text)
}

// dialTo connects to one address of the callee.
func (e *Edge) dialTo(ctx context.Context, text string) (*net.TCPConn, error) {
	to := []string{text}
	if e.spec.Resolve != nil {
		addrs, err := e.spec.Resolve(ctx, text)
		if err != nil {
			return nil, err
		}
		to = nil
		for _, a := range addrs {
			to = append(to, a.String())
		}
	}
	var failed error
	for _, a := range to {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", a)
		if err == nil {
			return c.(*net.TCPConn), nil
		}
		failed = err
	}
	return nil, failed
}

// Take carries a connection that was accepted elsewhere as one of the edge's own; it
// is the edge's from then on. Where the edge would refuse it, it is reset.
func (e *Edge) Take(c *net.TCPConn) {
	e.control.Lock()
	closed := e.closed
	if !closed {
		e.work.Add(1)
		defer e.work.Done()
	}
	e.control.Unlock()
	if closed || e.port.stopped() || !e.slots.take(connFiles, e.port.shut, e.full) {
		c.SetLinger(0)
		c.Close()
		return
	}
	e.accepted.Add(1)
	if e.turnedAway(func() { c.SetLinger(0); c.Close() }) {
		e.slots.add(-connFiles)
		return
	}
	e.take(c)
}

// forget lets go of a connection, which is closed, or of an exchange.
func (e *Edge) forget(id uint64) {
	e.live.Lock()
	if _, ok := e.links[id]; ok {
		e.slots.add(-connFiles)
	}
	delete(e.links, id)
	delete(e.units, id)
	e.live.Unlock()
}

// status is the edge as it is served. It never waits for data.
func (e *Edge) status() experiment.EdgeStatus {
	e.live.Lock()
	open := len(e.links)
	e.live.Unlock()
	s := experiment.EdgeStatus{
		Name: e.name, From: e.spec.From, To: e.spec.To, Protocol: e.spec.Protocol,
		Listen: e.spec.Listen, Upstream: strings.Join(e.spec.Upstreams, ", "),
		Open: open, Accepted: e.accepted.Load(), Exchanges: e.exchanges.Load(),
		BytesIn: e.in.Load(), BytesOut: e.out.Load(), Asked: e.asked.status(),
	}
	if e.udp != nil {
		s.Dropped, s.Unreachable = e.udp.dropped.Load(), e.udp.unreachable.Load()
	}
	for _, a := range e.armed() {
		s.Faults = append(s.Faults, a.ID)
	}
	return s
}

// close stops accepting, lets live connections end until ctx is done, then cuts
// them; it returns when every goroutine of the edge has ended.
func (e *Edge) close(ctx context.Context) error {
	if e.udp == nil {
		e.closeListener()
	}
	quiet := make(chan struct{})
	e.draining.Store(true)
	if e.http != nil {
		e.http.drain()
	}
	if e.fast {
		e.ebb()
	}
	e.asked.lift()
	e.control.Lock()
	e.closed = true
	for _, a := range e.armed() {
		// Held bytes go on: whoever waits for the lift would wait for ever.
		if err := e.lift(a); err != nil {
			a.lift()
		}
	}
	e.control.Unlock()
	if e.udp != nil {
		e.udp.drain()
	}
	go func() { e.work.Wait(); close(quiet) }()
	var err error
	select {
	case <-quiet:
	case <-ctx.Done():
		err = fmt.Errorf("close %s: connections were cut: %w", e.name, context.Cause(ctx))
	}
	e.cancel()
	for _, l := range sorted(&e.live, e.links) {
		l.end("relay", GoesOn)
	}
	<-quiet
	if e.http != nil {
		e.http.close()
	}
	e.slots.add(-edgeFiles)
	return err
}

func compareStatus(a, b experiment.EdgeStatus) int { return cmp.Compare(a.Name, b.Name) }
