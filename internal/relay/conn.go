package relay

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const (
	// lingerTime is how long a connection that we close may go on sending before
	// it is cut: closing a socket with unread bytes would make a reset of it.
	lingerTime = 500 * time.Millisecond
	// lingerMost is how long it may last until the caller has taken what was sent.
	lingerMost = 30 * time.Second
	// lingerBytes is how much it may still send meanwhile, once it has.
	lingerBytes = 16 << 20
)

// stage is how far a connection has come.
type stage int32

const (
	waiting   stage = iota // accepted; not yet dialled
	dialling               // on its way to the callee
	open                   // both ends are connected
	lingering              // the callee's end is closed, the caller's about to be
	finished
)

// conn is a connection of a TCP edge: the caller's, and ours to the callee. It
// belongs to a loop; what mu guards, and what is atomic, is for all.
type conn struct {
	edge   *Edge
	loop   *loop
	id     uint64
	start  time.Time
	bytes  [2]atomic.Uint64
	first  time.Time // when the callee's first byte came
	stage  atomic.Int32
	dirty  atomic.Bool // hits have changed since the loop looked; set under mu
	held   atomic.Bool // its bytes are
	halved atomic.Bool // one way has ended

	// Of the loop alone.
	begun   bool   // the caller's wire is there
	ends    [2]end // the caller's, the callee's: the sources of the ways
	flows   [2]flow
	plans   [2]plan
	dialing *dialing
	hour    alarm // of the stage: the end of a wait, of a dial, of lingering
	fuses   []*alarm
	cut     bool      // a stage has ended it
	until   time.Time // lingers at most
	extra   int       // bytes read while lingering

	mu      sync.Mutex
	over    bool     // the connection is to end at once
	seen    []*armed // effects it was drawn for, hit or not
	hits    []*hit
	how     Ending    // how it was ended; GoesOn if both ways ended by themselves
	endBy   string    // who ended it
	endAt   time.Time // when both had, or it was to end at once
	broken  bool      // by other means than its sides did, one after the other
	applied []string  // names of the faults that hurt it and are no longer among hits
	to      netip.AddrPort
	host    string      // that the caller has called by TLS
	isOver  atomic.Bool // over, readable without mu
}

// newConn makes a connection whose caller's end is set later.
func newConn(e *Edge, l *loop, from netip.AddrPort) *conn {
	c := &conn{edge: e, loop: l, id: e.newID(), start: time.Now()}
	c.ends[Up] = end{fd: -1, addr: from}
	c.ends[Down] = end{fd: -1}
	c.flows[Up] = flow{conn: c, way: Up, moved: &e.in}
	c.flows[Down] = flow{conn: c, way: Down, moved: &e.out}
	return c
}

// begin is called on the loop, once the caller's wire is there.
func (c *conn) begin() {
	c.hour.ring = c.onHour
	c.begun = true
	for _, a := range c.edge.armed() {
		c.consider(a)
	}
	c.refresh()
}

// ready is called by the poller when a socket has become ready for something.
func (c *conn) ready(way Way, r readiness) {
	e := &c.ends[way]
	e.note(r)
	if r.ending && e.endedAt.IsZero() {
		e.endedAt = time.Now()
	}
	if c.dirty.Load() {
		c.refresh()
	}
	switch stage(c.stage.Load()) {
	case dialling:
		if way == Down {
			c.dialed(r)
			return
		}
	case lingering:
		c.linger()
		return
	case finished:
		return
	}
	if r.broken && c.gone(way) {
		return
	}
	if r.readable {
		c.flows[way].pump()
	}
	if r.writable {
		c.flows[1-way].pump()
	}
}

// gone ends the connection if a peer has reset it and nobody would notice by
// reading: its bytes are held, it waits for its callee, or its way is over. A FIN
// says nothing, and a callee's reset does not pass a hold.
func (c *conn) gone(way Way) bool {
	e := &c.ends[way]
	if c.cut && e.ending {
		c.end("", Reset)
		return true
	}
	f := &c.flows[way]
	unseen := f.done || f.stuck() || stage(c.stage.Load()) != open || c.plans[way].hold
	if !unseen || way == Down && c.plans[Down].hold || !e.reset {
		return false
	}
	c.fail(way)
	return true
}

// refresh looks at the hits again and goes on from there.
func (c *conn) refresh() {
	if s := stage(c.stage.Load()); s == finished || s == lingering {
		return
	}
	c.mu.Lock()
	c.dirty.Store(false)
	if !c.begun {
		c.mu.Unlock()
		return // begin will look
	}
	over, how := c.over, c.how
	for way := range c.plans {
		c.plans[way] = c.planLocked(Way(way))
	}
	until := c.patience()
	c.mu.Unlock()
	if over {
		c.wrapUp(how)
		return
	}
	c.held.Store(c.plans[Up].hold || c.plans[Down].hold)
	for way := range c.flows {
		c.flows[way].replan()
	}
	if stage(c.stage.Load()) == waiting {
		c.tryDial(until)
	}
	c.flows[Up].pump()
	c.flows[Down].pump()
	if c.ends[Up].ending && !c.isOver.Load() {
		c.gone(Up)
	}
}

// patience is until when a new connection is to wait. c.mu is held.
func (c *conn) patience() (until time.Time) {
	for _, h := range c.hits {
		if h.greet.After(until) {
			until = h.greet
		}
	}
	return until
}

// tryDial dials unless something holds the connection back.
func (c *conn) tryDial(until time.Time) {
	switch {
	case time.Now().Before(until):
		c.loop.setAlarm(&c.hour, until)
	case c.plans[Up].hold, c.plans[Up].swallow != nil:
		c.loop.setAlarm(&c.hour, time.Time{})
	default:
		c.dial()
	}
}

// onHour is called when the alarm of the stage rings.
func (c *conn) onHour() {
	switch stage(c.stage.Load()) {
	case waiting:
		c.refresh()
	case dialling:
		c.notDialed()
	case open:
		c.afterCut()
	case lingering:
		c.lingerOn()
	}
}

// plan is what is to be done with the bytes of one way.
type plan struct {
	hold    bool
	swallow *hit
	stages  []staged
	timed   bool // a stage may end the connection
}

func (c *conn) planLocked(way Way) plan {
	p := plan{hold: holding(c.hits, way)}
	for _, h := range c.hits {
		if h.swallows() && p.swallow == nil {
			p.swallow = h
		}
		if s := h.stage(way); s != nil {
			p.stages = append(p.stages, staged{h, s})
			_, timed := s.(Timed)
			p.timed = p.timed || timed
		}
	}
	return p
}

func holding(hits []*hit, way Way) bool {
	for _, h := range hits {
		if h.holds(way) {
			return true
		}
	}
	return false
}

// consider draws the connection for an effect, unless it was drawn already.
func (c *conn) consider(a *armed) { c.take(a, nil) }

// replace takes an effect off and draws the connection for another, which acts in
// its place.
func (c *conn) replace(old, a *armed) { c.take(a, old) }

func (c *conn) take(a, old *armed) {
	if !a.hurts(fault.Connection) || onLinks(a.Effect) || !a.fitsConn(c.client()) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || slices.Contains(c.seen, a) {
		return
	}
	var before *hit
	at := len(c.hits)
	if old != nil {
		before, at = c.dropLocked(old)
	}
	c.seen = append(c.seen, a)
	h := a.draw("", false)
	if h == nil {
		return
	}
	if h.holds(Up) || h.holds(Down) {
		h.act()
	}
	if g, ok := a.Effect.(Greeter); ok && stage(c.stage.Load()) == waiting {
		h.act()
		h.greet = c.start.Add(g.Greet(h.rand("greet")))
	}
	h.before = before
	c.hits = slices.Insert(c.hits, at, h)
	c.changed()
	if e, ok := a.Effect.(Ender); ok {
		c.fuse(h, e)
	}
}

// fuse ends the connection after a while, unless the effect is lifted first. c.mu
// is held.
func (c *conn) fuse(h *hit, e Ender) {
	after, how := e.End()
	if after <= 0 {
		c.strikeLocked(h.armed, how, h)
		return
	}
	at := time.Now().Add(after)
	c.loop.post(func() {
		if stage(c.stage.Load()) == finished {
			return
		}
		a := &alarm{ring: func() { c.strike(h.armed, how, h) }}
		c.fuses = append(c.fuses, a)
		c.loop.setAlarm(a, at)
	})
}

// strike ends the connection on an effect's word, unless that was lifted.
func (c *conn) strike(a *armed, how Ending, h *hit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.strikeLocked(a, how, h)
}

func (c *conn) strikeLocked(a *armed, how Ending, h *hit) bool {
	if c.over {
		return false
	}
	return a.strike(func() bool {
		first := true
		if h != nil {
			first = h.acted.CompareAndSwap(false, true)
		} else {
			c.applied = append(c.applied, a.Name)
		}
		c.endLocked("relay", how)
		return first
	})
}

func (c *conn) client() netip.Addr { return c.ends[Up].addr.Addr() }

// drop takes an effect off. Bytes it has delayed may leave at once; if it has
// lost some, the connection ends.
func (c *conn) drop(a *armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, _ := c.dropLocked(a)
	if h == nil || c.over {
		return
	}
	how := GoesOn
	if h.damaged.Load() {
		how = Close
	}
	if p, ok := a.Effect.(Parter); ok {
		how = max(how, p.Parting(h.acted.Load()))
	}
	if how != GoesOn {
		c.endLocked("relay", how)
	}
}

// dropLocked returns the hit that was taken off and its place, nil if there was
// none.
func (c *conn) dropLocked(a *armed) (*hit, int) {
	c.seen = slices.DeleteFunc(c.seen, func(s *armed) bool { return s == a })
	i := slices.IndexFunc(c.hits, func(h *hit) bool { return h.armed == a })
	if i < 0 {
		return nil, len(c.hits)
	}
	h := c.hits[i]
	c.hits = slices.Delete(c.hits, i, i+1)
	h.end()
	c.applied = append(c.applied, names([]*hit{h})...)
	c.changed() // first: what is let go below must not meet the old plan again
	if _, ok := a.Effect.(Stager); ok {
		c.loop.post(func() {
			for way := range c.flows {
				if q := c.flows[way].q; q != nil {
					q.unend(a)
					q.drop(a)
					c.loop.again(&c.flows[way])
				}
			}
		})
	}
	return h, i
}

// changed makes the loop look at the hits again: before anything else is done with
// the connection, and soon. c.mu is held.
func (c *conn) changed() {
	if c.dirty.CompareAndSwap(false, true) {
		c.loop.post(func() {
			if c.dirty.Load() {
				c.refresh()
			}
		})
	}
}

// came notes that a flow has read bytes: on the way up they count from here.
func (c *conn) came(f *flow, n int) {
	if f.way == Up {
		c.count(f, n)
	} else if c.first.IsZero() {
		c.first = time.Now()
	}
}

// left counts bytes that a flow has written: on the way down they count here.
func (c *conn) left(f *flow, n int) {
	if f.way == Down {
		c.count(f, n)
	}
}

func (c *conn) count(f *flow, n int) {
	c.bytes[f.way].Add(uint64(n))
	f.moved.Add(uint64(n))
}

// status is the connection as it is listed.
func (c *conn) status(now time.Time) experiment.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := experiment.Connection{
		ID: c.id, Edge: c.edge.name, Client: c.ends[Up].addr.String(), Since: c.start, Age: now.Sub(c.start).Seconds(),
		BytesIn: c.bytes[Up].Load(), BytesOut: c.bytes[Down].Load(),
		State: [...]string{"waiting", "connecting", "open", "closing", "closing"}[c.stage.Load()],
	}
	switch {
	case c.held.Load():
		s.State = "held"
	case s.State == "open" && c.halved.Load():
		s.State = "half-closed"
	}
	if c.to.IsValid() {
		s.Upstream = c.to.String()
	}
	for _, h := range c.hits {
		s.Faults = append(s.Faults, h.ID)
	}
	return s
}
