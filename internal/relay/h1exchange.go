package relay

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// answerHeadMost is how long the head of an answer may be, in bytes, and so may be all
// interim answers before it.
const answerHeadMost = 1 << 20

// h1Exchange is one request and its answer on the fast path.
type h1Exchange struct {
	under   bool   // its head is being forwarded, or was
	counted bool   // among the edge's
	head    []byte // of the request, as it came; written under the connection's mu
	req     h1Head
	resp    h1Head
	up      h1Body
	down    h1Body
	status  int  // 0 before the answer
	interim int  // bytes of answers before the answer
	closes  bool // the connection ends with it
	by      string
	whole   bool // the answer has left
	retry   fault.Duration
	start   time.Time
	lastIn  time.Time
	first   time.Time
	call    h1Call
}

// nextRequest takes a request, if there is a head.
func (c *h1Conn) nextRequest() bool {
	if len(c.ahead) > 0 {
		if v := c.x.req.readRequest(c.ahead); v != unfinished {
			return c.found(v, c.ahead, true)
		}
	}
	if !c.ends[Up].readable {
		return false
	}
	b := c.loop.block.buf
	n, ended := c.read(Up, b)
	switch {
	case ended != nil:
		c.left()
		return false
	case n == 0:
		return false
	}
	if len(c.ahead) == 0 {
		if v := c.x.req.readRequest(b[:n]); v != unfinished {
			return c.found(v, b[:n], false)
		}
		if c.hour.slot == 0 {
			c.loop.setAlarm(&c.hour, time.Now().Add(c.edge.headTime))
		}
	}
	c.ahead = append(c.ahead, b[:n]...)
	return true
}

// found goes on with the head at the start of b. own tells whether b is c.ahead; else
// it is the loop's.
func (c *h1Conn) found(v verdict, b []byte, own bool) bool {
	if c.hour.slot != 0 {
		c.loop.setAlarm(&c.hour, time.Time{})
	}
	if v == unusual {
		if c.served > 0 { // an empty line after a body; the server knows of none
			b = bytes.TrimPrefix(b, []byte("\r\n"))
		}
		c.handOver(b, false)
		return false
	}
	if c.x.start.IsZero() {
		c.x.start = time.Now()
	}
	return c.request(b, own)
}

// request forwards the request at the start of b, once the callee is there.
func (c *h1Conn) request(b []byte, own bool) bool {
	// On a new connection it is asked whatever it says, not dialled anew for ever.
	if c.stage == open && (c.served == 0 || !c.ends[Down].readable) {
		return c.forward(b, own)
	}
	if !own {
		c.ahead = append(c.ahead, b...)
	}
	if c.stage == open { // it has ended the connection, or speaks out of turn
		if n, ended := c.read(Down, c.loop.block.buf); n == 0 && ended == nil {
			return true
		}
		c.hangUp()
	}
	if c.mayBeHurt() {
		c.handOver(c.ahead, true)
		return false
	}
	c.dial()
	return true
}

// mayBeHurt tells whether an effect is in force that a request of the connection
// could be drawn for.
func (c *h1Conn) mayBeHurt() bool { return c.edge.mayHurt(c.client()) }

// mayHurt tells whether an effect is in force that a request of this caller could be
// drawn for.
func (e *Edge) mayHurt(from netip.Addr) bool {
	for _, a := range e.armed() {
		if a.hurts(fault.Exchange) && !a.asleep() && a.match.fitsClient(from) {
			return true
		}
	}
	return false
}

// forward writes the head of a request, and what has come of its body. Nothing may
// come to be in force between the look at what is and the write.
func (c *h1Conn) forward(b []byte, own bool) bool {
	x := &c.x
	size := x.req.size
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return false
	}
	if c.mayBeHurt() {
		c.mu.Unlock()
		c.handOver(b, true)
		return false
	}
	c.under, x.under = true, true
	c.count()
	c.keepHead(b[:size])
	used, kept := 0, 0
	if !x.req.chunks {
		used, kept, _ = x.up.pass(b[size:])
	}
	at := x.req.trim(b)
	n, err := c.send(Up, b[at:size+kept])
	c.mu.Unlock()
	if err != nil && n == 0 && c.served > 0 {
		return c.again(b)
	}
	switch {
	case err != nil:
		c.broke(Up)
	case n < size+kept-at:
		c.rest[Up] = append(c.rest[Up][:0], b[at+n:size+kept]...)
	}
	c.keep(b[size+used:], own)
	if x.req.length <= 0 && !x.req.chunks {
		x.lastIn = x.start
	} else if x.up.done {
		c.bodyRead()
	}
	return true
}

// keepHead keeps the head of the request, and looks forward to its body.
func (c *h1Conn) keepHead(head []byte) {
	x := &c.x
	x.head = append(x.head[:0], head...)
	if x.req.chunks {
		x.up = newBody(byChunks, 0, false)
	} else {
		x.up = newBody(byLength, x.req.length, false)
	}
	if c.edge.ear.on() {
		c.identify()
	}
}

// count counts the exchange, before the callee sees anything of it.
func (c *h1Conn) count() {
	if !c.x.counted {
		c.x.counted = true
		c.edge.exchanges.Add(1)
	}
}

// again asks on a new connection: the callee has closed the one that it was asked on
// before a byte was sent.
func (c *h1Conn) again(b []byte) bool {
	c.mu.Lock()
	c.under, c.x.under = false, false
	c.mu.Unlock()
	c.ahead = append(slices.Clone(c.x.head), b[c.x.req.size:]...)
	c.hangUp()
	return true
}

// keep keeps what was read from the caller and not taken. own tells whether it is
// part of c.ahead.
func (c *h1Conn) keep(rest []byte, own bool) {
	switch {
	case len(rest) == 0:
		if c.ahead = c.ahead[:0]; cap(c.ahead) > 4<<10 {
			c.ahead = nil
		}
	case own:
		c.ahead = c.ahead[:copy(c.ahead, rest)]
	default:
		c.ahead = append(c.ahead[:0], rest...)
	}
}

// moreRequest forwards more of a request's body.
func (c *h1Conn) moreRequest() bool {
	b, own := c.ahead, true
	if len(b) == 0 {
		if !c.ends[Up].readable {
			return false
		}
		n, ended := c.read(Up, c.loop.block.buf)
		if ended != nil {
			c.left()
			return false
		}
		if n == 0 {
			return false
		}
		b, own = c.loop.block.buf[:n], false
	}
	used, kept, err := c.x.up.pass(b)
	if err != nil {
		c.end("", Reset)
		return true
	}
	if c.x.up.done {
		c.bodyRead()
	}
	ok := c.write(Up, b[:kept])
	c.keep(b[used:], own)
	return ok
}

// moreAnswer forwards more of an answer.
func (c *h1Conn) moreAnswer() bool {
	x := &c.x
	b := c.loop.block.buf
	n, ended := c.read(Down, b)
	switch {
	case ended != nil:
		c.calleeEnded(isEOF(ended))
		return true
	case n == 0:
		return false
	}
	if x.first.IsZero() {
		x.first = time.Now()
	}
	if x.status == 0 {
		return c.answerHead(b[:n])
	}
	return c.answerBody(b[:n], 0)
}

// answerBody forwards the start of b as it is, and of the rest what belongs to the
// body.
func (c *h1Conn) answerBody(b []byte, from int) bool {
	used, kept, err := c.x.down.pass(b[from:])
	if err != nil {
		c.fail(Reset)
		return true
	}
	if from+used < len(b) {
		c.x.closes = true // what it says besides, nobody has asked for
	}
	return c.write(Down, b[:from+kept]) || c.x.down.done
}

// answerHead forwards the head of an answer, and what came of its body.
func (c *h1Conn) answerHead(b []byte) bool {
	x := &c.x
	if len(c.answer) > 0 {
		b = append(c.answer, b...)
		c.answer = nil
	}
	v := x.resp.readResponse(b)
	if v == plain && x.resp.status >= 200 && (x.bodyFraming() == byEnd || c.edge.draining.Load() && !x.resp.close) {
		v = unusual // the caller has to be told that the connection ends
	}
	var err error
	if v == unusual {
		if v, b, err = c.readAnew(b); err != nil {
			c.fail(Reset)
			return true
		}
	}
	if v == unfinished {
		if len(b) > answerHeadMost {
			c.fail(Reset)
			return true
		}
		c.answer = append(c.answer, b...)
		return true
	}
	if x.resp.status >= 200 && !x.resp.retryAfter.empty() {
		x.retry = retryAfter(string(x.resp.retryAfter.of(b)))
	}
	at := x.resp.trim(b)
	if x.resp.status < 200 {
		return c.interim(b, at)
	}
	x.status = x.resp.status
	x.closes = x.closes || x.resp.close
	x.down = newBody(x.bodyFraming(), x.resp.length, true)
	return c.answerBody(b[at:], x.resp.size-at)
}

// bodyFraming is how the end of the answer is known.
func (x *h1Exchange) bodyFraming() framing {
	switch {
	case string(x.req.method.of(x.head)) == "HEAD", x.resp.status == 204, x.resp.status == 304:
		return noBody
	case x.resp.chunks:
		return byChunks
	case x.resp.length >= 0:
		return byLength
	}
	return byEnd
}

// interim passes an interim answer on, and looks at what follows it.
func (c *h1Conn) interim(b []byte, at int) bool {
	x := &c.x
	if x.interim += x.resp.size; x.interim > answerHeadMost || x.resp.status == 101 {
		c.fail(Reset)
		return true
	}
	size := x.resp.size
	c.write(Down, b[at:size])
	if len(b) == size || c.isOver.Load() {
		return true
	}
	return c.answerHead(b[size:])
}

// calleeEnded is called when the callee has ended its connection during an exchange.
func (c *h1Conn) calleeEnded(byFIN bool) {
	x := &c.x
	switch {
	case byFIN && x.status > 0 && x.down.framing == byEnd:
		x.down.done, x.closes = true, true
		return
	case byFIN && len(c.answer) == 0:
		c.fail(Close)
	default:
		c.fail(Reset)
	}
}

// fail ends the connection because of its callee.
func (c *h1Conn) fail(how Ending) {
	c.x.by = "callee"
	c.end("", how)
	c.refresh()
}

// exchanged ends an exchange whose answer has left.
func (c *h1Conn) exchanged() {
	x := &c.x
	x.by, x.whole = "callee", true
	closes := x.closes || !x.up.done || len(c.rest[Up]) > 0 || c.edge.draining.Load()
	c.served++
	c.report()
	if closes {
		c.end("", Close)
		c.refresh()
		return
	}
	c.pumpUp()
}
