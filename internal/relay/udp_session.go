package relay

import (
	"container/heap"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// earlyMost is how many datagrams wait for a callee whose name is being resolved.
const earlyMost = 64

// epoch is what sessions count their time from.
var epoch = time.Now()

func sinceStart() int64 { return int64(time.Since(epoch)) }

// session is a caller of a UDP edge with the socket by which its callee is called.
type session struct {
	udp   *udpEdge
	id    uint64
	who   caller
	reply netip.AddrPort // the caller, as its socket has it
	start time.Time
	lanes [2]lane

	last       atomic.Int64 // when it was active, see sinceStart
	bytes      [2]atomic.Uint64
	datagrams  [2]atomic.Uint64
	firstReply atomic.Int64
	callee     atomic.Pointer[net.UDPConn] // nil until there is an address
	unreached  atomic.Bool                 // the callee's system has said so

	// Of the one that ends idle sessions; guarded by udp.mu.
	seen  int64
	place int // in the heap, -1 if it is not there

	mu     sync.Mutex
	early  [][]byte // came before the callee had an address
	over   bool
	endBy  string
	broken bool // ended by other means than being idle
	to     netip.AddrPort
	hurt   []*armed // effects that have hurt it
}

func newSession(u *udpEdge, c caller, from netip.AddrPort) *session {
	s := &session{udp: u, id: u.edge.newID(), who: c, reply: from, start: time.Now(), place: -1}
	s.lanes[Up] = lane{s: s, way: Up}
	s.lanes[Down] = lane{s: s, way: Down}
	s.active()
	s.seen = s.last.Load()
	return s
}

func (s *session) active() { s.last.Store(sinceStart()) }

// delayed tells whether datagrams of it wait.
func (s *session) delayed() bool {
	return s.lanes[Up].pending.Load()+s.lanes[Down].pending.Load() > 0
}

// begin calls the callee. It waits for nothing.
func (s *session) begin() {
	up := s.udp.edge.next()
	if up.addr.IsValid() && s.call(up.addr) {
		go s.listen()
		return
	}
	go func() {
		if up.addr.IsValid() || !s.find(up.text) {
			s.udp.unreachable.Add(1)
			s.finish("callee", nil)
		}
		s.listen()
	}()
}

// find resolves the callee's name, and calls it.
func (s *session) find(text string) bool {
	ctx, cancel := context.WithTimeout(s.udp.edge.ctx, s.udp.edge.dialTime)
	defer cancel()
	addrs, _ := s.udp.edge.resolve(ctx, text)
	return slices.ContainsFunc(addrs, s.call)
}

// call makes the socket to an address, and sends what has waited for it.
func (s *session) call(to netip.AddrPort) bool {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false
	}
	_ = c.SetReadBuffer(socketBuffer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		c.Close()
		return true
	}
	s.to = to
	for _, b := range s.early { // first: who sees the socket sends by itself
		s.write(c, b)
	}
	s.early = nil
	s.callee.Store(c)
	return true
}

// fromCaller takes a datagram of the caller.
func (s *session) fromCaller(b []byte) {
	e := s.udp.edge
	s.active()
	s.bytes[Up].Add(uint64(len(b)))
	s.datagrams[Up].Add(1)
	e.in.Add(uint64(len(b)))
	e.exchanges.Add(1)
	s.lanes[Up].pass(b)
}

// listen passes what the callee sends until the session ends, and reports it then.
func (s *session) listen() {
	defer s.udp.edge.work.Done()
	if c := s.callee.Load(); c != nil {
		s.answers(c)
	}
	x := s.exchange()
	s.udp.edge.ear.tell(&x)
}

// mostFailures is how often reading may fail in a row before the session ends.
const mostFailures = 1000

func (s *session) answers(c *net.UDPConn) {
	r := newDatagramReader(c)
	for failures := 0; failures < mostFailures; {
		b, n, err := r.read()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // an ICMP message about what was sent before, as a rule
			failures++
			s.unreached.Store(true)
			s.udp.unreachable.Add(1)
		default:
			failures = 0
			s.active()
			s.firstReply.CompareAndSwap(0, sinceStart())
			s.datagrams[Down].Add(1)
			s.lanes[Down].pass(b.buf[:n])
		}
		b.release()
	}
	s.finish("callee", nil)
}

// send lets a datagram go on its way.
func (s *session) send(way Way, b []byte) {
	if way == Up {
		s.sendUp(b)
		return
	}
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if over {
		s.udp.dropped.Add(1)
		return
	}
	n := uint64(len(b)) // counted first: who has got it finds it counted
	s.bytes[Down].Add(n)
	s.udp.edge.out.Add(n)
	if s.udp.raw.answer(s.udp.sock, b, s.reply, s.who.to) != nil {
		s.udp.dropped.Add(1)
		s.bytes[Down].Add(-n)
		s.udp.edge.out.Add(-n)
	}
}

func (s *session) sendUp(b []byte) {
	if c := s.callee.Load(); c != nil {
		s.write(c, b)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := s.callee.Load(); {
	case c != nil:
		s.write(c, b)
	case s.over || len(s.early) == earlyMost:
		s.udp.dropped.Add(1)
	default:
		s.early = append(s.early, slices.Clone(b))
	}
}

// write sends to the callee. The kernel tells a sender that an earlier datagram was
// refused instead of sending this one, which is then tried again.
func (s *session) write(c *net.UDPConn, b []byte) {
	for range 4 {
		_, err := c.Write(b)
		if err == nil {
			return
		}
		if !isUnreachable(err) {
			break
		}
		s.unreached.Store(true)
		s.udp.unreachable.Add(1)
	}
	s.udp.dropped.Add(1)
}

// note keeps an effect that has hurt the session.
func (s *session) note(a *armed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.hurt, a) {
		s.hurt = append(s.hurt, a)
	}
}

// finish ends the session, once; by is an effect that does it, nil without.
func (s *session) finish(who string, by *armed) bool {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return false
	}
	s.over, s.endBy, s.broken = true, who, who == "callee" || by != nil
	if by != nil {
		s.hurt = append(s.hurt, by)
	}
	s.udp.dropped.Add(uint64(len(s.early)))
	s.early = nil
	c := s.callee.Load()
	s.mu.Unlock()

	u := s.udp
	u.mu.Lock()
	delete(u.sessions, s.who)
	if s.place >= 0 {
		heap.Remove(&u.idlest, s.place)
	}
	u.mu.Unlock()
	e := u.edge
	e.live.Lock()
	delete(e.links, s.id)
	e.live.Unlock()
	e.slots.add(-sessionFiles)
	if c != nil {
		c.Close() // last: then it is reported
	}
	return true
}

// strike ends it on an effect's word.
func (s *session) strike(a *armed, _ Ending, _ *hit) (done bool) {
	a.strike(func() bool {
		done = s.finish("relay", a)
		return done
	})
	return done
}

func (s *session) client() netip.Addr { return s.who.from.Addr() }

// end ends it.
func (s *session) end(by string, _ Ending) { s.finish(by, nil) }

// status is the session as it is listed.
func (s *session) status(now time.Time) experiment.Connection {
	c := experiment.Connection{
		ID: s.id, Edge: s.udp.edge.name, Client: s.who.from.String(), Since: s.start, Age: now.Sub(s.start).Seconds(),
		BytesIn: s.bytes[Up].Load(), BytesOut: s.bytes[Down].Load(), State: "open",
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to.IsValid() {
		c.Upstream = s.to.String()
	} else {
		c.State = "connecting"
	}
	for _, a := range s.hurt {
		if !a.isGone() {
			c.Faults = append(c.Faults, a.ID)
		}
	}
	return c
}

// exchange is the record of a session that is over.
func (s *session) exchange() experiment.Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := experiment.Exchange{
		Edge: s.udp.edge.name, Conn: s.id, BytesIn: s.bytes[Up].Load(), BytesOut: s.bytes[Down].Load(),
		MessagesIn: s.datagrams[Up].Load(), MessagesOut: s.datagrams[Down].Load(),
		Start: s.start, End: time.Now(), EndedBy: s.endBy, Cut: s.broken,
	}
	if s.unreached.Load() && x.MessagesOut == 0 {
		x.EndedBy, x.Cut = "callee", true
	}
	if first := s.firstReply.Load(); first > 0 {
		x.FirstByte = epoch.Add(time.Duration(first))
	}
	for _, a := range s.hurt {
		if !slices.Contains(x.Faults, a.Name) {
			x.Faults = append(x.Faults, a.Name)
		}
	}
	return x
}
