package relay

import (
	"net/netip"
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
	fd    int
	key   uint64
	open  bool
	later alarm
	pause time.Duration
}

// openGates has the loops accept; false if they cannot.
func (e *Edge) openGates() bool {
	fd := -1
	if err := onSocket(e.port.ln, func(n int) error { fd = n; return linux.InheritOptions(n) }); err != nil {
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
	for _, g := range e.gates {
		g.loop.post(g.enter)
	}
	return true
}

// allGates does the same with every gate and returns once it is done.
func (e *Edge) allGates(do func(*gate)) {
	for _, g := range e.gates {
		g.loop.do(func() { do(g) })
	}
}

// enter begins to accept.
func (g *gate) enter() {
	if g.open || g.edge.port.stopped() {
		return
	}
	g.key = g.poll.keep(sock{gate: g})
	if g.poll.poller.AddListener(g.fd, g.key) != nil {
		g.poll.forget(g.key)
		g.wait()
		return
	}
	g.open = true
}

// leave ends accepting. Connections wait in the kernel's queue, if that is open.
func (g *gate) leave() {
	g.loop.timers.clear(&g.later)
	if g.open {
		g.open = false
		_ = g.poll.poller.Remove(g.fd)
		g.poll.forget(g.key)
	}
}

// wait leaves for a while.
func (g *gate) wait() {
	g.leave()
	g.loop.setAlarm(&g.later, time.Now().Add(g.pause))
	g.pause = min(2*g.pause, time.Second)
}

// accept takes the connections that wait.
func (g *gate) accept() {
	e := g.edge
	for range acceptBatch {
		if !e.slots.tryTake(connFiles) {
			g.leave()
			e.work.Go(func() {
				if e.slots.take(connFiles, e.port.shut, e.full) {
					e.slots.add(-connFiles)
					g.loop.post(g.enter)
				}
			})
			return
		}
		fd, from, err := linux.Accept(g.fd)
		if err != nil {
			e.slots.add(-connFiles)
			if err != syscall.EAGAIN {
				g.wait() // no descriptors or no memory: the system may have some later
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
