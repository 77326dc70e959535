package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// port is the listening side of an edge. It can refuse connections for a while
// and listen again at the same address; while it refuses, the port stays taken
// where the system allows that (see port_linux.go).
type port struct {
	addr string // as bound

	mu      sync.Mutex
	ln      listener
	serving chan struct{} // closed while connections are accepted
	shut    chan struct{} // closed with the port
	refused bool
	deaf    bool
	closed  bool
	fillers fillers
	halted  atomic.Bool // refused, deaf or closed
	paused  func()      // called before the socket stops listening; nil without loops
	resumed func()      // called once it listens again
}

// openPort listens. Port 0 becomes a number of its own at once, so that it can be
// kept over a refusal: the kernel gives a port that it has chosen by itself away,
// and keeps one that it was asked for.
// With bare, nobody will call its Accept: loops ask the kernel themselves.
func openPort(ctx context.Context, addr string, bare bool) (*port, error) {
	l, err := listenAny(ctx, addr, bare)
	if err != nil {
		return nil, err
	}
	p := &port{addr: l.Addr().String(), ln: l, serving: make(chan struct{}), shut: make(chan struct{})}
	close(p.serving)
	return p, nil
}

// listener is a listening socket.
type listener interface {
	AcceptTCP() (*net.TCPConn, error)
	Addr() net.Addr
	Close() error
	SetDeadline(time.Time) error
	SyscallConn() (syscall.RawConn, error)
}

// guesses is how many ports are tried before the kernel is asked.
const guesses = 32

// listenAny listens; where any port will do, at one that it asks for by number.
func listenAny(ctx context.Context, addr string, bare bool) (listener, error) {
	host, given, err := net.SplitHostPort(addr)
	if err != nil || given != "0" && given != "" {
		return listen(ctx, addr, bare)
	}
	if ip, err := netip.ParseAddr(host); bare && err == nil && !ip.IsUnspecified() {
		tried := 0
		another := func() (uint16, bool) {
			tried++
			return anyPort(), tried < guesses
		}
		if l, err := listenBare(netip.AddrPortFrom(ip, anyPort()), another); err == nil {
			return l, nil
		}
	}
	for range guesses {
		n := int(anyPort())
		if l, err := listen(ctx, net.JoinHostPort(host, strconv.Itoa(n)), bare); err == nil {
			return l, nil
		}
	}
	for try := 0; ; try++ {
		l, err := listen(ctx, addr, false)
		if err != nil {
			return nil, err
		}
		bound := l.Addr().String()
		l.Close()
		if l, err = listen(ctx, bound, bare); err == nil || try == guesses {
			return l, err
		}
	}
}

// anyPort is one of those that Linux gives to who asks for any, unless it was set
// otherwise.
func anyPort() uint16 { return uint16(32768 + rand.IntN(60999-32768)) }

// listen listens for plain TCP: what Go would accept over several paths at once
// costs more, and cannot be spliced.
func listen(ctx context.Context, addr string, bare bool) (listener, error) {
	if to, err := netip.ParseAddrPort(addr); bare && err == nil && !to.Addr().IsUnspecified() && to.Port() != 0 {
		if l, err := listenBare(to, nil); err == nil || !errors.Is(err, errors.ErrUnsupported) {
			return l, err
		}
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// accept returns the next connection; false once the port is closed. It backs
// off while the system cannot give connections (EMFILE), and stands still while
// they are refused.
func (p *port) accept(ctx context.Context) (*net.TCPConn, bool) {
	backoff := time.Duration(0)
	for {
		p.mu.Lock()
		ln, serving, closed := p.ln, p.serving, p.closed
		p.mu.Unlock()
		if closed {
			return nil, false
		}
		select {
		case <-serving:
		case <-ctx.Done():
			return nil, false
		}
		c, err := ln.AcceptTCP()
		if err == nil {
			return c, true
		}
		if p.stopped() {
			backoff = 0
			continue
		}
		backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
		t := time.NewTimer(backoff)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, false
		}
	}
}

func (p *port) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused || p.deaf || p.closed
}

// refuse stops listening: from its return on connecting fails.
func (p *port) refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refused {
		return nil
	}
	if p.deaf {
		p.hearLocked()
	}
	p.pauseLocked(&p.refused)
	if err := stopListening(p.ln); err != nil {
		p.resumeLocked(&p.refused)
		return fmt.Errorf("refuse connections to %s: %w", p.addr, err)
	}
	return nil
}

// pauseLocked ends accepting, for a reason.
func (p *port) pauseLocked(why *bool) {
	*why, p.serving = true, make(chan struct{})
	p.halted.Store(true)
	if p.paused != nil {
		p.paused()
	}
}

func (p *port) resumeLocked(why *bool) {
	*why = false
	p.halted.Store(false)
	close(p.serving)
	if p.resumed != nil {
		p.resumed()
	}
}

// serve listens again: from its return on connecting works.
func (p *port) serve(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if p.deaf {
		return p.hearLocked()
	}
	if !p.refused {
		return nil
	}
	ln, err := listenAgain(ctx, p.ln, p.addr)
	if err != nil {
		return fmt.Errorf("listen on %s again: %w", p.addr, err)
	}
	p.ln = ln
	p.resumeLocked(&p.refused)
	return nil
}

func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.halted.Store(true)
	close(p.shut)
	if p.paused != nil {
		p.paused()
	}
	p.ln.Close()
	p.fillers.stop()
	if p.refused || p.deaf {
		close(p.serving)
	}
}

// deafen makes connecting hang: the kernel answers nobody. A port that refuses
// goes on refusing.
func (p *port) deafen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refused || p.deaf {
		return nil
	}
	if err := p.shared(); err != nil {
		return err
	}
	p.pauseLocked(&p.deaf)
	_ = p.ln.SetDeadline(past) // whoever accepts stops
	if err := p.fillers.fill(p.ln); err != nil {
		return errors.Join(fmt.Errorf("make %s deaf: %w", p.addr, err), p.hearLocked())
	}
	return nil
}

// hearLocked ends deafness. Who has tried to connect meanwhile is served as soon
// as it tries again, which its kernel does by itself.
func (p *port) hearLocked() error {
	p.fillers.stop()
	_ = p.ln.SetDeadline(time.Time{})
	err := fullQueue(p.ln)
	p.resumeLocked(&p.deaf)
	if err != nil {
		return fmt.Errorf("listen on %s as before: %w", p.addr, err)
	}
	return nil
}
