package relay

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// respond passes an answer on, through the stages of the way down if there are
// any.
func (x *exchange) respond(resp *http.Response) error {
	if err := x.pass(Down); err != nil {
		return err
	}
	if stages := x.stages(Down); len(stages) > 0 {
		return x.respondStaged(resp, stages)
	}
	x.writeHead(resp)
	var bowl bowl
	defer bowl.release()
	for {
		b := bowl.bytes()
		n, err := resp.Body.Read(b)
		if n > 0 {
			if held := x.pass(Down); held != nil {
				return held
			}
			x.went(b[:n])
			if _, werr := x.w.Write(b[:n]); werr != nil {
				return errCut
			}
			flush(x.w)
			bowl.grow(n)
		}
		if err != nil {
			return x.endBody(resp, err)
		}
	}
}

// bowl is what an answer is read into: little until much comes at a time, so that
// thousands of streams on which little happens cost little.
type bowl struct {
	small *[4 << 10]byte
	block *block
}

var smallBowls = sync.Pool{New: func() any { return new([4 << 10]byte) }}

func (w *bowl) bytes() []byte {
	switch {
	case w.block != nil:
		return w.block.buf
	case w.small == nil:
		w.small = smallBowls.Get().(*[4 << 10]byte)
	}
	return w.small[:]
}

// grow takes a larger one if the last read has filled it.
func (w *bowl) grow(n int) {
	if w.block == nil && n == len(w.small) {
		w.release()
		w.block = newBlock()
	}
}

func (w *bowl) release() {
	if w.block != nil {
		w.block.release()
		w.block = nil
	}
	if w.small != nil {
		smallBowls.Put(w.small)
		w.small = nil
	}
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// writeHead sends status and fields as the callee gave them: the server adds no
// Date and no Content-Length, and guesses no Content-Type. An answer without a
// body and trailers is left to be one frame on HTTP/2: of gRPC that is the status.
func (x *exchange) writeHead(resp *http.Response) {
	h := x.w.Header()
	x.record.Status, x.record.RetryAfter = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"))
	x.noteGRPC(resp.Header)
	strip(resp.Header)
	if resp.Close && !x.stream {
		h["Connection"] = []string{"close"}
	}
	for k, v := range resp.Header {
		h[k] = v
	}
	for _, name := range []string{"Date", "Content-Type"} {
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
	for name := range resp.Trailer {
		h.Add("Trailer", name)
	}
	if _, ok := h["Content-Length"]; !ok && x.stream {
		h["Content-Length"] = nil
	}
	x.w.WriteHeader(resp.StatusCode)
	if resp.ContentLength != 0 || len(resp.Trailer) > 0 {
		flush(x.w)
	}
}

// endBody ends an answer as its body did: with its trailers, or cut.
func (x *exchange) endBody(resp *http.Response, err error) error {
	if err == ErrBreak {
		if !x.shortens(resp) {
			return x.hangUp(Close)
		}
		err = io.EOF
	}
	if err != io.EOF {
		return x.failed(err)
	}
	if err := x.pass(Down); err != nil {
		return err
	}
	if x.record.EndedBy == "" {
		x.record.EndedBy = "callee"
	}
	x.noteGRPC(resp.Trailer)
	h := x.w.Header()
	announced := map[string]bool{}
	for _, name := range h["Trailer"] {
		announced[http.CanonicalHeaderKey(name)] = true
	}
	for name, v := range resp.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = v
	}
	return nil
}

// respondStaged sends head and body through the stages. The body is read while
// what came before still waits, so a delay does not slow the answer down.
func (x *exchange) respondStaged(resp *http.Response, stages []staged) error {
	p := x.newPipe(stages, func() { resp.Body.Close() })
	go p.fill(resp.Body, func([]byte, bool) {})
	if err := p.head(); err != nil {
		return err
	}
	if err := x.pass(Down); err != nil {
		return err
	}
	x.writeHead(resp)
	b := newBlock()
	defer b.release()
	for {
		n, err := p.Read(b.buf)
		if n > 0 {
			if held := x.pass(Down); held != nil {
				return held
			}
			x.went(b.buf[:n])
			if _, werr := x.w.Write(b.buf[:n]); werr != nil {
				return errCut
			}
			flush(x.w)
		}
		if err == errCut {
			return err
		}
		if err != nil {
			return x.endBody(resp, err)
		}
	}
}

// pipe takes one way of an exchange through stages: a goroutine fills it, the
// reader gets the bytes when they are due.
type pipe struct {
	x         *exchange
	stages    []staged
	q         *queue
	interrupt func()        // makes a read of the source return
	filled    chan struct{} // closed when the filling goroutine has ended
	broken    error         // why the source ended, if not by EOF; set before the end is queued

	mu    sync.Mutex // held while reading
	bell  bell
	batch []entry // taken and not yet settled
	next  int     // the first of batch that is not yet read
	off   int     // bytes of it that are
	ended error
}

// newPipe makes a pipe and puts the head of the exchange in. It ends with the
// exchange.
func (x *exchange) newPipe(stages []staged, interrupt func()) *pipe {
	p := &pipe{x: x, stages: stages, q: newQueue(x.edge.edge.budget), interrupt: interrupt, filled: make(chan struct{})}
	x.mu.Lock()
	x.queues = append(x.queues, p.q)
	x.mu.Unlock()
	x.pool = append(x.pool, closer(p.stop))
	p.q.through(stages, Chunk{Due: time.Now()}, nil)
	return p
}

// fill reads src to its end.
func (p *pipe) fill(src io.Reader, count func(b []byte, end bool)) {
	defer close(p.filled)
	stages := p.stages
	b := newBlock()
	defer func() { b.release() }()
	var later bell
	defer later.stop()
	for {
		stages = alive(stages)
		room, again := p.q.room(bound(stages))
		for room == 0 {
			if !later.wait(in(again), p.q.space, p.x.ctx.Done()) || p.q.isClosed() {
				return
			}
			stages = alive(stages)
			room, again = p.q.room(bound(stages))
		}
		n, err := src.Read(b.buf[:min(room, blockSize)])
		now := time.Now()
		if n > 0 || err == io.EOF {
			count(b.buf[:n], err == io.EOF)
		}
		if n > 0 {
			c, keep := chunkOf(b, n, now)
			p.q.through(stages, c, keep)
			if keep != nil {
				b.release()
				b = newBlock()
			}
		}
		if err != nil {
			c := Chunk{Due: now, End: Reset}
			if err == io.EOF {
				c.End = Close
			} else {
				p.broken = err
			}
			if src == io.Reader(p.x.r.Body) {
				p.x.broke(err)
			}
			p.q.through(stages, c, nil)
			return
		}
	}
}

// head waits until the head is due.
func (p *pipe) head() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.more()
}

// more waits until something is due.
func (p *pipe) more() error {
	p.q.settle(p.batch)
	p.batch, p.next, p.off = p.batch[:0], 0, 0
	for {
		batch, next, open := p.q.take(p.batch)
		p.batch = batch
		switch {
		case !open:
			return errCut
		case len(batch) > 0:
			return nil
		}
		if !p.bell.wait(next, p.q.kick, p.x.ctx.Done()) {
			return errCut
		}
	}
}

// Read returns bytes that are due, waiting for the first.
func (p *pipe) Read(to []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for p.ended == nil && n < len(to) {
		if p.next == len(p.batch) {
			if n > 0 {
				break
			}
			if err := p.more(); err != nil {
				return 0, err
			}
		}
		e := &p.batch[p.next]
		m := copy(to[n:], e.data[p.off:])
		n, p.off = n+m, p.off+m
		if p.off < len(e.data) {
			break
		}
		if p.next, p.off = p.next+1, 0; e.end != GoesOn {
			if p.ended = p.broken; p.ended == nil {
				p.ended = io.EOF
			}
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, p.ended
}

// Close is called by the transport; stop ends the pipe.
func (p *pipe) Close() error { return nil }

// stop ends the pipe and waits for its goroutine.
func (p *pipe) stop() {
	p.q.close()
	select {
	case <-p.filled:
	default:
		p.interrupt()
		<-p.filled
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.q.settle(p.batch)
	p.batch, p.ended = nil, errCut
	p.bell.stop()
}
