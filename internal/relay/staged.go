package relay

import (
	"io"
	"time"
)

// staged moves bytes through stages and a queue: what is due is written, what
// comes is queued.
func (f *flow) staged(p *plan) bool {
	if len(f.batch) > 0 {
		return f.writeBatch()
	}
	f.letGo()
	batch, next, _ := f.q.take(f.store[:0])
	f.store = batch[:0]
	if len(batch) > 0 {
		f.batch, f.sent, f.off = batch, 0, 0
		return true
	}
	f.conn.loop.setAlarm(&f.due, next)
	if len(p.stages) == 0 { // lifted: once the queue is empty, it is needed no more
		if !f.q.idle() {
			return false
		}
		f.q.close()
		f.q = nil
		return true
	}
	if f.drained || !f.src().readable {
		return f.drained && f.queueEnd()
	}
	return f.queueMore(p)
}

// queueEnd queues the end of the stream, once.
func (f *flow) queueEnd() bool {
	if f.q.ended {
		return false
	}
	f.conn.ended(f.way)
	f.through(Chunk{Due: time.Now(), End: f.howEnded()}, nil)
	return true
}

// howEnded tells a FIN from a reset whose error somebody has read already.
func (f *flow) howEnded() Ending {
	if f.src().reset {
		return Reset
	}
	return Close
}

// queueMore reads once and queues what came.
func (f *flow) queueMore(p *plan) bool {
	room, again := f.q.room(bound(p.stages))
	if room == 0 {
		if again > 0 {
			at := time.Now().Add(again)
			if f.due.slot == 0 || f.due.at > at.Sub(f.conn.loop.base) {
				f.conn.loop.setAlarm(&f.due, at)
			}
		}
		return false
	}
	if f.bulk && !f.spliceQueued(p, room) {
		return false
	}
	if f.bulk {
		return true
	}
	l := f.conn.loop
	b := l.block
	n, ok := f.read(b.buf[:min(room, len(b.buf))])
	if n < len(b.buf) && n == room {
		f.src().readable = true // it was we who wanted no more
	}
	if !ok {
		return f.drained
	}
	if f.full++; n < len(b.buf) {
		f.full = 0
	}
	f.bulk = f.full >= fullReads && f.blind(p)
	c, keep := chunkOf(b, n, time.Now())
	if keep != nil {
		l.block = newBlock()
	}
	f.through(c, keep)
	if keep != nil {
		keep.release()
	}
	return true
}

// through sends a chunk through the stages.
func (f *flow) through(c Chunk, b *block) {
	p := &f.conn.plans[f.way]
	if c.End != GoesOn {
		f.q.ended = true
	}
	f.q.through(p.stages, c, b)
	if p.timed {
		f.setFuse()
	}
}

// chunkOf makes a chunk of a block's bytes; few bytes get memory of their own,
// so that what a queue holds is close to what it counts.
func chunkOf(b *block, n int, now time.Time) (Chunk, *block) {
	if n < blockSize/2 {
		return Chunk{Data: append([]byte(nil), b.buf[:n]...), Due: now}, nil
	}
	return Chunk{Data: b.buf[:n], Due: now}, b
}

// blind tells whether bytes can be delayed without being copied.
func (f *flow) blind(p *plan) bool {
	var e entry
	return f.src().fd >= 0 && f.dst().fd >= 0 && e.shift(p.stages, time.Now())
}

// spliceQueued moves bytes into a pipe and queues that. If there is no pipe, or few
// bytes come at a time, bulk is over.
func (f *flow) spliceQueued(p *plan, room int) bool {
	var e entry
	if e.shift(p.stages, time.Now()) {
		if n := f.fillMore(&e, room); n > 0 {
			f.conn.came(f, n)
			return true
		}
		e.pipe = f.conn.loop.pipes.take()
	}
	if e.pipe == nil {
		f.bulk, f.full = false, -copyFor
		return true
	}
	n, err := e.pipe.fill(f.src(), room)
	if err != nil {
		e.pipe.release()
		return f.notSpliced(err)
	}
	f.conn.came(f, n)
	if f.small++; n >= smallSplice {
		f.small = 0
	}
	if f.small >= smallSplices {
		f.bulk, f.full, f.small = false, 0, 0
	}
	for _, s := range p.stages {
		s.hit.act()
	}
	e.size = n
	f.q.push(e)
	return true
}

// sameMoment is how far apart bytes may come that leave together, the early ones
// late by as much, where there are so many that they are spliced.
const sameMoment = 500 * time.Microsecond

// fillMore puts bytes that came a moment after the last ones into the same pipe:
// there are few pipes. e has their times.
func (f *flow) fillMore(e *entry, room int) int {
	last := f.q.last()
	if last == nil || last.pipe == nil || last.size >= spliceBytes || e.due.Sub(last.due) > sameMoment || e.due.Before(last.due) {
		return 0
	}
	n, err := last.pipe.fill(f.src(), room)
	if err != nil && err != errAgain && err != io.EOF {
		f.src().reset = true // the kernel tells it once
	}
	if err != nil || n == 0 {
		return 0 // nothing there, or the pipe is full: a new one will tell
	}
	f.q.grow(last, n, e)
	if last.size >= smallSplice {
		f.small = 0
	}
	return n
}

// writeBatch writes what is due.
func (f *flow) writeBatch() bool {
	if !f.dst().writable {
		return false
	}
	for f.sent < len(f.batch) {
		ok := false
		if e := &f.batch[f.sent]; e.pipe != nil {
			ok = f.drainQueued(e)
		} else {
			ok = f.writeSome()
		}
		if !ok {
			return false
		}
	}
	end := f.batch[len(f.batch)-1].end
	f.q.settle(f.batch)
	f.batch = nil
	switch end {
	case Reset:
		f.conn.end("", Reset)
		return false
	case Over:
		f.cutOff()
		return false
	case Close:
		f.passFIN()
	}
	return true
}

// drainQueued empties the pipe of an entry.
func (f *flow) drainQueued(e *entry) bool {
	for e.pipe.held > 0 {
		n, err := e.pipe.drain(f.dst())
		if !f.wrote(n, n, err) {
			return false
		}
	}
	e.pipe.release()
	e.pipe = nil
	f.sent++
	return true
}

// writeSome writes the entries up to the next one in a pipe.
func (f *flow) writeSome() bool {
	f.bufs = f.bufs[:0]
	size, last := 0, f.sent
	for ; last < len(f.batch) && f.batch[last].pipe == nil; last++ {
		if data := f.batch[last].data; len(data) > 0 {
			if last == f.sent {
				data = data[f.off:]
			}
			f.bufs, size = append(f.bufs, data), size+len(data)
		}
	}
	if size > 0 {
		n, err := f.dst().wire.write(f.bufs)
		clear(f.bufs)
		ok := f.wrote(n, size, err)
		f.advance(n)
		if !ok {
			return false
		}
	}
	f.sent, f.off = last, 0
	return true
}

// advance notes that n bytes of the batch are written.
func (f *flow) advance(n int) {
	for n > 0 && f.sent < len(f.batch) {
		left := len(f.batch[f.sent].data) - f.off
		if n < left {
			f.off += n
			return
		}
		n -= left
		f.sent, f.off = f.sent+1, 0
	}
}
