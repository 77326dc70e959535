package relay

import (
	"context"
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
type callerConn struct {
	*net.TCPConn
	http    *httpEdge
	id      uint64
	from    netip.AddrPort
	start   time.Time
	in, out atomic.Uint64   // bytes
	busy    atomic.Int32    // exchanges under way
	callee  *http.Transport // of this connection alone
	ahead   ahead
	mute    atomic.Bool // what the server writes is dropped

	mu      sync.Mutex
	over    chan struct{}  // closed when it was ended
	cancel  func()         // ends its exchanges; nil until the server has it
	by      string         // who ended it
	byName  []string       // the faults that ended it
	to      netip.AddrPort // the callee, once connected
	idle    bool           // between two exchanges
	callees int            // open connections to the callee
	alone   bool           // the callee has closed the last of them
	life    context.Context
	closed  sync.Once
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
// the caller as it would be without us: between two exchanges.
func (c *callerConn) is(s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = s == http.StateIdle
	if c.idle && c.alone {
		c.endLocked("", Close)
	}
}

// left tells that a connection to the callee is closed; joined that there is a
// new one.
func (c *callerConn) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callees--
	c.alone = c.callees == 0
	if c.idle && c.alone {
		c.endLocked("", Close)
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
	if n, err, ok := c.ahead.take(b); ok {
		return n, err
	}
	n, err := c.TCPConn.Read(b)
	c.came(n)
	return n, err
}

func (c *callerConn) Write(b []byte) (int, error) {
	if c.mute.Load() {
		return len(b), nil
	}
	n, err := c.TCPConn.Write(b)
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
	err := c.TCPConn.Close()
	c.closed.Do(func() {
		c.mu.Lock()
		if c.cancel != nil {
			c.cancel()
		}
		c.mu.Unlock()
		c.callee.CloseIdleConnections()
		c.http.edge.forget(c.id)
		c.http.edge.work.Done()
	})
	return err
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
	if c.isOver() {
		return
	}
	c.by = by
	close(c.over)
	if how == Reset {
		c.TCPConn.SetLinger(0)
	} else {
		c.TCPConn.CloseWrite()
	}
	c.TCPConn.SetDeadline(past)
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

// whoEnded is empty unless the relay did.
func (c *callerConn) whoEnded() (by string, faults []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, c.byName
}

func (c *callerConn) SetDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetDeadline, t)
}

func (c *callerConn) SetReadDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetReadDeadline, t)
}

func (c *callerConn) SetWriteDeadline(t time.Time) error {
	return c.deadline(c.TCPConn.SetWriteDeadline, t)
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
		n, err := c.TCPConn.Read(b.buf)
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
