package relay

import (
	"io"
	"net"
	"sync"
	"time"
)

// socket is what a netWire moves bytes with: a connection of the standard library,
// or TLS on top of one.
type socket interface {
	net.Conn
	// CloseWrite ends the stream that is written.
	CloseWrite() error
	// SetLinger, with 0, makes the next Close a reset.
	SetLinger(sec int) error
}

// netWire is a socket of the standard library, for TLS, and for systems where loops
// cannot call the kernel by themselves: one goroutine reads ahead, another writes
// behind.
type netWire struct {
	tcp  socket
	conn *conn
	way  Way // that it is the source of

	mu    sync.Mutex
	moved *sync.Cond
	in    *block // read ahead
	from  int
	to    int
	inErr error
	out   []byte // to be written
	last  bool   // then comes a FIN
	fin   bool   // which was sent
	ended bool
	bad   error // of writing
}

// past is a deadline that wakes whoever reads or writes.
var past = time.Unix(1, 0)

func newNetWire(t socket, c *conn, way Way) *netWire {
	w := &netWire{tcp: t, conn: c, way: way}
	w.moved = sync.NewCond(&w.mu)
	c.edge.work.Go(w.readAhead)
	c.edge.work.Go(w.writeBehind)
	return w
}

// tell tells the loop what the socket has become ready for.
func (w *netWire) tell(r readiness) {
	w.conn.loop.post(func() {
		w.mu.Lock()
		ended := w.ended
		w.mu.Unlock()
		if !ended {
			w.conn.ready(w.way, r)
		}
	})
}

func (w *netWire) readAhead() {
	b := newBlock()
	defer b.release()
	for {
		n, err := w.tcp.Read(b.buf)
		w.mu.Lock()
		w.in, w.from, w.to, w.inErr = b, 0, n, err
		w.mu.Unlock()
		w.tell(readiness{readable: true, ending: err != nil, broken: err != nil && err != io.EOF, reset: err != nil && err != io.EOF})
		w.mu.Lock()
		for w.from < w.to && !w.ended {
			w.moved.Wait()
		}
		w.in = nil
		ended := w.ended
		w.mu.Unlock()
		if ended || err != nil {
			return
		}
	}
}

func (w *netWire) read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.from < w.to {
		n := copy(b, w.in.buf[w.from:w.to])
		if w.from += n; w.from == w.to {
			w.moved.Broadcast()
		}
		return n, nil
	}
	if w.inErr != nil {
		return 0, w.inErr
	}
	return 0, errAgain
}

func (w *netWire) writeBehind() {
	for {
		w.mu.Lock()
		for len(w.out) == 0 && (!w.last || w.fin) && !w.ended {
			w.moved.Wait()
		}
		out, last, ended := w.out, w.last, w.ended
		w.mu.Unlock()
		if ended {
			return
		}
		var err error
		if len(out) > 0 {
			_, err = w.tcp.Write(out)
		}
		ends := last && err == nil // nothing is written after shut
		if ends {
			w.tcp.CloseWrite()
		}
		w.mu.Lock()
		if w.out = w.out[len(out):]; len(w.out) == 0 {
			w.out = nil
		}
		w.fin = w.fin || ends
		w.bad = err
		w.mu.Unlock()
		w.tell(readiness{writable: true})
		if err != nil {
			return
		}
	}
}

func (w *netWire) write(bufs [][]byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bad != nil {
		return 0, w.bad
	}
	if len(w.out) > 0 {
		return 0, errAgain
	}
	n := 0
	for _, b := range bufs {
		take := min(len(b), blockSize-len(w.out))
		w.out = append(w.out, b[:take]...)
		n += take
	}
	w.moved.Broadcast()
	return n, nil
}

func (w *netWire) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = true
	w.moved.Broadcast()
}

func (w *netWire) flushing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad == nil && (len(w.out) > 0 || w.last && !w.fin)
}

// unsent cannot be told; what the process holds counts.
func (w *netWire) unsent() bool { return w.flushing() }

func (w *netWire) close(reset bool) {
	w.mu.Lock()
	w.ended = true
	w.moved.Broadcast()
	w.mu.Unlock()
	if reset {
		w.tcp.SetLinger(0)
	}
	w.tcp.Close()
}

// channels is the poller of a loop whose sockets tell it by themselves.
type channels struct {
	bell  chan struct{}
	timer *time.Timer
}

func newChannels() *channels { return &channels{bell: make(chan struct{}, 1)} }

func (p *channels) wake() { signal(p.bell) }
func (p *channels) warm() {}

func (p *channels) wait(d time.Duration) {
	if d == 0 {
		return
	}
	var ring <-chan time.Time
	if d > 0 {
		if p.timer == nil {
			p.timer = time.NewTimer(d)
		} else {
			p.timer.Reset(d)
		}
		ring = p.timer.C
	}
	select {
	case <-p.bell:
	case <-ring:
	}
}

func (p *channels) close() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
