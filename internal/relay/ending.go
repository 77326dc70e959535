package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// ended notes who has ended the connection first.
func (c *conn) ended(way Way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endedLocked(way)
}

func (c *conn) endedLocked(way Way) {
	if c.endBy == "" {
		c.endBy = [...]string{Up: "caller", Down: "callee"}[way]
	}
}

// fail ends the connection because the source of a way broke: both sides see a
// reset, as they would have without us.
func (c *conn) fail(way Way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endedLocked(way)
	answered := way == Up && c.flows[Down].done
	c.endLocked("", Reset)
	c.broken = c.broken && !answered // the caller resets what is over for it
}

// end makes the connection end soon. It does not wait.
func (c *conn) end(by string, how Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(by, how)
}

func (c *conn) endLocked(by string, how Ending) {
	if c.over {
		return
	}
	if by != "" && c.endBy == "" {
		c.endBy = by
	}
	c.over, c.how, c.broken, c.endAt = true, how, true, time.Now()
	c.isOver.Store(true)
	c.changed()
}

// bothDone ends the connection once both ways have ended by themselves.
func (c *conn) bothDone() {
	if c.flows[Up].done && c.flows[Down].done {
		if c.cut {
			c.end("relay", Close) // reads what still comes: unread bytes would make a reset of it
			return
		}
		c.mu.Lock()
		over := c.over
		c.over = true
		if !over {
			c.endAt = time.Now()
		}
		c.mu.Unlock()
		c.isOver.Store(true)
		if !over {
			c.finish(false)
		}
	}
}

// afterCut is called a while after a stage has ended the connection: a peer that
// does not take what is due holds it up no longer.
func (c *conn) afterCut() {
	if !c.cut {
		return
	}
	if c.flows[Up].waitsForPeer() || c.flows[Down].waitsForPeer() {
		c.end("relay", Close)
		return
	}
	c.loop.setAlarm(&c.hour, time.Now().Add(lingerTime))
}

// wrapUp closes the sockets, as the ending wants it.
func (c *conn) wrapUp(how Ending) {
	if s := stage(c.stage.Load()); s == finished || s == lingering {
		return
	}
	c.loop.setAlarm(&c.hour, time.Time{})
	c.dialing.stop()
	for way := range c.flows {
		c.flows[way].close()
	}
	if how == Over {
		how = Close
	}
	if how != Close {
		c.finish(how == Reset)
		return
	}
	c.ends[Up].wire.shut()
	if w := c.ends[Down].wire; w != nil {
		w.close(false)
		c.ends[Down].wire = nil
	}
	c.stage.Store(int32(lingering))
	c.ends[Up].readable = true
	now := time.Now()
	c.until = now.Add(lingerMost)
	c.loop.setAlarm(&c.hour, now.Add(lingerTime))
	c.linger()
}

// lingerOn ends the lingering unless the caller has not taken all that was sent.
func (c *conn) lingerOn() {
	now := time.Now()
	if w := c.ends[Up].wire; !w.unsent() || now.After(c.until) {
		c.finish(false)
		return
	}
	c.loop.setAlarm(&c.hour, now.Add(lingerTime))
}

// linger reads what still comes until the caller has closed, too.
func (c *conn) linger() {
	e := &c.ends[Up]
	for e.readable {
		n, err := e.wire.read(c.loop.block.buf)
		if c.extra += n; err != nil && err != errAgain {
			c.finish(false)
			return
		}
		if c.extra > lingerBytes {
			c.extra = 0
			if c.lingerOn(); stage(c.stage.Load()) == finished {
				return
			}
		}
		if err == errAgain {
			e.readable = false
		}
	}
}

// finish closes what is open and reports the connection.
func (c *conn) finish(reset bool) {
	if stage(c.stage.Swap(int32(finished))) == finished {
		return
	}
	c.loop.setAlarm(&c.hour, time.Time{})
	for _, a := range c.fuses {
		c.loop.setAlarm(a, time.Time{})
	}
	for way := range c.flows {
		c.flows[way].close()
	}
	for i := range c.ends {
		if w := c.ends[i].wire; w != nil {
			w.close(reset)
			c.ends[i].wire = nil
		}
	}
	c.mu.Lock()
	c.over = true
	hits, applied := c.hits, c.applied
	c.hits = nil
	told := c.edge.ear.on()
	if told {
		c.recordLocked(&c.loop.told)
	}
	c.mu.Unlock()
	c.edge.forget(c.id)
	c.loop.live.Add(-1)
	if told {
		c.loop.told.Faults = append(applied, names(hits)...)
		c.edge.ear.tell(&c.loop.told)
	}
	for _, h := range hits {
		h.end()
	}
	c.edge.work.Done()
}

// recordLocked is what is told of the connection, but for the faults. Whoever has sent
// something and was answered nothing had no whole answer, however politely both sides
// ended; a caller that gave up has ended it when it hung up, however long the callee took
// to notice.
func (c *conn) recordLocked(x *experiment.Exchange) {
	*x = experiment.Exchange{
		Edge: c.edge.name, Conn: c.id, Start: c.start, End: c.endAt, FirstByte: c.first, EndedBy: c.endBy,
		BytesIn: c.bytes[Up].Load(), BytesOut: c.bytes[Down].Load(), Host: c.host,
	}
	if x.End.IsZero() { // its socket was of no use
		x.End, c.broken = time.Now(), true
	}
	x.Cut = c.broken || x.BytesIn > 0 && x.BytesOut == 0
	if x.EndedBy == "" { // neither side has: a stage's doing
		x.EndedBy = experiment.EndedByRelay
	}
	if at := c.ends[Up].endedAt; x.Cut && x.EndedBy == "caller" && !at.IsZero() {
		x.End = at
	}
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
