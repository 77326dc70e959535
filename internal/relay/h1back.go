package relay

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// comeBack takes the connection of an exchange that is over from the server, and
// puts it on the fast path again, if it was there before an effect came and nothing
// could hurt its requests any more: after a lift, connections are as fast as before.
func (x *exchange) comeBack() {
	cc, e := x.conn, x.edge.edge
	if !x.whole || !cc.returns.Load() || x.stream || e.draining.Load() || e.mayHurt(cc.client()) || cc.isOver() {
		return
	}
	end, ok := x.lastChunk()
	if !ok {
		return
	}
	_, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return // the server keeps it
	}
	defer cc.Close() // what came back is a copy
	rw.WriteString(end)
	if rw.Flush() == nil {
		// What was hurt may be unread by us, and a body unread by the callee.
		cc.moveBack(unread(rw.Reader, &cc.ahead), !x.drawn.Load() && x.bodyless())
	}
}

// lastChunk is what the server would still write: the end of an answer without a
// length. False if a message was not whole, or the connection is of no more use, or
// there are trailers, which are the server's to write.
func (x *exchange) lastChunk() (end string, ok bool) {
	h := x.w.Header()
	if x.record.LastIn.IsZero() || x.r.Close || !x.r.ProtoAtLeast(1, 1) || x.record.Status < 200 || len(h["Trailer"]) > 0 || slices.Contains(h["Connection"], "close") {
		return "", false
	}
	if x.r.Method == http.MethodHead || x.record.Status == http.StatusNoContent || x.record.Status == http.StatusNotModified {
		return "", true
	}
	if length := h.Get("Content-Length"); length != "" {
		n, err := strconv.ParseUint(length, 10, 63)
		return "", err == nil && n == x.out.Load()
	}
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return "", false
		}
	}
	return "0\r\n\r\n", true
}

// unread is what was read of a connection and not taken.
func unread(r *bufio.Reader, ahead *ahead) []byte {
	b, _ := r.Peek(r.Buffered())
	ahead.mu.Lock()
	defer ahead.mu.Unlock()
	return append(slices.Clone(b), ahead.bytes...)
}

// moveBack makes a connection of the fast path of one of the server's, which has let
// go of it; keep takes its connection to the callee along, which must be idle.
func (c *callerConn) moveBack(ahead []byte, keep bool) {
	e := c.http.edge
	caller, err := copyOf(c.raw)
	if err != nil {
		return
	}
	callee := -1
	if up := c.callee.last(); up != nil && keep {
		if fd, err := copyOf(up); err == nil { // else it was closed, and is dialled anew
			callee = fd
			up.Close() // at once: the transport would take the next answer
		}
	}
	h := newH1(e, e.idlest(), c.id, c.from)
	h.ahead = ahead
	h.bytes[Up].Store(c.in.Load())
	h.bytes[Down].Store(c.out.Load())
	c.mu.Lock()
	h.start, h.to = c.start, c.to
	h.list()
	over, by := c.isOver(), c.by
	c.heir = h
	c.mu.Unlock()
	if over {
		h.end(by, GoesOn)
	}
	h.loop.post(func() { h.adopt(caller, callee) })
	if e.draining.Load() {
		h.ebb() // it was not there yet when the others were told
	}
}

// last is the connection to the callee that was used last for HTTP/1; nil without.
func (l *callee) last() *net.TCPConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest
}
