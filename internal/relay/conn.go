package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// lingerTime is how long a connection that we close may go on sending before it
// is cut: closing a socket with unread bytes would make a reset of it.
const lingerTime = 500 * time.Millisecond

// past is a deadline that wakes whoever reads or writes.
var past = time.Unix(1, 0)

// conn is a connection of a TCP edge: the caller's, and ours to the callee.
type conn struct {
	edge   *Edge
	id     uint64
	caller *net.TCPConn
	start  time.Time
	flows  [2]flow
	bytes  [2]atomic.Uint64
	first  atomic.Int64 // unix nanoseconds of the callee's first byte

	answered atomic.Bool // the way down is over

	over    chan struct{} // closed when the connection is to end at once
	version atomic.Uint64 // of hits; changes under mu

	mu      sync.Mutex
	callee  *net.TCPConn
	cancel  context.CancelFunc // ends a dial; nil before
	seen    map[*armed]bool    // effects it was drawn for, hit or not
	hits    []*hit
	how     Ending   // how it was ended; GoesOn if both ways ended by themselves
	endBy   string   // who ended it
	applied []string // names of the faults that hurt it and are no longer among hits
	fuses   sync.WaitGroup
	burnt   []*time.Timer
}

func newConn(e *Edge, id uint64, caller *net.TCPConn) *conn {
	c := &conn{edge: e, id: id, caller: caller, start: time.Now(), over: make(chan struct{}), seen: map[*armed]bool{}}
	for way := range c.flows {
		c.flows[way] = flow{conn: c, way: Way(way), wake: make(chan struct{}, 1)}
	}
	c.flows[Up].moved, c.flows[Down].moved = &e.in, &e.out
	return c
}

// serve carries the connection from its acceptance to its end.
func (c *conn) serve(ctx context.Context) {
	defer c.finish()
	for _, a := range c.edge.armed() {
		c.consider(a)
	}
	if !c.connect(ctx) {
		return
	}
	var up sync.WaitGroup
	up.Go(c.flows[Up].run)
	c.flows[Down].run()
	c.answered.Store(true)
	c.caller.SetReadDeadline(past)
	up.Wait()
}

// connect waits until nothing holds the request back, and dials.
func (c *conn) connect(ctx context.Context) bool {
	up, down := &c.flows[Up], &c.flows[Down]
	pull, err := newPuller(c.caller)
	if err != nil {
		return false
	}
	c.mu.Lock()
	up.src, down.dst, up.pull = c.caller, c.caller, pull
	c.mu.Unlock()
	for !c.isOver() {
		drain(up.wake)
		p := c.plan(Up)
		c.caller.SetReadDeadline(time.Time{})
		if c.version.Load() != p.version {
			continue
		}
		switch {
		case p.hold:
			if err := up.held(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				c.fail(Up, err)
			}
		case p.swallow != nil:
			p.swallow.act()
			if err := up.swallow(p); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				c.fail(Up, err)
			}
		default:
			return c.dial(ctx)
		}
	}
	return false
}

func (c *conn) dial(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	over := c.isOver()
	c.mu.Unlock()
	if over {
		return false
	}
	stop := c.watch()
	callee, err := c.edge.dial(ctx)
	stop()
	if err != nil {
		c.end("callee", Reset)
		return false
	}
	pull, err := newPuller(callee)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callee = callee
	c.flows[Up].dst, c.flows[Down].src, c.flows[Down].pull = callee, callee, pull
	if c.isOver() && c.how == Reset {
		callee.SetLinger(0)
	}
	return err == nil && !c.isOver()
}

// watch ends the connection, and with it a dial, if the caller resets it, until
// stop is called, which waits.
func (c *conn) watch() (stop func()) {
	var stopped atomic.Bool
	var work sync.WaitGroup
	work.Go(func() { c.flows[Up].lurk(&stopped) })
	return func() {
		stopped.Store(true)
		c.caller.SetReadDeadline(past)
		work.Wait()
	}
}

// consider draws the connection for an effect, unless it was drawn already.
func (c *conn) consider(a *armed) {
	if a.unit != fault.Connection {
		return
	}
	switch a.Effect.(type) {
	case Refuser, Sweeper: // act on links, by themselves
		return
	}
	c.mu.Lock()
	if c.seen[a] || c.isOver() {
		c.mu.Unlock()
		return
	}
	h := a.draw("", false)
	c.seen[a] = true
	if h == nil {
		c.mu.Unlock()
		return
	}
	if h.holds(Up) || h.holds(Down) {
		h.act()
	}
	c.hits = append(c.hits, h)
	c.changed()
	c.mu.Unlock()
	if e, ok := a.Effect.(Ender); ok {
		c.fuse(h, e)
	}
}

// fuse ends the connection after a while, unless the effect is lifted first.
func (c *conn) fuse(h *hit, e Ender) {
	after, how := e.End()
	burn := func() { c.strike(h.armed, how, h) }
	if after <= 0 {
		burn()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return
	}
	c.fuses.Add(1)
	c.burnt = append(c.burnt, time.AfterFunc(after, func() {
		defer c.fuses.Done()
		burn()
	}))
}

// strike ends the connection on an effect's word, unless that was lifted.
func (c *conn) strike(a *armed, how Ending, h *hit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return false
	}
	return a.strike(func() {
		if h != nil {
			h.acted.Store(true)
		} else {
			c.applied = append(c.applied, a.Name)
		}
		c.endLocked("relay", how)
	})
}

// drop takes an effect off. Bytes it has delayed may leave at once; if it has
// lost some, the connection ends.
func (c *conn) drop(a *armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, a)
	for i, h := range c.hits {
		if h.armed != a {
			continue
		}
		c.hits = append(c.hits[:i:i], c.hits[i+1:]...)
		for way := range c.flows {
			if q := c.flows[way].q; q != nil {
				q.drop(a)
			}
		}
		c.changed()
		h.end()
		c.applied = append(c.applied, names([]*hit{h})...)
		if h.damaged.Load() {
			c.endLocked("relay", Close)
		}
		return
	}
}

// changed makes both flows look at the hits again. c.mu is held.
func (c *conn) changed() {
	c.version.Add(1)
	for way := range c.flows {
		f := &c.flows[way]
		if f.q != nil {
			f.q.hold(holding(c.hits, Way(way)))
		}
		signal(f.wake)
		if f.src != nil {
			f.src.SetReadDeadline(past)
		}
	}
}

func holding(hits []*hit, way Way) bool {
	for _, h := range hits {
		if h.holds(way) {
			return true
		}
	}
	return false
}

func (c *conn) plan(way Way) plan {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := plan{version: c.version.Load(), hold: holding(c.hits, way)}
	for _, h := range c.hits {
		if h.swallows() && p.swallow == nil {
			p.swallow = h
		}
		if s := h.stage(way); s != nil {
			p.stages = append(p.stages, staged{h, s})
		}
	}
	return p
}

// came notes that a flow has read bytes: on the way up they count from here.
func (c *conn) came(f *flow, n int) {
	switch {
	case n <= 0:
	case f.way == Up:
		c.count(f, n)
	case c.first.Load() == 0:
		c.first.Store(time.Now().UnixNano())
	}
}

// left counts bytes that a flow is about to write: on the way down they count
// from here. Those that could not be written it is told of again, below 0.
func (c *conn) left(f *flow, n int) {
	if f.way == Down {
		c.count(f, n)
	}
}

func (c *conn) count(f *flow, n int) {
	c.bytes[f.way].Add(uint64(n))
	f.moved.Add(uint64(n))
}

// resetBehind tells whether an end of stream that f has read was a reset.
func (c *conn) resetBehind(f *flow) bool {
	// In this order: a FIN of ours that is answered ends the socket, too.
	return wasReset(f.src) && !c.flows[1-f.way].shut.Load()
}

// ended notes who has ended the connection first.
func (c *conn) ended(way Way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.endBy == "" {
		c.endBy = [...]string{Up: "caller", Down: "callee"}[way]
	}
}

// fail ends the connection after an error of a flow: whatever broke, both sides
// see a reset, as they would have without us.
func (c *conn) fail(way Way, err error) {
	var w writeError
	if errors.As(err, &w) {
		way = 1 - way
	}
	c.ended(way)
	c.end("", Reset)
}

func (c *conn) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// end makes the connection end now. It does not block: the connection's own
// goroutines close the sockets.
func (c *conn) end(by string, how Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(by, how)
}

func (c *conn) endLocked(by string, how Ending) {
	if c.isOver() {
		return
	}
	if by != "" && c.endBy == "" {
		c.endBy = by
	}
	c.how = how
	close(c.over)
	if c.cancel != nil {
		c.cancel()
	}
	for _, s := range []*net.TCPConn{c.caller, c.callee} {
		if s == nil {
			continue
		}
		if how == Reset {
			s.SetLinger(0)
		} else {
			s.CloseWrite()
		}
		s.SetDeadline(past)
	}
}

// finish closes what is open and reports the connection.
func (c *conn) finish() {
	c.end("", GoesOn)
	c.mu.Lock()
	for _, t := range c.burnt {
		if t.Stop() {
			c.fuses.Done()
		}
	}
	hits, by := c.hits, c.endBy
	c.hits = nil
	c.mu.Unlock()
	c.fuses.Wait()
	if c.callee != nil {
		c.callee.Close()
	}
	if c.how == Close {
		linger(c.caller)
	}
	c.caller.Close()
	for way := range c.flows {
		c.flows[way].carry.release()
	}
	c.edge.forget(c.id)
	x := experiment.Exchange{
		Edge: c.edge.name, Conn: c.id, Start: c.start, End: time.Now(), EndedBy: by,
		BytesIn: c.bytes[Up].Load(), BytesOut: c.bytes[Down].Load(), Faults: append(c.applied, names(hits)...),
	}
	if ns := c.first.Load(); ns != 0 {
		x.FirstByte = time.Unix(0, ns)
	}
	for _, h := range hits {
		h.end()
	}
	c.edge.report(x)
}

// linger reads what still comes until the peer has closed, too, for a while.
func linger(c *net.TCPConn) {
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, io.LimitReader(c, 16<<20))
}

// names lists the faults that have hurt a unit.
func names(hits []*hit) []string {
	var all []string
	for _, h := range hits {
		if h.acted.Load() {
			all = append(all, h.Name)
		}
	}
	return all
}
