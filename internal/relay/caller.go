package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

type callerKey struct{}

// callerConn is a caller's connection to an HTTP edge. It counts bytes and can be
// ended at any time; once it has, no deadline that the server sets revives it.
// It is no *tls.Conn to the server, which therefore tells HTTP/2 by its preface with
// TLS as without, whatever was agreed on by ALPN.
type callerConn struct {
	net.Conn              // what the server reads and writes: raw, or TLS on top of it
	raw      *net.TCPConn // what is ended, and reset
	tls      *tls.ConnectionState
	http     *httpEdge
	id       uint64
	from     netip.AddrPort
	start    time.Time
	in, out  atomic.Uint64 // bytes
	busy     atomic.Int32  // exchanges under way
	callee   *callee       // of this connection alone
	ahead    ahead
	lengths  lengths
	told     int // bytes by which it is told what is spoken
	codes    codes
	mute     atomic.Bool // what the server writes is dropped
	returns  atomic.Bool // to the fast path; see comeBack
	streams  atomic.Bool // it speaks HTTP/2

	mu      sync.Mutex
	over    chan struct{}  // closed when it was ended
	cancel  func()         // ends its exchanges; nil until the server has it
	by      string         // who ended it
	byName  []string       // the faults that ended it
	to      netip.AddrPort // the callee, once connected
	idle    bool           // between two exchanges
	callees int            // open connections to the callee
	alone   bool           // the callee has closed the last of them
	users   int            // the server and the exchanges under way; 0 when all is over
	life    context.Context
	closed  sync.Once
	heir    link // what it is on the fast path; nil on the server's
}

// newCaller makes a connection that the server has not been given yet.
func (h *httpEdge) newCaller(c net.Conn, raw *net.TCPConn, id uint64) *callerConn {
	cc := &callerConn{Conn: c, raw: raw, http: h, id: id, from: remote(raw), start: time.Now(), over: make(chan struct{}), users: 1}
	cc.callee = newCallee(cc)
	return cc
}

// enter and leave frame an exchange. On HTTP/2 one may begin when the connection
// has just been closed: false, then it must not. The last to leave closes what is
// left of the callee's side.
func (c *callerConn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == 0 {
		return false
	}
	c.users++
	c.busy.Add(1)
	return true
}

func (c *callerConn) leave() {
	c.busy.Add(-1)
	c.release()
}

func (c *callerConn) release() {
	c.mu.Lock()
	c.users--
	last := c.users == 0
	c.mu.Unlock()
	if last {
		c.callee.close()
		c.http.edge.work.Done()
	}
}

// context makes the context of the connection's exchanges: done once it is ended.
func (c *callerConn) context(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, callerKey{}, c))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life, c.cancel = ctx, cancel
	if c.isOver() {
		cancel()
	}
	return ctx
}

// is follows the server. A callee that has closed its idle connection is seen by
// the caller as it would be without us: between two exchanges. Not on HTTP/2: what
// the caller sends at that moment would be lost, since no GOAWAY says that it was.
// There the next exchange has the callee dialled anew.
func (c *callerConn) is(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = s == http.StateIdle && !c.streams.Load()
	if c.idle && c.alone {
		c.endLocked("callee", Close)
	}
}

// left tells that a connection to the callee is closed; joined that there is a
// new one. One that ended for our own reasons is dialled anew for the next request.
func (c *callerConn) left(ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callees--
	c.alone = c.callees == 0 && !ours
	if c.idle && c.alone {
		c.endLocked("callee", Close)
	}
}

func (c *callerConn) joined(to netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
	c.callees++
	c.alone = false
}

func (c *callerConn) Read(b []byte) (int, error) {
	n, err, ok := c.ahead.take(b)
	if !ok {
		n, err = c.Conn.Read(b)
		c.came(n)
	}
	c.tell(b[:max(n, 0)])
	if !c.streams.Load() {
		c.lengths.feed(b[:max(n, 0)])
	}
	return n, err
}

// tell notes, by the first bytes of a connection, that it speaks HTTP/2.
func (c *callerConn) tell(b []byte) {
	const preface = "PRI" // no method of HTTP/1
	for i := 0; i < len(b) && c.told < len(preface); i++ {
		if b[i] != preface[c.told] {
			c.told = len(preface)
			return
		}
		if c.told++; c.told == len(preface) {
			c.streams.Store(true)
		}
	}
}

func (c *callerConn) Write(b []byte) (int, error) {
	if c.mute.Load() {
		return len(b), nil
	}
	if c.streams.Load() {
		b = c.codes.follow(b)
	}
	n, err := c.Conn.Write(b)
	c.http.edge.out.Add(uint64(max(n, 0)))
	c.out.Add(uint64(max(n, 0)))
	return n, err
}

func (c *callerConn) came(n int) {
	c.http.edge.in.Add(uint64(max(n, 0)))
	c.in.Add(uint64(max(n, 0)))
}

// ReadFrom hides the socket's own, which would not count.
func (c *callerConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Close is called by the server, once it is done with the connection.
func (c *callerConn) Close() error {
	if c.isOver() {
		c.raw.Close() // TLS would say goodbye first
	}
	err := c.Conn.Close()
	c.raw.Close()
	c.closed.Do(func() {
		c.mu.Lock()
		if c.cancel != nil {
			c.cancel()
		}
		moved := c.heir != nil
		c.mu.Unlock()
		if !moved {
			c.http.edge.forget(c.id)
		}
		c.release()
	})
	return err
}

// CloseWrite ends the way down of a connection that has changed its protocol.
func (c *callerConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends the sending side of a connection.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Close()
}

func (c *callerConn) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *callerConn) end(by string, how Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(by, how)
}

func (c *callerConn) endLocked(by string, how Ending) {
	if c.heir != nil {
		c.heir.end(by, how)
		return
	}
	if c.isOver() {
		return
	}
	c.by = by
	close(c.over)
	if how == Reset {
		c.raw.SetLinger(0)
	} else {
		c.raw.CloseWrite()
	}
	c.raw.SetDeadline(past)
	if c.cancel != nil {
		c.cancel()
	}
}

// status is the connection as it is listed.
func (c *callerConn) status(now time.Time) experiment.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := experiment.Connection{
		ID: c.id, Edge: c.http.edge.name, Client: c.from.String(), Since: c.start, Age: now.Sub(c.start).Seconds(),
		BytesIn: c.in.Load(), BytesOut: c.out.Load(), State: "open",
	}
	if c.to.IsValid() {
		s.Upstream = c.to.String()
	}
	return s
}

func (c *callerConn) client() netip.Addr { return c.from.Addr() }

func (c *callerConn) strike(a *armed, how Ending, h *hit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heir != nil {
		return c.heir.strike(a, how, h)
	}
	if c.isOver() {
		return false
	}
	return a.strike(func() bool {
		first := true
		if h != nil {
			first = h.acted.CompareAndSwap(false, true)
		} else {
			c.byName = append(c.byName, a.Name)
		}
		c.endLocked("relay", how)
		return first
	})
}

// whoEnded is empty unless the relay did, or the callee.
func (c *callerConn) whoEnded() (by string, faults []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, c.byName
}

func (c *callerConn) SetDeadline(t time.Time) error {
	return c.deadline(c.Conn.SetDeadline, t)
}

func (c *callerConn) SetReadDeadline(t time.Time) error {
	return c.deadline(c.Conn.SetReadDeadline, t)
}

func (c *callerConn) SetWriteDeadline(t time.Time) error {
	return c.deadline(c.Conn.SetWriteDeadline, t)
}

func (c *callerConn) deadline(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		t = past
	}
	return set(t)
}

// aheadLimit is how many bytes are read ahead at most, to notice that a caller
// leaves. Of one who leaves after sending more than that and the kernel's
// buffers take, the callee sees a request that breaks off.
const aheadLimit = 1 << 20

// ahead are bytes that were read before the server asked for them.
type ahead struct {
	mu    sync.Mutex
	bytes []byte
	err   error // how the caller left
}

func (a *ahead) take(b []byte) (n int, err error, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.bytes) == 0 {
		a.bytes = nil
		return 0, a.err, a.err != nil
	}
	n = copy(b, a.bytes)
	a.bytes = a.bytes[n:]
	return n, nil, true
}

func (a *ahead) some() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.bytes) > 0
}

// watch reads ahead, so that a caller who leaves ends its exchanges, until stop
// is called. Meanwhile nobody else may read.
func (c *callerConn) watch() (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.readAhead(); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cancel()
		}
	}()
	return func() {
		c.SetReadDeadline(past)
		<-done
		c.SetReadDeadline(time.Time{})
	}
}

// readAhead returns how the caller left, nil if it may be there still.
func (c *callerConn) readAhead() error {
	b := newBlock()
	defer b.release()
	for {
		n, err := c.Conn.Read(b.buf)
		c.came(n)
		c.ahead.mu.Lock()
		c.ahead.bytes = append(c.ahead.bytes, b.buf[:max(n, 0)]...)
		full := len(c.ahead.bytes) >= aheadLimit
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.ahead.err = err
		}
		left := c.ahead.err
		c.ahead.mu.Unlock()
		if err != nil || full {
			return left
		}
	}
}
