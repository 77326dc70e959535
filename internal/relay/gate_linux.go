package relay

import (
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/internal/linux"
)

const (
	acceptBatch = 64 // connections accepted before others have their turn
	acceptPause = 5 * time.Millisecond
)

// gate is the listener of a TCP edge on one loop. All loops have one for it, and
// the kernel wakes one of them for a new connection.
type gate struct {
	edge  *Edge
	loop  *loop
	poll  *epoll
	later alarm
	pause time.Duration

	mu   sync.Mutex // held while accepting, which does not block
	fd   int
	key  uint64
	open bool
}

// openGates has the loops accept; false if they cannot.
func (e *Edge) openGates() bool {
	fd := -1
	_, bare := e.port.ln.(*bareListener)
	err := onSocket(e.port.ln, func(n int) error {
		if fd = n; bare {
			return nil
		}
		return linux.InheritOptions(n)
	})
	if err != nil {
		return false
	}
	for _, l := range e.loops {
		p, ok := l.poll.(*epoll)
		if !ok {
			return false
		}
		g := &gate{edge: e, loop: l, poll: p, fd: fd, pause: acceptPause}
		g.later.ring = g.enter
		e.gates = append(e.gates, g)
	}
	e.port.paused = func() { e.allGates((*gate).leave) }
	e.port.resumed = func() { e.allGates((*gate).enter) }
	e.port.resumed()
	return true
}

// allGates does the same with every gate.
func (e *Edge) allGates(do func(*gate)) {
	for _, g := range e.gates {
		do(g)
	}
}

// enter begins to accept.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open || g.edge.port.halted.Load() {
		return
	}
	g.key = g.poll.keep(sock{gate: g})
	if g.poll.poller.AddListener(g.fd, g.key) != nil {
		g.poll.forget(g.key)
		g.loop.post(g.wait)
		return
	}
	g.open = true
}

// leave ends accepting, and returns once nobody accepts any more. Connections wait
// in the kernel's queue, if that is open.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaveLocked()
}

func (g *gate) leaveLocked() {
	if g.open {
		g.open = false
		_ = g.poll.poller.Remove(g.fd)
		g.poll.forget(g.key)
	}
}

// wait tries to enter after a while, on the loop.
func (g *gate) wait() {
	g.loop.setAlarm(&g.later, time.Now().Add(g.pause))
	g.pause = min(2*g.pause, time.Second)
}

// accept takes the connections that wait, on the loop.
func (g *gate) accept() {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.edge
	for n := 0; n < acceptBatch && g.open; n++ {
		if !e.slots.tryTake(connFiles) {
			g.leaveLocked()
			e.work.Go(func() {
				if e.slots.take(connFiles, e.port.shut, e.full) {
					e.slots.add(-connFiles)
					g.enter()
				}
			})
			return
		}
		fd, from, err := linux.Accept(g.fd)
		if err != nil {
			e.slots.add(-connFiles)
			if err != syscall.EAGAIN { // no descriptors or no memory: the system may have some later
				g.leaveLocked()
				g.wait()
			}
			return
		}
		g.pause = acceptPause
		if e.port.fillers.has(from) {
			linux.Close(fd)
			e.slots.add(-connFiles)
			continue
		}
		g.admit(fd, from)
	}
}

func (g *gate) admit(fd int, from netip.AddrPort) {
	e := g.edge
	e.accepted.Add(1)
	if e.turnedAway(func() { linux.Reset(fd) }) {
		e.slots.add(-connFiles)
		return
	}
	l := g.loop
	for _, o := range e.loops {
		if o.live.Load() < l.live.Load()-1 {
			l = o
		}
	}
	if e.fast {
		g.admitH1(l, fd, from)
		return
	}
	c := e.newLive(l, from)
	begin := func() {
		w, err := l.poll.(*epoll).add(fd, c, Up)
		if err != nil {
			c.finish(false)
			return
		}
		c.ends[Up].wire, c.ends[Up].fd, c.ends[Up].writable = w, fd, true
		c.begin()
	}
	if l == g.loop {
		begin()
	} else {
		l.post(begin)
	}
}
