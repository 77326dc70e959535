package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// doors are the listeners that edges share, by address: as it was asked for, and as
// it was bound.
type doors struct {
	mu  sync.Mutex
	all map[string]*door
}

// door is a listener that several edges share. The name that a caller gives in its
// ClientHello picks the edge.
type door struct {
	doors  *doors
	port   *port
	slots  *slots
	full   func()
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	users int // edges that have joined; guarded by doors.mu

	mu      sync.Mutex
	edges   []*Edge // that are open
	started bool
}

// openPort opens what an edge listens on, alone or with others.
func (s *Set) openPort(ctx context.Context, spec Spec) (*port, *door, error) {
	d, err := s.join(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	if d != nil {
		return d.line(), d, nil
	}
	bare := spec.Protocol == experiment.TCP && !s.portable && !spec.terminates() || s.fast(spec)
	p, err := openPort(ctx, spec.Listen, bare)
	return p, nil, err
}

// closeListener ends accepting for the edge.
func (e *Edge) closeListener() {
	e.leaveDoor()
	e.port.close()
}

// leaveDoor gives a shared listener back, once.
func (e *Edge) leaveDoor() {
	if e.door != nil {
		e.doorLeft.Do(func() { e.door.leave(e) })
	}
}

// join returns the door on an address, which is opened if an edge with names asks
// for it; nil if the edge has none and nobody shares that address.
func (s *Set) join(ctx context.Context, spec Spec) (*door, error) {
	s.doors.mu.Lock()
	defer s.doors.mu.Unlock()
	d := s.doors.all[spec.Listen]
	if d == nil && len(spec.SNI) > 0 {
		p, err := openPort(ctx, spec.Listen, false)
		if err != nil {
			return nil, err
		}
		d = &door{doors: &s.doors, port: p, slots: s.slots, full: func() { s.sayFull(p.addr) }}
		d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if s.doors.all == nil {
			s.doors.all = map[string]*door{}
		}
		s.doors.all[p.addr] = d
		if _, port, err := net.SplitHostPort(spec.Listen); err == nil && port != "" && port != "0" {
			s.doors.all[spec.Listen] = d
		}
		s.slots.add(edgeFiles)
	}
	if d != nil {
		d.users++
	}
	return d, nil
}

// line is what a sharing edge has for a port: it can refuse, and go on.
func (d *door) line() *port {
	p := &port{addr: d.port.addr, ln: &doorLine{d.port.ln.Addr()}, serving: make(chan struct{}), shut: make(chan struct{})}
	close(p.serving)
	return p
}

// enter has an edge given its callers.
func (d *door) enter(e *Edge) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.edges = append(d.edges, e)
	if !d.started {
		d.started = true
		d.work.Go(d.run)
	}
}

// leave gives an edge no more callers. The last one closes the listener, and waits
// until nobody works for it.
func (d *door) leave(e *Edge) {
	d.mu.Lock()
	d.edges = slices.DeleteFunc(d.edges, func(o *Edge) bool { return o == e })
	d.mu.Unlock()
	d.doors.mu.Lock()
	d.users--
	last := d.users == 0
	if last {
		for addr, o := range d.doors.all {
			if o == d {
				delete(d.doors.all, addr)
			}
		}
		d.port.close()
	}
	d.doors.mu.Unlock()
	if last {
		d.cancel()
		d.work.Wait()
		d.slots.add(-edgeFiles)
	}
}

// run accepts until the door is closed.
func (d *door) run() {
	for {
		c, ok := d.port.accept(d.ctx)
		if !ok {
			return
		}
		if !d.slots.take(connFiles, d.port.shut, d.full) {
			c.Close()
			return
		}
		k := newKnock(c)
		d.work.Go(func() {
			go k.listen() // whoever has the knock waits for it
			d.show(k)
		})
	}
}

// show takes a caller to its edge. Who says no name that an edge has, or no name at
// all, is for the edge without names; there may be none.
func (d *door) show(k *knock) {
	h, err := k.await(d.ctx)
	name := ""
	if h != nil {
		name = h.name
	}
	gone := d.ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)
	if e := d.pick(name, err == nil); e != nil && !gone && e.hold() {
		defer e.work.Done()
		if e.port.stopped() || e.turnedAway(func() {}) {
			k.SetLinger(0)
			k.dismiss(d.slots)
			return
		}
		e.accepted.Add(1)
		e.work.Go(func() { <-k.done })
		e.welcome(k)
		return
	}
	if !gone {
		if err == nil {
			alert(k.TCPConn, alertUnrecognized)
		} else {
			refuse(k, err)
		}
		k.farewell()
	}
	k.dismiss(d.slots)
}

// pick finds the edge for a name: one that has the very name, else one with the
// longest pattern that fits, else the one without names. Callers that do not speak
// TLS are for the last one.
func (d *door) pick(name string, secure bool) *Edge {
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *Edge
	length := -1
	for _, e := range d.edges {
		if len(e.spec.SNI) == 0 && length < 0 {
			best, length = e, 0
		}
		for _, own := range e.spec.SNI {
			n := len(own)
			if own = tidyName(own); own == name {
				n += 1 << 16 // before all patterns
			}
			if secure && n > length && fitsName(own, name) {
				best, length = e, n
			}
		}
	}
	return best
}

// fitsName tells whether a name is the very name or fits the pattern, whose star
// stands for one label or more.
func fitsName(own, name string) bool {
	if rest, ok := strings.CutPrefix(own, "*"); ok {
		return len(name) > len(rest) && strings.HasSuffix(name, rest)
	}
	return own == name
}

// farewell ends the side of the relay and reads for a moment what still comes: unread
// bytes would make a reset of the end, and that would overtake an alert.
func (k *knock) farewell() {
	k.CloseWrite()
	k.SetReadDeadline(time.Now().Add(lingerTime))
	k.drain()
}

// dismiss closes a caller's connection that was given to nobody.
func (k *knock) dismiss(s *slots) {
	k.TCPConn.Close()
	<-k.done
	s.add(-connFiles)
}

// hold keeps the edge from ending until its work.Done is called; false if it is
// about to end.
func (e *Edge) hold() bool {
	e.control.Lock()
	defer e.control.Unlock()
	if e.closed {
		return false
	}
	e.work.Add(1)
	return true
}

// doorLine is the listener of an edge that shares one. Its edge refuses by turning
// callers away once their ClientHello was read.
type doorLine struct{ addr net.Addr }

func (l *doorLine) AcceptTCP() (*net.TCPConn, error)      { return nil, net.ErrClosed }
func (l *doorLine) Addr() net.Addr                        { return l.addr }
func (l *doorLine) Close() error                          { return nil }
func (l *doorLine) SetDeadline(time.Time) error           { return nil }
func (l *doorLine) SyscallConn() (syscall.RawConn, error) { return l, nil }
func (l *doorLine) Control(func(uintptr)) error           { return nil }
func (l *doorLine) Read(func(uintptr) bool) error         { return errors.ErrUnsupported }
func (l *doorLine) Write(func(uintptr) bool) error        { return errors.ErrUnsupported }

// shared tells whether the listener is another edge's, too: it cannot be deaf for
// one of them.
func (p *port) shared() error {
	if _, ok := p.ln.(*doorLine); ok {
		return fmt.Errorf("make %s deaf: several edges share it: %w", p.addr, errors.ErrUnsupported)
	}
	return nil
}

// aheadWire is a wire of which some bytes were read before.
type aheadWire struct {
	wire
	ahead []byte
}

func (w *aheadWire) read(b []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(b, w.ahead)
		w.ahead = w.ahead[n:]
		return n, nil
	}
	return w.wire.read(b)
}
