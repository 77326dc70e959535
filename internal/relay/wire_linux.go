package relay

import (
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// fdWire is a socket that the loop calls the kernel for by itself.
type fdWire struct {
	fd   int
	poll *epoll
	key  uint64
}

func again(err error) error {
	if err == syscall.EAGAIN {
		return errAgain
	}
	return err
}

func (w *fdWire) read(b []byte) (int, error) {
	n, err := linux.Read(w.fd, b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, again(err)
}

func (w *fdWire) write(bufs [][]byte) (int, error) {
	var n int
	var err error
	if len(bufs) == 1 {
		n, err = linux.Write(w.fd, bufs[0])
	} else {
		n, err = linux.WriteAll(w.fd, bufs, w.poll.space[:])
	}
	return n, again(err)
}

func (w *fdWire) shut()          { linux.ShutWrite(w.fd) }
func (w *fdWire) flushing() bool { return false }

func (w *fdWire) unsent() bool { return linux.Unsent(w.fd) }

func (w *fdWire) close(reset bool) {
	w.poll.forget(w.key)
	if reset {
		linux.Reset(w.fd)
	} else {
		linux.Close(w.fd)
	}
}

// epoll is the poller of a loop on Linux.
type epoll struct {
	poller *linux.Poller
	space  [batchSize]linux.Iovec
	mu     sync.Mutex // gates come and go from anywhere
	// socks are the sockets by number; the number and a count of how often it was
	// given make a key, so that a late event of a closed socket finds nobody.
	socks    []sock
	exercise *linux.Exercise // made for the first delay
	cold     bool            // it cannot be made
	free     []uint32
}

type sock struct {
	conn  socketOwner
	way   Way
	gate  *gate
	turns uint32
}

func newEpoll() (*epoll, error) {
	p, err := linux.NewPoller()
	if err != nil {
		return nil, err
	}
	return &epoll{poller: p}, nil
}

func (p *epoll) wait(d time.Duration) { _ = p.poller.Wait(d, p.event) }
func (p *epoll) wake()                { p.poller.Wake() }

func (p *epoll) close() {
	p.poller.Close()
	if p.exercise != nil {
		p.exercise.Close()
	}
}

func (p *epoll) warm() {
	if p.exercise == nil && !p.cold {
		var err error
		p.exercise, err = linux.NewExercise()
		p.cold = err != nil
	}
	if !p.cold {
		p.exercise.Do()
	}
}

func (p *epoll) event(ev linux.Event) {
	p.mu.Lock()
	s := p.socks[uint32(ev.Key)]
	p.mu.Unlock()
	switch {
	case s.turns != uint32(ev.Key>>32):
	case s.conn != nil:
		s.conn.ready(s.way, readiness{readable: ev.Readable, writable: ev.Writable, ending: ev.Ending, urgent: ev.Urgent, broken: ev.Broken, reset: ev.Reset})
	case s.gate != nil:
		s.gate.accept()
	}
}

// keep gives a socket a key.
func (p *epoll) keep(s sock) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n uint32
	if k := len(p.free); k > 0 {
		n = p.free[k-1]
		p.free = p.free[:k-1]
	} else {
		n = uint32(len(p.socks))
		p.socks = append(p.socks, sock{})
	}
	s.turns = p.socks[n].turns
	p.socks[n] = s
	return uint64(n) | uint64(s.turns)<<32
}

// forget takes the key back.
func (p *epoll) forget(key uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := uint32(key)
	// All bits set are the poller's own keys.
	p.socks[n] = sock{turns: (p.socks[n].turns + 1) & 0x7fffffff}
	p.free = append(p.free, n)
}

// add makes a wire of a connected or connecting socket of a connection. The
// socket is closed if that fails.
func (p *epoll) add(fd int, c socketOwner, way Way) (wire, error) {
	key := p.keep(sock{conn: c, way: way})
	if err := p.poller.Add(fd, key); err != nil {
		p.forget(key)
		linux.Close(fd)
		return nil, err
	}
	return &fdWire{fd, p, key}, nil
}

// connect starts to connect to an address; the connection is told when that is
// decided, by its wire being writable.
func (p *epoll) connect(c socketOwner, to netip.AddrPort) (wire, int, error) {
	fd, err := linux.Connect(to)
	if err != nil {
		return nil, -1, err
	}
	w, err := p.add(fd, c, Down)
	return w, fd, err
}

// failure is why a connection could not be made.
func (w *fdWire) failure() error { return linux.ConnectError(w.fd) }
