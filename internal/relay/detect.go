package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// detectTime is how long a caller of an auto edge may take for its first bytes,
	// and for the next while they leave it open what it speaks. Callers of protocols
	// in which the callee speaks first wait that long once.
	detectTime = 250 * time.Millisecond
	// detectMost is how long a request line may be that is waited for.
	detectMost = 4 << 10
)

// speech is what the first bytes of a connection say.
type speech int

const (
	unclear speech = iota
	speaksHTTP
	speaksBytes
)

// detect tells what a connection speaks by its first bytes: HTTP is a request line
// of HTTP/1 or the preface of HTTP/2; everything else, TLS too, is bytes.
func detect(b []byte) speech {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	method, rest, ok := bytes.Cut(line, []byte(" "))
	for _, c := range method {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return speaksBytes
		}
	}
	switch {
	case len(method) > maxMethod || ok && len(method) == 0 || whole && !ok:
		return speaksBytes
	case ok && len(rest) > 0 && !bytes.ContainsAny(rest[:1], "/*hH") && string(method) != "CONNECT":
		return speaksBytes
	case len(line) >= detectMost:
		return speaksHTTP
	case whole:
		// The version says enough; whether the line is right is the server's to say.
		line = bytes.TrimRight(line, "\r")
		if i := bytes.LastIndexByte(line, ' '); i > len(method) && bytes.HasPrefix(line[i+1:], []byte("HTTP/")) {
			return speaksHTTP
		}
		return speaksBytes
	}
	return unclear
}

// maxMethod is how long a method of HTTP may be.
const maxMethod = 24

// likely tells what is made of a caller that goes on no further.
func likely(b []byte) speech {
	if _, rest, ok := bytes.Cut(b, []byte(" ")); ok && len(rest) > 0 && detect(b) == unclear {
		return speaksHTTP // it takes its time for a request line
	}
	return speaksBytes
}

// newcomer is a caller's connection to an auto edge until it is known what it
// speaks. Then it goes on as another link, under the same id if it speaks HTTP.
type newcomer struct {
	edge  *Edge
	id    uint64
	conn  socket // that is read: raw, or TLS on top of it
	raw   *net.TCPConn
	from  netip.AddrPort
	start time.Time

	mu   sync.Mutex
	over bool
	next link // what it has become
}

// meet finds out what a caller speaks, of whom bytes may have been read already, and
// carries its connection as that.
func (e *Edge) meet(c *net.TCPConn, ahead []byte) { e.newcomer(c, c, e.newID(), ahead) }

// meetSecure is meet for a caller with whom TLS was agreed on.
func (e *Edge) meetSecure(c *tls.Conn, raw *net.TCPConn, id uint64) {
	e.newcomer(newTLSSocket(c), raw, id, nil)
}

func (e *Edge) newcomer(c socket, raw *net.TCPConn, id uint64, ahead []byte) {
	n := &newcomer{edge: e, id: id, conn: c, raw: raw, from: remote(raw), start: time.Now()}
	e.live.Lock()
	e.links[id] = n
	e.live.Unlock()
	e.work.Go(func() {
		defer context.AfterFunc(e.ctx, func() { n.end("relay", GoesOn) })()
		n.listen(ahead)
	})
}

// listen reads until it is clear what the caller speaks.
func (n *newcomer) listen(ahead []byte) {
	what := detect(ahead)
	for what == unclear && len(ahead) < detectMost {
		n.deadline(time.Now().Add(detectTime))
		b := make([]byte, detectMost-len(ahead))
		m, err := n.conn.Read(b)
		ahead = append(ahead, b[:m]...)
		if what = detect(ahead); err != nil && what == unclear {
			what = likely(ahead) // a caller that has left is noticed again
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		n.raw.Close()
		n.edge.forget(n.id)
		return
	}
	n.raw.SetReadDeadline(time.Time{})
	if what == speaksHTTP {
		n.next = n.serve(ahead)
		return
	}
	n.next = n.edge.carry(n, ahead)
}

func (n *newcomer) deadline(t time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.over {
		n.raw.SetReadDeadline(t)
	}
}

// serve gives the connection to the server.
func (n *newcomer) serve(ahead []byte) link {
	h := n.edge.http
	c := net.Conn(n.raw)
	var state *tls.ConnectionState
	if s, ok := n.conn.(*tlsSocket); ok {
		own := s.ConnectionState()
		c, state = s.Conn, &own
	}
	cc := h.newCaller(c, n.raw, n.id)
	cc.tls = state
	h.serve(cc, ahead)
	return cc
}

// carry has a loop carry the connection as bytes.
func (e *Edge) carry(n *newcomer, ahead []byte) link {
	l := e.idlest()
	c := e.newLive(l, n.from)
	e.live.Lock()
	delete(e.links, n.id) // the descriptors are the new one's
	e.live.Unlock()
	l.post(func() {
		own := &c.ends[Up]
		var w wire
		fd := -1
		if n.conn != socket(n.raw) {
			w = newNetWire(n.conn, c, Up)
		} else {
			var err error
			if w, fd, err = c.ownWire(n.raw); err != nil { // it is closed
				c.hour.ring, c.begun = c.onHour, true
				c.fail(Up)
				return
			}
		}
		own.wire, own.fd = &aheadWire{w, ahead}, fd
		// The poller has not told of what was read ahead.
		own.readable, own.urgent, own.writable = true, true, true
		c.begin()
	})
	return c
}

func (n *newcomer) strike(a *armed, how Ending, h *hit) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.next != nil:
		return n.next.strike(a, how, h)
	case n.over:
		return false
	}
	return a.strike(func() bool {
		n.endLocked(how)
		return true
	})
}

func (n *newcomer) end(by string, how Ending) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		n.next.end(by, how)
		return
	}
	n.endLocked(how)
}

func (n *newcomer) endLocked(how Ending) {
	if n.over {
		return
	}
	n.over = true
	if how == Reset {
		n.raw.SetLinger(0)
	} else {
		n.raw.CloseWrite()
	}
	n.raw.SetDeadline(past)
}

func (n *newcomer) client() netip.Addr { return n.from.Addr() }

// status is the connection as it is listed.
func (n *newcomer) status(now time.Time) experiment.Connection {
	return experiment.Connection{
		ID: n.id, Edge: n.edge.name, Client: n.from.String(), Since: n.start, Age: now.Sub(n.start).Seconds(),
		State: "waiting",
	}
}
