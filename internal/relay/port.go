package relay

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// port is the listening side of an edge. It can refuse connections for a while
// and listen again at the same address; while it refuses, the port stays taken
// where the system allows that (see port_linux.go).
type port struct {
	addr string // as bound

	mu      sync.Mutex
	ln      *net.TCPListener
	serving chan struct{} // closed while connections are accepted
	shut    chan struct{} // closed with the port
	refused bool
	closed  bool
}

// openPort listens. Port 0 becomes a number of its own at once, so that it can be
// kept over a refusal.
func openPort(ctx context.Context, addr string) (*port, error) {
	var lc net.ListenConfig
	for try := 0; ; try++ {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		bound := l.Addr().String()
		if _, given, _ := net.SplitHostPort(addr); given == "0" || given == "" {
			// The kernel gives a port chosen by itself away on refusal; one
			// that was asked for it keeps.
			l.Close()
			if l, err = lc.Listen(ctx, "tcp", bound); err != nil {
				if try < 10 {
					continue
				}
				return nil, err
			}
		}
		p := &port{addr: bound, ln: l.(*net.TCPListener), serving: make(chan struct{}), shut: make(chan struct{})}
		close(p.serving)
		return p, nil
	}
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
	return p.refused || p.closed
}

// refuse stops listening: from its return on connecting fails.
func (p *port) refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refused {
		return nil
	}
	if err := stopListening(p.ln); err != nil {
		return fmt.Errorf("refuse connections to %s: %w", p.addr, err)
	}
	p.refused, p.serving = true, make(chan struct{})
	return nil
}

// serve listens again: from its return on connecting works.
func (p *port) serve(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.refused {
		return nil
	}
	ln, err := listenAgain(ctx, p.ln, p.addr)
	if err != nil {
		return fmt.Errorf("listen on %s again: %w", p.addr, err)
	}
	p.ln, p.refused = ln, false
	close(p.serving)
	return nil
}

func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	close(p.shut)
	p.ln.Close()
	if p.refused {
		close(p.serving)
	}
}
