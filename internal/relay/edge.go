package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
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
	// drop takes an effect off.
	drop(a *armed)
}

// link is a caller's connection, whatever the edge sees in it.
type link interface {
	// strike ends it on an effect's word. h is nil for effects on links.
	strike(a *armed, how Ending, h *hit) bool
	// end ends it; it does not block.
	end(by string, how Ending)
}

// Edge is one edge with its listener, its live connections and the effects armed
// on it. All methods may be called concurrently.
type Edge struct {
	name   string
	spec   Spec
	port   *port
	budget *budget
	slots  *slots
	full   func()
	report func(experiment.Exchange)
	http   *httpEdge // nil on TCP edges

	dialTime time.Duration

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // the accept loop, connections, leases, sweeps
	nextUp atomic.Uint64
	lastID atomic.Uint64

	accepted, exchanges, in, out atomic.Uint64

	control sync.Mutex // serialises Arm and Lift
	past    []pastReceipt
	closed  bool

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

// Arm puts an effect in force and returns once it is, also on connections that
// are open. An id is armed at most once; ErrArmed otherwise.
func (e *Edge) Arm(arm Armed) error {
	a, err := newArmed(arm, e.name, e.http != nil)
	if err != nil {
		return err
	}
	e.control.Lock()
	defer e.control.Unlock()
	if e.closed {
		return fmt.Errorf("arm %s on %s: %w", a.ID, e.name, ErrClosed)
	}
	taken := slices.ContainsFunc(e.past, func(p pastReceipt) bool { return p.id == a.ID })
	if taken || e.find(a.ID) != nil {
		return fmt.Errorf("arm %s on %s: %w", a.ID, e.name, ErrArmed)
	}
	refuser, refuses := a.Effect.(Refuser)
	if refuses {
		if err := e.port.refuse(); err != nil {
			return fmt.Errorf("arm %s: %w", a.ID, err)
		}
	}
	chain := append(slices.Clone(e.armed()), a)
	e.chain.Store(&chain)
	for _, u := range sorted(&e.live, e.units) {
		u.consider(a)
	}
	if refuses {
		e.refuseNow(a, refuser.Refuses())
	}
	if s, ok := a.Effect.(Sweeper); ok {
		e.startSweep(a, s)
	}
	if !a.Until.IsZero() {
		e.work.Add(1)
		a.lease = time.AfterFunc(time.Until(a.Until), func() { e.expire(a) })
	}
	return nil
}

// expire lifts an effect whose lease is over; while that fails, again and again.
func (e *Edge) expire(a *armed) {
	e.control.Lock()
	defer e.control.Unlock()
	if e.find(a.ID) == a && !e.closed {
		if err := e.lift(a); err != nil {
			a.lease.Reset(time.Second)
			return
		}
	}
	e.work.Done()
}

// Lift takes an effect out and returns once it is gone: no unit will be hurt any
// more, the receipt is final, bytes that were held or delayed may leave. It does
// nothing if the effect is not in force. An error says that the listener could
// not be brought back; the effect is then still in force.
func (e *Edge) Lift(id string) error {
	e.control.Lock()
	defer e.control.Unlock()
	a := e.find(id)
	if a == nil {
		return nil
	}
	return e.lift(a)
}

// lift is called under control.
func (e *Edge) lift(a *armed) error {
	others := slices.DeleteFunc(slices.Clone(e.armed()), func(o *armed) bool { return o == a })
	if _, ok := a.Effect.(Refuser); ok && !slices.ContainsFunc(others, refusing) {
		if err := e.port.serve(e.ctx); err != nil {
			return fmt.Errorf("lift %s: %w", a.ID, err)
		}
	}
	if len(others) == 0 {
		e.chain.Store(nil)
	} else {
		e.chain.Store(&others)
	}
	a.lift()
	for _, u := range sorted(&e.live, e.units) {
		u.drop(a)
	}
	if a.lease != nil && a.lease.Stop() {
		e.work.Done()
	}
	if a.swept != nil {
		<-a.swept
	}
	if len(e.past) == pastReceipts {
		e.past = slices.Delete(e.past, 0, 1)
	}
	e.past = append(e.past, pastReceipt{a.ID, a.counts()})
	return nil
}

func refusing(a *armed) bool { _, ok := a.Effect.(Refuser); return ok }

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

// refuseNow counts the listener that was closed, and resets what is open.
func (e *Edge) refuseNow(a *armed, keepOpen bool) {
	if h := a.draw("", false); h != nil {
		h.act()
	}
	if keepOpen {
		return
	}
	for _, l := range sorted(&e.live, e.links) {
		if h := a.draw("", false); h != nil {
			l.strike(a, Reset, nil)
		}
	}
}

// startSweep sweeps once, and then at every interval until the lift.
func (e *Edge) startSweep(a *armed, s Sweeper) {
	every, how := s.Sweep()
	e.sweep(a, how)
	if every <= 0 {
		return
	}
	a.swept = make(chan struct{})
	e.work.Go(func() {
		defer close(a.swept)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				e.sweep(a, how)
			case <-a.gone:
				return
			}
		}
	})
}

// sweep draws every live connection and ends those that are drawn.
func (e *Edge) sweep(a *armed, how Ending) {
	var drawn []*hit
	for _, l := range sorted(&e.live, e.links) {
		if h := a.draw("", false); h != nil {
			drawn = append(drawn, h)
			l.strike(a, how, nil)
		}
	}
	for _, h := range drawn {
		h.end()
	}
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
		e.accepted.Add(1)
		id := e.lastID.Add(1)
		if e.turnedAway(c) {
			e.slots.add(-connFiles)
			continue
		}
		if e.http != nil {
			e.http.take(c, id)
			continue
		}
		conn := newConn(e, id, c)
		e.live.Lock()
		e.links[id], e.units[id] = conn, conn
		e.live.Unlock()
		e.work.Go(func() { conn.serve(e.ctx) })
	}
}

// turnedAway resets a connection that was on its way in when the listener closed.
func (e *Edge) turnedAway(c *net.TCPConn) bool {
	armed := e.armed()
	i := slices.IndexFunc(armed, refusing)
	if i < 0 || armed[i].draw("", false) == nil {
		return false
	}
	return armed[i].strike(func() {
		c.SetLinger(0)
		c.Close()
	})
}

// dial connects to the callee's next address, for at most 30 seconds.
func (e *Edge) dial(ctx context.Context) (*net.TCPConn, error) {
	n := e.nextUp.Add(1) - 1
	addr := e.spec.Upstreams[n%uint64(len(e.spec.Upstreams))]
	d := net.Dialer{Timeout: e.dialTime}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
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
		BytesIn: e.in.Load(), BytesOut: e.out.Load(),
	}
	for _, a := range e.armed() {
		s.Faults = append(s.Faults, a.ID)
	}
	return s
}

// close stops accepting, lets live connections end until ctx is done, then cuts
// them; it returns when every goroutine of the edge has ended.
func (e *Edge) close(ctx context.Context) error {
	e.port.close()
	quiet := make(chan struct{})
	if e.http != nil {
		e.http.drain()
	}
	e.control.Lock()
	e.closed = true
	for _, a := range e.armed() {
		// Held bytes go on: whoever waits for the lift would wait for ever.
		if err := e.lift(a); err != nil {
			a.lift()
		}
	}
	e.control.Unlock()
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
