package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// spliceBytes is how much one splice moves before the counters are brought up
// to date.
const spliceBytes = 4 << 20

// errDelivered ends a flow: the end of the stream has been passed on.
var errDelivered = errors.New("delivered")

// writeError is a failure of the receiving side of a flow.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// plan is what is to be done with the bytes of one way, as of a version of the
// unit's hits.
type plan struct {
	version uint64
	hold    bool
	swallow *hit
	stages  []staged
}

// flow moves the bytes of one way of a connection. With nothing armed they go
// from socket to socket, by splice when there are many; with stages through a
// queue that a second goroutine empties.
type flow struct {
	conn  *conn
	way   Way
	wake  chan struct{} // the hits have changed
	moved *atomic.Uint64

	// Set under conn.mu, before the flow runs.
	src, dst *net.TCPConn
	pull     *puller

	q       *queue // set and cleared by the flow, under conn.mu
	written chan struct{}
	shut    atomic.Bool // the end of the stream was passed on to dst

	carry  *block // bytes that were read for a plan that is over
	carryN int
}

// run returns when the way has ended or the connection has.
func (f *flow) run() {
	defer f.stopQueue()
	for !f.conn.isOver() {
		drain(f.wake)
		p := f.conn.plan(f.way)
		f.src.SetReadDeadline(time.Time{})
		if f.conn.version.Load() != p.version || f.conn.isOver() {
			continue
		}
		var err error
		switch {
		case p.hold:
			err = f.held()
		case p.swallow != nil:
			err = f.swallow(p)
		case len(p.stages) == 0 && f.q == nil:
			err = f.pass(p)
		case len(p.stages) == 0:
			err = f.backToPass()
		default:
			err = f.delay(p)
		}
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case err == errDelivered:
			if f.way == Up {
				f.lurk(&f.conn.answered)
			}
			return
		default:
			f.conn.fail(f.way, err)
			return
		}
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// await waits for a change of the hits, the end of the connection, or also.
func (f *flow) await(also <-chan struct{}) error {
	select {
	case <-f.wake:
	case <-f.conn.over:
	case <-also:
	}
	return nil
}

// held waits for a change of the hits, or of the caller: one who resets the
// connection under a hold is gone, and what it has sent with it. A caller's FIN
// says nothing, and a callee's reset does not pass a hold.
func (f *flow) held() error {
	if f.way == Down || !watches {
		return f.await(nil)
	}
	return f.pull.gone()
}

// lurk notices a reset of the source while nobody reads from it, and ends the
// connection. It returns once stop is set and the read deadline is past.
func (f *flow) lurk(stop *atomic.Bool) {
	if !watches {
		return
	}
	for {
		f.src.SetReadDeadline(time.Time{})
		if stop.Load() || f.conn.isOver() {
			return
		}
		err := f.pull.gone()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case f.conn.flows[1-f.way].shut.Load(): // a FIN that was answered
			return
		default:
			f.conn.fail(f.way, err)
			return
		}
	}
}

// read returns the next bytes. If the plan is over by the time they are there,
// it keeps them for the next one and returns none.
func (f *flow) read(p plan, limit int) (*block, int, error) {
	b, n := f.carry, f.carryN
	f.carry = nil
	if b == nil {
		var err error
		if b, n, err = f.pull.read(limit); err != nil {
			return nil, 0, err
		}
		f.conn.came(f, n)
	}
	if f.conn.version.Load() != p.version {
		f.carry, f.carryN = b, n
		return nil, 0, nil
	}
	return b, n, nil
}

// pass moves bytes as they come.
func (f *flow) pass(p plan) error {
	for full := 0; full < 2; {
		b, n, err := f.read(p, blockSize)
		if err == io.EOF {
			return f.endOfStream()
		}
		if err != nil || b == nil {
			return err
		}
		if full++; n < blockSize {
			full = 0
		}
		f.conn.left(f, n)
		written, err := f.dst.Write(b.buf[:n])
		f.conn.left(f, written-n)
		b.release()
		if err != nil {
			return writeError{err}
		}
	}
	return f.splice(p)
}

// splice moves bytes in the kernel until the plan is over. It is woken by the
// read deadline, which leaves nothing in the pipe: what was taken from src has
// reached dst.
func (f *flow) splice(p plan) error {
	for f.conn.version.Load() == p.version {
		n, err := f.dst.ReadFrom(&io.LimitedReader{R: f.src, N: spliceBytes})
		f.conn.came(f, int(n))
		f.conn.left(f, int(n))
		switch {
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !wasReset(f.src):
			return writeError{err}
		case err != nil:
			return err
		case n < spliceBytes:
			return f.endOfStream()
		}
	}
	return nil
}

// endOfStream passes a FIN on.
func (f *flow) endOfStream() error {
	if f.conn.resetBehind(f) {
		return syscall.ECONNRESET
	}
	f.shut.Store(true)
	f.dst.CloseWrite()
	f.conn.ended(f.way)
	return errDelivered
}

// swallow reads and drops. A caller that leaves ends the connection.
func (f *flow) swallow(p plan) error {
	for {
		b, n, err := f.read(p, blockSize)
		if err == io.EOF {
			f.conn.ended(f.way)
			f.conn.end("", Close)
			return nil
		}
		if err != nil || b == nil {
			return err
		}
		if !p.swallow.damaged.Load() && !p.swallow.once(true) {
			f.carry, f.carryN = b, n // lifted in time: nothing is lost
			return nil
		}
		b.release()
	}
}

// delay sends bytes through stages and a queue.
func (f *flow) delay(p plan) error {
	f.startQueue()
	most := bound(p.stages)
	for {
		select {
		case <-f.written: // a stage has ended the stream
			return errDelivered
		default:
		}
		room := f.q.room(most)
		if room == 0 {
			if f.await(f.q.space); f.conn.version.Load() != p.version || f.conn.isOver() {
				return nil
			}
			continue
		}
		b, n, err := f.read(p, room)
		now := time.Now()
		switch {
		case err == io.EOF && !f.conn.resetBehind(f):
			f.conn.ended(f.way)
			return f.finish(p, Chunk{Due: now, End: Close})
		case err == io.EOF, errors.Is(err, syscall.ECONNRESET):
			f.conn.ended(f.way)
			return f.finish(p, Chunk{Due: now, End: Reset})
		case err != nil || b == nil:
			return err
		}
		c, keep := chunkOf(b, n, now)
		f.q.through(p.stages, c, keep)
		b.release()
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

// finish queues the end of the stream and waits until it has been written.
func (f *flow) finish(p plan, c Chunk) error {
	f.q.through(p.stages, c, nil)
	select {
	case <-f.written:
	case <-f.conn.over:
	}
	return errDelivered
}

// backToPass waits until the queue is empty, then ends it.
func (f *flow) backToPass() error {
	if !f.q.idle() {
		return f.await(f.q.space)
	}
	f.stopQueue()
	return nil
}

func (f *flow) startQueue() {
	if f.q != nil {
		return
	}
	f.conn.mu.Lock()
	f.q, f.written = newQueue(f.conn.edge.budget), make(chan struct{})
	f.conn.mu.Unlock()
	go f.write(f.q, f.written)
}

// stopQueue ends the writing goroutine and waits for it.
func (f *flow) stopQueue() {
	if f.q == nil {
		return
	}
	f.q.close()
	<-f.written
	f.conn.mu.Lock()
	f.q = nil
	f.conn.mu.Unlock()
}

// write empties the queue as chunks fall due.
func (f *flow) write(q *queue, written chan struct{}) {
	defer close(written)
	var bell alarm
	defer bell.stop()
	var store []entry
	for {
		batch, next, open := q.take(store[:0])
		store = batch
		if !open {
			return
		}
		if len(batch) == 0 {
			if bell.wait(next, q.kick, f.conn.over) {
				continue
			}
			return
		}
		end := batch[len(batch)-1].end
		err := f.writeBatch(batch)
		q.settle(batch)
		switch {
		case err != nil:
			f.conn.fail(f.way, writeError{err})
			return
		case end == Reset:
			f.conn.end("", Reset)
			return
		case end == Close:
			f.shut.Store(true)
			f.dst.CloseWrite()
			return
		}
	}
}

func (f *flow) writeBatch(batch []entry) error {
	bufs := make(net.Buffers, 0, len(batch))
	size := 0
	for i := range batch {
		if len(batch[i].data) > 0 {
			bufs, size = append(bufs, batch[i].data), size+len(batch[i].data)
		}
	}
	if len(bufs) == 0 {
		return nil
	}
	f.conn.left(f, size)
	n, err := bufs.WriteTo(f.dst)
	f.conn.left(f, int(n)-size)
	return err
}

// alarm waits for a moment with one timer that is used again.
type alarm struct{ timer *time.Timer }

// wait returns at due (never, if it is zero) or at a kick; false when over.
func (a *alarm) wait(due time.Time, kick, over <-chan struct{}) bool {
	var ring <-chan time.Time
	if !due.IsZero() {
		if d := time.Until(due); a.timer == nil {
			a.timer = time.NewTimer(d)
		} else {
			a.timer.Reset(d)
		}
		ring = a.timer.C
	}
	select {
	case <-ring:
		return true
	case <-kick:
	case <-over:
		return false
	}
	return true
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
