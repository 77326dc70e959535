package relay

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleTime is how long a session lasts without a datagram either way.
	idleTime = 60 * time.Second
	// maxSessions is how many an edge has at a time; the idlest makes room.
	maxSessions = 16384
	// sessionFiles are the descriptors of a session: its socket to the callee.
	sessionFiles = 1
	// socketBuffer is what is asked for, in bytes, for datagrams that the relay has
	// not read yet; the system may give less.
	socketBuffer = 4 << 20
)

// udpEdge is what an edge that passes datagrams has. Each caller's address has a
// session with a socket of its own to the callee, so that answers find their way.
type udpEdge struct {
	edge  *Edge
	sock  *net.UDPConn
	raw   rawUDP // what the standard library does not offer
	idle  time.Duration
	most  int // sessions at a time
	queue *datagrams

	dropped, unreachable atomic.Uint64

	mu       sync.Mutex
	refused  bool
	over     chan struct{} // closed: there will be no more sessions
	sessions map[caller]*session
	idlest   idleHeap
	wake     chan struct{} // of who ends idle sessions
}

// caller is who has a session: an address, and the one of ours that it calls, where
// the edge listens on several.
type caller struct {
	from netip.AddrPort
	to   netip.Addr
}

// listenUDP binds an edge's socket. Port 0 becomes a number of its own at once, as
// for TCP: the kernel would give away a port that it has chosen.
func listenUDP(ctx context.Context, addr string) (*net.UDPConn, error) {
	host, given, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	bind := func(addr string) (*net.UDPConn, error) {
		c, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil
	}
	if given != "0" && given != "" {
		return bind(addr)
	}
	for range guesses {
		if c, err := bind(net.JoinHostPort(host, strconv.Itoa(int(anyPort())))); err == nil {
			return c, nil
		}
	}
	return bind(addr)
}

// checkUDP refuses what an edge of datagrams cannot have.
func checkUDP(s Spec) error {
	switch {
	case s.TLS != nil, len(s.SNI) > 0, s.ClientFaults != nil, s.Resolve != nil:
		return errors.New("a udp edge passes datagrams as they are: it has neither TLS, SNI, faults by request header nor a resolver")
	case s.WhenDown != "" && s.WhenDown != WhenDownReset:
		return fmt.Errorf("whenDown %s is about connections; a udp edge has none", s.WhenDown)
	case s.Idle < 0:
		return fmt.Errorf("idle must not be negative, as %s is", s.Idle)
	}
	return nil
}

// openUDP opens an edge of datagrams.
func (s *Set) openUDP(ctx context.Context, name string, spec Spec) (*Edge, error) {
	sock, err := listenUDP(ctx, spec.Listen)
	if err != nil {
		return nil, fmt.Errorf("open %s on %s: %w", name, spec.Listen, err)
	}
	_ = sock.SetReadBuffer(socketBuffer)
	raw, err := newRawUDP(sock)
	if err != nil {
		sock.Close()
		return nil, fmt.Errorf("open %s on %s: %w", name, spec.Listen, err)
	}
	spec.Listen, spec.Upstreams = sock.LocalAddr().String(), slices.Clone(spec.Upstreams)
	u := &udpEdge{
		sock: sock, raw: raw, idle: cmp.Or(spec.Idle, idleTime), most: maxSessions, over: make(chan struct{}),
		sessions: map[caller]*session{}, wake: make(chan struct{}, 1),
	}
	u.queue = newDatagrams(&s.budget, &u.dropped)
	u.edge = &Edge{
		name: name, spec: spec, udp: u, budget: &s.budget, ear: &s.ear, others: s.Edge,
		slots: s.slots, full: func() { s.sayFull(name) }, dialTime: s.dialTime,
		callee: upstreamsOf(spec.Upstreams), newID: func() uint64 { return s.lastID.Add(1) },
		links: map[uint64]link{}, units: map[uint64]unit{0: u.queue}, // ids begin at 1
	}
	u.edge.ctx, u.edge.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return u.edge, nil
}

// unlisten closes what an edge that was never started listens with.
func (e *Edge) unlisten() {
	if e.udp != nil {
		e.udp.sock.Close()
		return
	}
	e.port.close()
}

func (u *udpEdge) start() {
	u.edge.work.Go(u.queue.run)
	u.edge.work.Go(u.listen)
	u.edge.work.Go(u.endIdle)
}

// listen passes what callers send until the edge closes.
func (u *udpEdge) listen() {
	b := newBlock()
	defer b.release()
	var oob [64]byte
	for failures := 0; ; {
		n, m, _, from, err := u.sock.ReadMsgUDPAddrPort(b.buf, oob[:])
		select {
		case <-u.over:
			return
		default:
		}
		if err != nil {
			if failures++; failures > 1 && !pause(u.over, time.Duration(min(failures, 100))*time.Millisecond) {
				return
			}
			continue
		}
		failures = 0
		c := caller{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), to: u.raw.calledAt(oob[:m])}
		if s := u.sessionOf(c, from); s != nil {
			s.fromCaller(b.buf[:n])
		} else {
			u.dropped.Add(1)
		}
	}
}

// pause waits; false once over is closed.
func pause(over <-chan struct{}, d time.Duration) bool {
	var b bell
	defer b.stop()
	return b.wait(time.Now().Add(d), nil, over)
}

// sessionOf returns a caller's session, a new one if there is none; nil if there
// cannot be one.
func (u *udpEdge) sessionOf(c caller, from netip.AddrPort) *session {
	u.mu.Lock()
	s, refused := u.sessions[c], u.refused
	u.mu.Unlock()
	if s != nil || refused || !u.makeRoom() {
		return s
	}
	s = newSession(u, c, from)
	u.mu.Lock()
	select {
	case <-u.over:
		refused = true
	default:
		refused = u.refused
	}
	if refused {
		u.mu.Unlock()
		u.edge.slots.add(-sessionFiles)
		return nil
	}
	u.edge.work.Add(1)
	u.sessions[c] = s
	heap.Push(&u.idlest, s)
	first := len(u.idlest) == 1
	u.mu.Unlock()
	e := u.edge
	e.accepted.Add(1)
	e.live.Lock()
	e.links[s.id] = s
	e.live.Unlock()
	if first {
		signal(u.wake)
	}
	s.begin()
	return s
}

// makeRoom takes the descriptors of a session, if need be those of the idlest.
func (u *udpEdge) makeRoom() bool {
	for {
		u.mu.Lock()
		crowded := len(u.sessions) >= u.most
		u.mu.Unlock()
		if !crowded && u.edge.slots.tryTake(sessionFiles) {
			return true
		}
		u.mu.Lock()
		s := u.leastActive()
		u.mu.Unlock()
		if s == nil {
			u.edge.full()
			return false
		}
		s.finish("relay", nil)
	}
}

// idleHeap has the sessions by when they were active, as far as that was looked at:
// they may have been later.
type idleHeap []*session

func (h idleHeap) Len() int           { return len(h) }
func (h idleHeap) Less(i, j int) bool { return h[i].seen < h[j].seen }
func (h idleHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *idleHeap) Push(x any) {
	s := x.(*session)
	s.place = len(*h)
	*h = append(*h, s)
}
func (h *idleHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	s.place = -1
	return s
}

// leastActive is the session that has been idle for longest, nil if there is none.
// u.mu is held.
func (u *udpEdge) leastActive() *session {
	for len(u.idlest) > 0 {
		s := u.idlest[0]
		if last := s.last.Load(); last > s.seen {
			s.seen = last
			heap.Fix(&u.idlest, 0)
			continue
		}
		return s
	}
	return nil
}

// endIdle ends sessions that have been idle for too long.
func (u *udpEdge) endIdle() {
	var b bell
	defer b.stop()
	for {
		u.mu.Lock()
		s := u.leastActive()
		u.mu.Unlock()
		var next time.Time
		if s != nil {
			left := u.idle - time.Duration(sinceStart()-s.last.Load())
			switch {
			case left > 0:
			case s.delayed():
				s.active() // what waits here is on its way
				continue
			default:
				s.finish("relay", nil)
				continue
			}
			next = time.Now().Add(left)
		}
		if !b.wait(next, u.wake, u.over) {
			return
		}
	}
}

// refuse has the kernel answer callers that nobody has the port.
func (u *udpEdge) refuse() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refused {
		return nil
	}
	if err := u.raw.refuse(); err != nil {
		return fmt.Errorf("refuse datagrams to %s: %w", u.edge.spec.Listen, err)
	}
	u.refused = true
	return nil
}

// serve undoes refuse.
func (u *udpEdge) serve() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.refused {
		return nil
	}
	if err := u.raw.serve(); err != nil {
		return fmt.Errorf("hear datagrams to %s again: %w", u.edge.spec.Listen, err)
	}
	u.refused = false
	return nil
}

// drain ends it once all effects were lifted: what they have delayed leaves first.
func (u *udpEdge) drain() {
	u.mu.Lock()
	close(u.over)
	u.mu.Unlock()
	_ = u.sock.SetReadDeadline(past)
	u.queue.finish()
	u.edge.cancel() // nobody resolves names any more
	for _, l := range sorted(&u.edge.live, u.edge.links) {
		l.end("relay", Close)
	}
	u.sock.Close()
}
