package relay

import (
	"io"
	"sync/atomic"
	"time"
)

const (
	// turns is how often a flow moves bytes before others have their turn.
	turns = 16
	// fullReads in a row make a flow splice.
	fullReads = 2
	// copyFor is how many reads a flow copies that could not splice.
	copyFor = 64
	// smallSplices in a row make it copy again.
	smallSplices = 4
	smallSplice  = 16 << 10
)

// flow moves the bytes of one way of a connection, on the connection's loop. With
// nothing armed they go from socket to socket, by splice when there are many;
// with stages through a queue.
type flow struct {
	conn   *conn
	way    Way
	moved  *atomic.Uint64 // of the edge
	queued bool           // the loop will pump it again

	rest    []byte   // read from the source, still to be written
	channel *channel // holds bytes spliced from the source; nil without
	full    int      // full reads in a row
	small   int      // small splices in a row
	bulk    bool     // splice

	q     *queue // nil if nothing is or was staged
	batch []entry
	sent  int // of batch: entries written,
	off   int // and bytes of the next one
	due   alarm
	fuse  alarm
	store []entry
	bufs  [][]byte

	burnt   bool // a stage has ended the way in its own time
	drained bool // the source has ended
	shut    bool // the end of the stream was passed on
	done    bool // nothing is left to be done
}

func (f *flow) src() *end { return &f.conn.ends[f.way] }
func (f *flow) dst() *end { return &f.conn.ends[1-f.way] }

// stuck tells whether bytes wait for the destination to take them.
func (f *flow) stuck() bool {
	return f.q == nil && (len(f.rest) > 0 || f.channel != nil && f.channel.held > 0)
}

// replan is called when the plan of the way has changed.
func (f *flow) replan() {
	p := &f.conn.plans[f.way]
	if f.q == nil && len(p.stages) > 0 {
		f.q = newQueue(f.conn.edge.budget)
		f.due.ring, f.fuse.ring = f.pump, f.burn
	}
	if f.q != nil {
		f.q.hold(p.hold)
		f.setFuse()
	}
}

// setFuse sets the alarm of the stage that ends the connection first.
func (f *flow) setFuse() {
	p := &f.conn.plans[f.way]
	if f.burnt || !p.timed && f.fuse.slot == 0 {
		return
	}
	at, _, _ := p.deadline()
	f.conn.loop.setAlarm(&f.fuse, at)
}

// deadline is the first one of the stages, and the stage's number, -1 if none has
// one.
func (p *plan) deadline() (at time.Time, how Ending, by int) {
	by = -1
	for i, s := range p.stages {
		if t, ok := s.stage.(Timed); ok {
			if d, h := t.Deadline(); !d.IsZero() && (at.IsZero() || d.Before(at)) {
				at, how, by = d, h, i
			}
		}
	}
	return at, how, by
}

// burn ends the connection if it is still time.
func (f *flow) burn() {
	p := &f.conn.plans[f.way]
	at, how, by := p.deadline()
	if by < 0 || at.After(time.Now()) {
		f.setFuse()
		return
	}
	h := p.stages[by].hit
	if how == Reset || stage(f.conn.stage.Load()) != open {
		f.conn.strike(h.armed, how, h)
		return
	}
	// The end goes through the stages behind the one that has made it.
	f.burnt, f.q.ended = true, true
	h.act()
	f.q.through(p.stages[by+1:], Chunk{Due: time.Now(), End: Over}, nil)
	f.pump()
}

// cutOff ends the connection on a stage's word: both sides see a FIN, but what the
// other way has taken in already still arrives.
func (f *flow) cutOff() {
	c, other := f.conn, &f.conn.flows[1-f.way]
	if c.cut {
		return
	}
	c.cut = true
	c.mu.Lock()
	if c.endBy == "" {
		c.endBy = "relay"
	}
	c.mu.Unlock()
	f.lose()
	if !f.shut {
		f.passFIN()
	}
	f.done, other.drained = true, true
	other.src().readable = false
	c.loop.again(other)
	c.loop.setAlarm(&c.hour, time.Now().Add(lingerTime))
	c.bothDone()
}

// waitsForPeer tells whether bytes could leave, were they taken.
func (f *flow) waitsForPeer() bool { return len(f.batch) > 0 || f.holdsBytes() }

// pump moves what can be moved.
func (f *flow) pump() {
	for range turns {
		if f.conn.dirty.Load() {
			f.conn.refresh()
		}
		if f.done || f.conn.isOver.Load() || !f.step() {
			return
		}
	}
	f.conn.loop.again(f)
}

// step does one thing; false if nothing can be done until something happens.
func (f *flow) step() bool {
	p := &f.conn.plans[f.way]
	if stage(f.conn.stage.Load()) != open {
		return f.way == Up && p.swallow != nil && !p.hold && f.swallow(p.swallow)
	}
	switch {
	case p.hold:
		return false
	case p.swallow != nil:
		return f.swallow(p.swallow)
	case len(f.rest) > 0:
		return f.writeRest()
	case f.channel != nil && f.channel.held > 0:
		return f.drain()
	case f.shut:
		return f.last()
	case f.q != nil:
		return f.staged(p)
	case f.drained:
		return f.endOfStream()
	case !f.src().readable:
		f.letGo()
		return false
	case f.bulk:
		return f.splice()
	}
	return f.pass()
}

// pass moves bytes as they come.
func (f *flow) pass() bool {
	b := f.conn.loop.block
	n, ok := f.read(b.buf)
	if !ok {
		return f.drained
	}
	if f.full++; n < len(b.buf) {
		f.full = 0
	}
	if f.full >= fullReads && f.src().fd >= 0 && f.dst().fd >= 0 {
		f.bulk, f.small = true, 0
	}
	return f.write(b.buf[:n])
}

// read reads once; false if there was nothing or the source has ended.
func (f *flow) read(b []byte) (int, bool) {
	src := f.src()
	n, err := src.wire.read(b)
	switch {
	case err == errAgain:
		src.readable, src.urgent = false, false
		return 0, false
	case err == io.EOF:
		f.drained = true
		return 0, false
	case err != nil:
		f.broke()
		return 0, false
	}
	if n < len(b) && !src.ending && !src.urgent {
		src.readable = false // the poller will tell of more
	}
	f.conn.came(f, n)
	return n, true
}

// broke is called when the source was reset: what waits in a queue still goes.
func (f *flow) broke() {
	f.conn.ended(f.way)
	if f.q == nil {
		f.conn.fail(f.way)
		return
	}
	f.drained, f.src().reset = true, true // the kernel tells it once
	f.through(Chunk{Due: time.Now(), End: Reset}, nil)
}

// write writes bytes that are the loop's; what is not taken is kept.
func (f *flow) write(b []byte) bool {
	n, ok := f.send(b)
	if n < len(b) && (ok || f.dst().wire != nil && !f.conn.isOver.Load()) {
		f.rest = append(make([]byte, 0, len(b)-n), b[n:]...)
		return false
	}
	return ok
}

// send writes once.
func (f *flow) send(b []byte) (int, bool) {
	f.bufs = append(f.bufs[:0], b)
	n, err := f.dst().wire.write(f.bufs)
	f.bufs[0] = nil
	return n, f.wrote(n, len(b), err)
}

// wrote looks at what became of a write; false if no more can be written now.
func (f *flow) wrote(n, of int, err error) bool {
	if n > 0 {
		f.conn.left(f, n)
	}
	if err == errAgain || err == nil && n < of {
		f.dst().writable = false
		return false
	}
	if err != nil {
		f.conn.fail(1 - f.way)
		return false
	}
	return true
}

func (f *flow) writeRest() bool {
	if !f.dst().writable {
		return false
	}
	n, ok := f.send(f.rest)
	if f.rest = f.rest[n:]; len(f.rest) == 0 {
		f.rest = nil
	}
	return ok
}

// splice moves bytes in the kernel.
func (f *flow) splice() bool {
	if f.channel == nil {
		if f.channel = f.conn.loop.pipes.take(); f.channel == nil {
			f.bulk, f.full = false, -copyFor
			return true
		}
	}
	n, err := f.channel.fill(f.src(), spliceBytes)
	if err != nil {
		f.letGo()
		return f.notSpliced(err)
	}
	f.conn.came(f, n)
	if f.small++; n >= smallSplice {
		f.small = 0
	}
	if f.small >= smallSplices {
		f.bulk, f.full = false, 0
	}
	return f.drain()
}

// notSpliced tells whether to go on: by reading instead, as a splice stops before
// urgent bytes as if the stream had ended, or with the end that was queued.
func (f *flow) notSpliced(err error) bool {
	switch {
	case err == io.EOF || err == errAgain && f.src().urgent:
		f.bulk, f.full = false, 0
		return true
	case err == errAgain:
		f.src().readable = false
	default:
		f.broke()
		return f.drained // into a queue that may be empty: somebody has to wait for it
	}
	return false
}

// drain empties the pipe into the destination.
func (f *flow) drain() bool {
	if !f.dst().writable {
		return false
	}
	n, err := f.channel.drain(f.dst())
	if !f.wrote(n, n, err) {
		return false
	}
	if !f.bulk {
		f.letGo()
	}
	return true
}

// letGo gives an empty pipe back.
func (f *flow) letGo() {
	if f.channel != nil && f.channel.held == 0 {
		f.conn.loop.pipes.give(f.channel)
		f.channel = nil
	}
}

// endOfStream passes a FIN on.
func (f *flow) endOfStream() bool {
	if f.src().reset {
		f.conn.fail(f.way) // its error was taken by a write
		return false
	}
	f.conn.ended(f.way)
	f.passFIN()
	return f.last()
}

func (f *flow) passFIN() {
	f.shut = true
	f.conn.halved.Store(true)
	f.dst().wire.shut()
}

// last ends the way once its last bytes have left this process.
func (f *flow) last() bool {
	if f.dst().wire.flushing() {
		return false
	}
	f.letGo()
	f.done = true
	f.conn.bothDone()
	return false
}

// swallow reads and drops. A caller that leaves ends the connection.
func (f *flow) swallow(h *hit) bool {
	if f.holdsBytes() {
		if !h.once(true) {
			return false // lifted in time: nothing is lost
		}
		f.lose()
	}
	if f.drained {
		f.conn.ended(f.way)
		f.conn.end("", Close)
		return false
	}
	if !f.src().readable {
		return false
	}
	n, ok := f.read(f.conn.loop.block.buf)
	if !ok {
		return f.drained
	}
	if !h.damaged.Load() && !h.once(true) {
		f.rest = append([]byte(nil), f.conn.loop.block.buf[:n]...)
		return false
	}
	return true
}

// holdsBytes tells whether bytes are between the sockets, a queue's apart.
func (f *flow) holdsBytes() bool {
	return len(f.rest) > 0 || f.channel != nil && f.channel.held > 0
}

// lose forgets them.
func (f *flow) lose() {
	f.rest = nil
	if f.channel != nil {
		f.conn.loop.pipes.give(f.channel)
		f.channel = nil
	}
}

// close lets go of everything.
func (f *flow) close() {
	f.lose()
	l := f.conn.loop
	l.timers.clear(&f.due)
	l.timers.clear(&f.fuse)
	if f.q != nil {
		f.q.settle(f.batch)
		f.batch = nil
		f.q.close()
		f.q = nil
	}
}
