package relay

import (
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// h1Conn is a caller's connection to an HTTP edge on which nothing is armed: plain
// HTTP/1.1, one request at a time, carried by a loop. Before it forwards the head of
// a request that is anything else, or that an effect might hurt, it gives the
// connection to the server of the edge (see handOver); from an effect it comes back.
// What mu guards, and what is atomic, is for all; the rest is the loop's.
type h1Conn struct {
	edge   *Edge
	loop   *loop
	id     uint64
	start  time.Time
	from   netip.AddrPort
	bytes  [2]atomic.Uint64
	dirty  atomic.Bool // the loop is to look at what mu guards; set under mu
	isOver atomic.Bool // over, readable without mu
	held   [2]atomic.Bool

	begun   bool // the caller's wire is there
	ends    [2]end
	stage   stage // waiting: there is no connection to the callee
	dialing *dialing
	served  int       // exchanges on this connection to the callee
	ahead   []byte    // read from the caller, not yet taken
	answer  []byte    // the beginning of an answer's head
	rest    [2][]byte // read and looked at, still to be written
	x       h1Exchange
	sum     *bodySum     // of the body under way; nil until one was hashed
	saw     func([]byte) // adds to it
	hour    alarm        // of the stage: the end of a head, of a dial, of lingering
	bufs    [1][]byte    // for writing
	until   time.Time    // lingers at most
	extra   int          // bytes read while lingering

	mu      sync.Mutex
	over    bool   // it is to end at once
	moved   bool   // it is the server's now, or soon
	heir    link   // what it is there; nil until then
	struck  bool   // it was ended on its way there
	under   bool   // an exchange is under way: its head is being forwarded, or was
	how     Ending // how it was ended
	by      string // who ended it, if it was the relay
	applied []string
	seen    []*armed // effects that the exchange was drawn for
	hits    []*hit
	to      netip.AddrPort
}

// newH1 makes a connection; list lists it.
func newH1(e *Edge, l *loop, id uint64, from netip.AddrPort) *h1Conn {
	c := &h1Conn{edge: e, loop: l, id: id, start: time.Now(), from: from}
	c.ends[Up] = end{fd: -1, addr: from}
	c.ends[Down] = end{fd: -1}
	c.hour.ring = c.onHour
	return c
}

// list makes the connection one of the edge's.
func (c *h1Conn) list() {
	c.loop.live.Add(1)
	c.edge.work.Add(1)
	c.edge.live.Lock()
	c.edge.links[c.id], c.edge.units[c.id] = c, c
	c.edge.live.Unlock()
}

// begin is called on the loop, once the caller's wire is there.
func (c *h1Conn) begin() {
	c.begun = true
	c.loop.setAlarm(&c.hour, c.start.Add(c.edge.headTime))
	c.resume()
}

// ready is called by the poller when a socket has become ready for something.
func (c *h1Conn) ready(way Way, r readiness) {
	e := &c.ends[way]
	e.note(r)
	switch {
	case c.stage == finished:
		return
	case c.stage == lingering:
		c.linger()
		return
	case c.stage == dialling && way == Down:
		c.dialed(r)
		return
	case way == Up && e.reset:
		c.left()
	}
	if way == Up && r.readable || way == Down && r.writable {
		c.pumpUp()
	}
	if way == Down && r.readable || way == Up && r.writable {
		c.pumpDown()
	}
}

// left ends the connection because its caller has left.
func (c *h1Conn) left() {
	c.end("", GoesOn)
	c.refresh()
}

// onHour is called when the alarm of the stage rings.
func (c *h1Conn) onHour() {
	switch c.stage {
	case dialling:
		c.notDialed()
	case lingering:
		c.lingerOn()
	default: // no head came in time
		c.end("relay", Close)
		c.refresh()
	}
}

// refresh does what others want of the connection.
func (c *h1Conn) refresh() {
	if !c.begun {
		return // begin will look
	}
	c.mu.Lock()
	c.dirty.Store(false)
	over, moved, how := c.over, c.moved, c.how
	c.mu.Unlock()
	if over && !moved {
		c.wrapUp(how)
	}
}

// resume is refresh, and goes on from there.
func (c *h1Conn) resume() {
	c.refresh()
	c.pump()
}

// ended tells whether nothing more is to be done.
func (c *h1Conn) ended() bool {
	if c.dirty.Load() {
		c.refresh()
	}
	return !c.begun || c.stage == finished || c.stage == lingering || c.isOver.Load()
}

func (c *h1Conn) pump() {
	c.pumpUp()
	c.pumpDown()
}

// pumpUp moves what can be moved from the caller to the callee.
func (c *h1Conn) pumpUp() {
	for range turns {
		if c.ended() || !c.stepUp() {
			return
		}
	}
	c.loop.post(c.pumpUp) // others have their turn
}

// pumpDown moves what can be moved from the callee to the caller.
func (c *h1Conn) pumpDown() {
	for range turns {
		if c.ended() || !c.stepDown() {
			return
		}
	}
	c.loop.post(c.pumpDown)
}

// stepUp does one thing; false if nothing can be done until something happens.
func (c *h1Conn) stepUp() bool {
	switch {
	case c.stage == dialling:
		return c.watch()
	case len(c.rest[Up]) > 0:
		return !c.held[Up].Load() && c.flush(Up)
	case !c.x.under:
		return c.nextRequest()
	case !c.x.up.done:
		return !c.held[Up].Load() && c.moreRequest()
	}
	return c.watch()
}

// stepDown is stepUp for the other way.
func (c *h1Conn) stepDown() bool {
	switch {
	case c.stage != open:
		return false
	case c.x.under && c.held[Down].Load():
		return false
	case len(c.rest[Down]) > 0:
		return c.flush(Down)
	case c.x.down.done:
		c.exchanged()
		return true
	case !c.ends[Down].readable:
		return false
	case !c.x.under:
		return c.idleCallee()
	}
	return c.moreAnswer()
}

// read reads once; false if there was nothing, which ended tells whether it is the
// end of the stream: nil if it is not.
func (c *h1Conn) read(way Way, b []byte) (n int, ended error) {
	src := &c.ends[way]
	n, err := src.wire.read(b)
	switch {
	case err == errAgain:
		src.readable, src.urgent = false, false
		return 0, nil
	case err != nil:
		return 0, err
	}
	if n < len(b) && !src.ending && !src.urgent {
		src.readable = false // the poller will tell of more
	}
	if way == Up {
		c.bytes[Up].Add(uint64(n))
		c.edge.in.Add(uint64(n))
	}
	return n, nil
}

// write writes bytes that are the loop's; what is not taken is kept.
func (c *h1Conn) write(way Way, b []byte) bool {
	if len(c.rest[way]) > 0 {
		c.rest[way] = append(c.rest[way], b...)
		return false
	}
	n, err := c.send(way, b)
	if err != nil {
		c.broke(way)
		return false
	}
	if n < len(b) {
		c.rest[way] = append(c.rest[way][:0], b[n:]...)
		return false
	}
	return true
}

// send writes once. A socket that is full is no error.
func (c *h1Conn) send(way Way, b []byte) (int, error) {
	dst := &c.ends[1-way]
	if len(b) == 0 {
		return 0, nil
	}
	c.bufs[0] = b
	n, err := dst.wire.write(c.bufs[:])
	c.bufs[0] = nil
	if way == Down && n > 0 {
		c.bytes[Down].Add(uint64(n))
		c.edge.out.Add(uint64(n))
	}
	if n < len(b) {
		dst.writable = false
	}
	if err == errAgain {
		err = nil
	}
	return n, err
}

// broke is called when a write has failed. What the callee has said before it broke
// is still to be read.
func (c *h1Conn) broke(way Way) {
	if way == Down {
		c.left()
		return
	}
	c.rest[Up], c.x.up.done, c.x.closes = nil, true, true
	c.ends[Down].readable = true
}

func (c *h1Conn) flush(way Way) bool {
	if !c.ends[1-way].writable {
		return false
	}
	n, err := c.send(way, c.rest[way])
	if err != nil {
		c.broke(way)
		return true
	}
	if c.rest[way] = c.rest[way][n:]; len(c.rest[way]) == 0 {
		c.rest[way] = nil
	}
	return true
}

// watch notices that the caller leaves while nobody wants its bytes. One who has
// sent more before that is there as long as they wait.
func (c *h1Conn) watch() bool {
	src := &c.ends[Up]
	most := 1 // bytes that wait
	if c.stage == dialling {
		most = aheadLimit
	}
	if !src.ending || !src.readable || len(c.ahead) >= most {
		return false
	}
	b := c.loop.block.buf
	n, ended := c.read(Up, b)
	if ended != nil {
		c.left()
		return false
	}
	c.ahead = append(c.ahead, b[:n]...)
	return n > 0
}

// idleCallee looks at a callee that says something without being asked, or ends its
// connection: the caller sees the end of its own.
func (c *h1Conn) idleCallee() bool {
	if n, ended := c.read(Down, c.loop.block.buf); n == 0 && ended == nil {
		return false
	}
	if len(c.ahead) > 0 || c.ends[Up].readable { // it asks already, and is asked elsewhere
		c.hangUp()
		c.loop.post(c.pumpUp)
		return false
	}
	c.end("", Close)
	c.refresh()
	return false
}

// hangUp closes the connection to the callee.
func (c *h1Conn) hangUp() {
	c.dialing.stop()
	c.dialing = nil
	if w := c.ends[Down].wire; w != nil {
		w.close(false)
	}
	c.ends[Down] = end{fd: -1}
	c.served = 0
	if c.stage == open || c.stage == dialling {
		c.stage = waiting
	}
}

// status is the connection as it is listed.
func (c *h1Conn) status(now time.Time) experiment.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := experiment.Connection{
		ID: c.id, Edge: c.edge.name, Client: c.from.String(), Since: c.start, Age: now.Sub(c.start).Seconds(),
		BytesIn: c.bytes[Up].Load(), BytesOut: c.bytes[Down].Load(), State: "open",
	}
	if c.to.IsValid() {
		s.Upstream = c.to.String()
	}
	return s
}

func (c *h1Conn) client() netip.Addr { return c.from.Addr() }

// isEOF tells an end from a break.
func isEOF(err error) bool { return err == io.EOF }
