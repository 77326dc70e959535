package relay

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// handOver gives the connection to the server of the edge, with what was read of it.
// If it returns, it comes back once nothing could hurt it any more.
func (c *h1Conn) handOver(ahead []byte, returns bool) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.moved, c.over = true, true
	c.isOver.Store(true)
	hits := c.hits // of a try that was not sent
	c.hits = nil
	c.mu.Unlock()
	for _, h := range hits {
		h.end()
	}
	ahead = slices.Clone(ahead)
	if c.x.counted { // it will be again
		c.edge.exchanges.Add(^uint64(0))
	}
	c.ahead, c.x = nil, h1Exchange{}
	c.loop.timers.clear(&c.hour)
	if c.stage != open || c.ends[Down].readable || c.ends[Down].ending {
		c.hangUp()
	}
	caller, callee := c.ends[Up].wire.(releaser).release(), -1
	if w := c.ends[Down].wire; w != nil {
		callee = w.(releaser).release()
	}
	c.stage = finished
	c.ends[Up].wire, c.ends[Down].wire = nil, nil
	c.loop.live.Add(-1)
	go c.moveTo(caller, callee, ahead, returns) // the edge's work waits for it
}

// releaser is a wire that lets go of its socket.
type releaser interface{ release() (fd int) }

// moveTo hands the sockets over, and what was to be done to the connection meanwhile.
func (c *h1Conn) moveTo(caller, callee int, ahead []byte, returns bool) {
	e := c.edge
	defer e.work.Done()
	var up *net.TCPConn
	if callee >= 0 {
		up, _ = tcpConn(callee) // else it is dialled anew
	}
	down, err := tcpConn(caller)
	if err != nil {
		if up != nil {
			up.Close()
		}
		e.forget(c.id)
		return
	}
	e.in.Add(-uint64(len(ahead))) // they are counted again
	e.http.takeOver(down, c.id, ahead, up)
	e.live.Lock()
	heir := e.links[c.id]
	delete(e.units, c.id)
	e.live.Unlock()
	if heir == nil || heir == link(c) {
		return // it has ended already
	}
	if cc, ok := heir.(*callerConn); ok {
		cc.mu.Lock()
		cc.start = c.start
		cc.mu.Unlock()
		cc.returns.Store(returns)
		cc.in.Add(c.bytes[Up].Load() - uint64(len(ahead)))
		cc.out.Add(c.bytes[Down].Load())
	}
	c.mu.Lock()
	struck, how, by := c.struck, c.how, c.by
	c.heir = heir
	c.mu.Unlock()
	if struck {
		heir.end(by, how)
	}
}

// tcpConn makes a connection of the standard library of a socket; fd is closed.
func tcpConn(fd int) (*net.TCPConn, error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// readAnew reads the head of an answer as net/http does, and writes it as the edge's
// server would; rest is behind it. It is plain then.
func (c *h1Conn) readAnew(b []byte) (verdict, []byte, error) {
	end := headEnd(b)
	if end == 0 {
		return unfinished, b, nil
	}
	asked := &http.Request{Method: string(c.x.req.method.of(c.x.head))}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:end])), asked)
	if err == nil && resp.StatusCode < 100 {
		err = errFraming
	}
	if err != nil {
		return unusual, nil, err
	}
	closes := resp.Close || c.edge.draining.Load()
	strip(resp.Header)
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 " + strings.TrimSpace(resp.Status) + "\r\n")
	x := &c.x
	x.retry = retryAfter(resp.Header.Get("Retry-After"))
	x.resp = h1Head{length: -1, status: resp.StatusCode, close: closes}
	if len(resp.TransferEncoding) > 0 && x.bodyFraming() != noBody {
		x.resp.chunks = true
		resp.Header["Transfer-Encoding"] = resp.TransferEncoding
	} else if resp.ContentLength >= 0 && resp.Header.Get("Content-Length") != "" {
		x.resp.length = resp.ContentLength
	}
	for name := range resp.Trailer {
		resp.Header.Add("Trailer", name)
	}
	if closes {
		resp.Header.Set("Connection", "close")
	}
	resp.Header.Write(&head) // to memory
	head.WriteString("\r\n")
	x.resp.size = head.Len()
	return plain, append(head.Bytes(), b[end:]...), nil
}

// fast tells whether an edge's connections begin on the fast path: where nothing but
// what is armed can be done to them.
func (s *Set) fast(spec Spec) bool {
	return h1Loops && !s.portable && spec.Protocol == experiment.HTTP && spec.TLS == nil && len(spec.SNI) == 0 && spec.ClientFaults == nil && spec.Resolve == nil
}

// ebb ends the connections on the fast path on which nothing is under way.
func (e *Edge) ebb() {
	for _, l := range sorted(&e.live, e.links) {
		if c, ok := l.(*h1Conn); ok {
			c.ebb()
		}
	}
}
