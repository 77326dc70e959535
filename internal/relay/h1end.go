package relay

import (
	"slices"
	"strconv"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// consider draws an exchange under way for effects that hold bytes; others hurt only
// requests that are not forwarded yet, which forward sees to. It waits for a head
// that is being forwarded.
func (c *h1Conn) consider(a *armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.considerLocked(a)
}

func (c *h1Conn) considerLocked(a *armed) {
	_, holds := a.Effect.(Holder)
	if !holds || !c.under || c.over || !a.hurts(fault.Exchange) || slices.Contains(c.seen, a) {
		return
	}
	r := c.x.request()
	fits, protected := a.fits(r, c.client())
	if !fits || a.asleep() {
		return
	}
	c.seen = append(c.seen, a)
	trace := traceID(r.Header.Get("Traceparent"))
	key := trace.String()
	if key != "" {
		key += " " + strconv.Itoa(a.tally().tries.next(trace))
	}
	h := a.draw(key, protected || !c.x.chosen(r, a))
	if h == nil {
		return
	}
	h.act()
	c.hits = append(c.hits, h)
	c.hold()
}

// hold notes which ways are held. c.mu is held.
func (c *h1Conn) hold() {
	for way := range c.held {
		c.held[way].Store(holding(c.hits, Way(way)))
	}
}

// replace takes an effect off, and draws the exchange for another.
func (c *h1Conn) replace(old, a *armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(old)
	c.considerLocked(a)
}

// drop takes an effect off: what it holds goes on.
func (c *h1Conn) drop(a *armed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(a)
}

func (c *h1Conn) dropLocked(a *armed) {
	c.seen = slices.DeleteFunc(c.seen, func(s *armed) bool { return s == a })
	i := slices.IndexFunc(c.hits, func(h *hit) bool { return h.armed == a })
	if i < 0 {
		return
	}
	h := c.hits[i]
	c.hits = slices.Delete(c.hits, i, i+1)
	c.applied = append(c.applied, names([]*hit{h})...)
	h.end()
	c.hold()
	c.changed()
}

// changed makes the loop look: before anything else is done with the connection, and
// soon. c.mu is held.
func (c *h1Conn) changed() {
	if c.dirty.CompareAndSwap(false, true) {
		c.loop.post(c.resume)
	}
}

// end makes the connection end soon. It does not wait.
func (c *h1Conn) end(by string, how Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(by, how)
}

func (c *h1Conn) endLocked(by string, how Ending) {
	switch {
	case c.heir != nil:
		c.heir.end(by, how)
		return
	case c.moved && !c.struck:
		c.struck, c.how, c.by = true, how, by
		return
	case c.over:
		return
	}
	c.over, c.how, c.by = true, how, by
	c.isOver.Store(true)
	c.changed()
}

// strike ends the connection on an effect's word, unless that was lifted.
func (c *h1Conn) strike(a *armed, how Ending, h *hit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.heir != nil:
		return c.heir.strike(a, how, h)
	case c.over && (!c.moved || c.struck):
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

// ebb ends the connection, soon, if nothing is under way on it.
func (c *h1Conn) ebb() {
	c.loop.post(func() {
		if !c.x.under && (c.stage == waiting || c.stage == open) {
			c.end("relay", GoesOn)
			c.refresh()
		}
	})
}

// wrapUp closes the sockets, as the ending wants it.
func (c *h1Conn) wrapUp(how Ending) {
	if c.stage == finished || c.stage == lingering {
		return
	}
	c.loop.setAlarm(&c.hour, time.Time{})
	if c.stage == dialling { // for a request that came
		c.count()
		c.keepHead(c.ahead[:c.x.req.size])
		c.x.under = true
	}
	if c.x.under {
		c.report()
	}
	c.hangUp()
	c.ahead, c.answer, c.rest = nil, nil, [2][]byte{}
	if how != Close && how != Over {
		c.finish(how == Reset)
		return
	}
	c.ends[Up].wire.shut()
	c.stage = lingering
	c.ends[Up].readable = true
	now := time.Now()
	c.until = now.Add(lingerMost)
	c.loop.setAlarm(&c.hour, now.Add(lingerTime))
	c.linger()
}

// lingerOn ends the lingering unless the caller has not taken all that was sent.
func (c *h1Conn) lingerOn() {
	now := time.Now()
	if w := c.ends[Up].wire; !w.unsent() || now.After(c.until) {
		c.finish(false)
		return
	}
	c.loop.setAlarm(&c.hour, now.Add(lingerTime))
}

// linger reads what still comes until the caller has closed, too.
func (c *h1Conn) linger() {
	e := &c.ends[Up]
	for e.readable && c.stage == lingering {
		n, err := e.wire.read(c.loop.block.buf)
		switch {
		case err == errAgain:
			e.readable = false
		case err != nil:
			c.finish(false)
			return
		}
		if c.extra += n; c.extra > lingerBytes {
			c.extra = 0
			c.lingerOn()
		}
	}
}

// finish closes the caller's socket.
func (c *h1Conn) finish(reset bool) {
	if c.stage == finished {
		return
	}
	c.stage = finished
	c.loop.setAlarm(&c.hour, time.Time{})
	if w := c.ends[Up].wire; w != nil {
		w.close(reset)
		c.ends[Up].wire = nil
	}
	c.edge.forget(c.id)
	c.loop.live.Add(-1)
	c.edge.work.Done()
}

// report ends the exchange and reports it.
func (c *h1Conn) report() {
	x := &c.x
	c.mu.Lock()
	hits, faults, by := c.hits, c.applied, c.by
	c.hits, c.applied, c.under = nil, nil, false
	c.seen = c.seen[:0]
	if len(hits) > 0 {
		c.hold()
	}
	c.mu.Unlock()
	for _, h := range hits {
		h.end()
	}
	if c.edge.ear.on() {
		if by == "" || x.whole {
			by = x.by
		}
		c.edge.ear.tell(c.record(by, append(faults, names(hits)...)))
	}
	head := x.head[:0]
	if cap(head) > 4<<10 {
		head = nil
	}
	*x = h1Exchange{head: head}
}
