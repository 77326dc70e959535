package relay

import (
	"slices"
	"sync/atomic"
	"time"
)

// lane is one way of a session, with what the effects in force keep about it. One
// goroutine passes datagrams: that of the socket they come from.
type lane struct {
	s       *session
	way     Way
	chain   *[]*armed // what acts was made for
	acts    []act
	pending atomic.Int64 // in the queue, or just leaving it
	held    []*parcel    // wait for others to overtake them; guarded by the queue
}

// act is an effect with what it keeps about a lane.
type act struct {
	armed *armed
	lane  Lane
	noted bool // the session knows that it was hurt
}

// pass sends a datagram through the effects. It does not keep b.
func (l *lane) pass(b []byte) {
	if chain := l.s.udp.edge.chain.Load(); chain != l.chain {
		l.look(chain)
	}
	if len(l.acts) == 0 && l.pending.Load() == 0 {
		l.s.send(l.way, b)
		return
	}
	l.through(0, parcel{lane: l, data: b, due: time.Now()})
}

// look finds the effects that act on the lane; what they keep about it stays.
func (l *lane) look(chain *[]*armed) {
	l.chain = chain
	var acts []act
	if chain != nil {
		for _, a := range *chain {
			p, ok := a.Effect.(Packeter)
			if !ok || !a.match.fitsClient(l.s.client()) {
				continue
			}
			if i := slices.IndexFunc(l.acts, func(o act) bool { return o.armed == a }); i >= 0 {
				acts = append(acts, l.acts[i])
			} else if kept := p.Lane(l.way); kept != nil {
				acts = append(acts, act{armed: a, lane: kept})
			}
		}
	}
	l.acts = acts
}

// through sends a datagram through the effects from the i-th on.
func (l *lane) through(i int, p parcel) {
	for ; i < len(l.acts); i++ {
		a := &l.acts[i]
		h := a.armed.draw("", false)
		if h == nil {
			continue
		}
		f := a.lane.Packet(len(p.data), p.due, h.rand(l.way.String()))
		if f.spares() {
			h.spare()
			h.end()
			continue
		}
		if !h.once(f.Drop) { // lifted meanwhile
			h.end()
			continue
		}
		if !a.noted {
			a.noted = true
			l.s.note(a.armed)
		}
		if f.Drop {
			h.end()
			p.release()
			return
		}
		if f.Edit != nil {
			f.Edit(p.data)
		}
		for range f.Copies {
			l.through(i+1, p.copy())
		}
		if f.Delay > 0 || f.Behind > 0 {
			p.wait(h, f)
		} else {
			h.end()
		}
	}
	if len(p.waits) == 0 && l.pending.Load() == 0 {
		l.s.send(l.way, p.data)
		return
	}
	l.s.udp.queue.push(p)
}

// spares tells whether nothing is to be done.
func (f Fate) spares() bool {
	return !f.Drop && f.Copies <= 0 && f.Delay <= 0 && f.Behind <= 0 && f.Edit == nil
}

// parcel is a datagram that effects act on.
type parcel struct {
	lane   *lane
	data   []byte
	due    time.Time
	number uint64 // of those in the queue; tells who came first
	place  int    // in the queue
	waits  []delay
	behind int    // how many later ones of its lane have to leave first
	by     *armed // that wants it so
}

// delay is what one effect added to the time a datagram waits.
type delay struct {
	hit  *hit
	wait time.Duration
	mine bool // the hit ends with this datagram
}

// wait notes that an effect delays it.
func (p *parcel) wait(h *hit, f Fate) {
	p.due = p.due.Add(f.Delay)
	p.waits = append(p.waits[:len(p.waits):len(p.waits)], delay{h, f.Delay, true})
	if f.Behind > 0 {
		p.behind, p.by = f.Behind, h.armed
	}
}

// copy is another one of the same bytes.
func (p *parcel) copy() parcel {
	c := *p
	c.data, c.waits = slices.Clone(p.data), slices.Clone(p.waits)
	for i := range c.waits {
		c.waits[i].mine = false
	}
	return c
}

// release ends what has hurt it.
func (p *parcel) release() {
	for _, w := range p.waits {
		if w.mine {
			w.hit.end()
		}
	}
	p.waits = nil
}
