package relay

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// greeting is a caller's connection to an edge that sees requests, until its TLS
// handshake is over. Then the connection goes on under the same id.
type greeting struct {
	edge   *Edge
	id     uint64
	knock  *knock
	start  time.Time
	from   netip.AddrPort
	cancel context.CancelFunc

	asked bool // a ClientHello has come

	mu    sync.Mutex
	over  bool
	by    string // who has ended it; the caller, unless somebody else has said so
	endAt time.Time
	hits  []*hit
}

// greet carries a knocking caller.
func (e *Edge) greet(k *knock) {
	ctx, cancel := context.WithCancel(e.ctx)
	g := &greeting{edge: e, id: e.newID(), knock: k, start: time.Now(), from: remote(k.TCPConn), cancel: cancel}
	e.live.Lock()
	e.links[g.id] = g
	e.live.Unlock()
	e.work.Go(func() {
		defer cancel()
		g.greet(ctx)
	})
}

// greet brings the caller through its handshake, and the connection to the server.
func (g *greeting) greet(ctx context.Context) {
	conn, err := g.handshake(ctx)
	g.mu.Lock()
	over := g.over
	g.over = true
	hits, x := g.hits, g.recordLocked()
	g.mu.Unlock()
	for _, h := range hits {
		h.end()
	}
	if err == nil && !over {
		if g.edge.spec.Protocol == experiment.Auto {
			g.edge.meetSecure(conn, g.knock.TCPConn, g.id)
			return
		}
		g.edge.http.takeTLS(conn, g.knock.TCPConn, g.id)
		return
	}
	if err != nil && !over {
		g.knock.farewell()
	}
	g.knock.TCPConn.Close()
	<-g.knock.done
	g.edge.forget(g.id)
	if g.asked {
		g.edge.ear.tell(&x)
	}
}

// recordLocked is what is told of a caller that did not come as far as a request.
func (g *greeting) recordLocked() experiment.Exchange {
	x := experiment.Exchange{Edge: g.edge.name, Conn: g.id, Start: g.start, End: g.endAt, EndedBy: g.by, Cut: true, Faults: names(g.hits)}
	if x.End.IsZero() {
		x.End = time.Now()
	}
	switch {
	case x.EndedBy != "":
	case len(x.Faults) > 0:
		x.EndedBy = "relay"
	default:
		x.EndedBy = "caller"
	}
	return x
}

// handshake is what happens before the first request. Who calls is given what the
// callee would choose; a callee that cannot be reached is seen as a reset, as it is
// by callers that speak plain.
func (g *greeting) handshake(ctx context.Context) (*tls.Conn, error) {
	e, k := g.edge, g.knock
	h, err := k.await(ctx)
	if err != nil {
		refuse(k, err)
		return nil, err
	}
	g.asked = true
	bad, err := e.hurt(ctx, k, handshakeHurts{drawn: g.struck, end: func(h *hit, how Ending) bool { return g.strike(h.armed, how, h) }})
	if err != nil {
		return nil, err
	}
	c := plainChoice(e.spec.Protocol, h)
	if e.spec.originates() {
		if c, err = e.tls.ask(ctx, h); err != nil {
			g.end("callee", Reset)
			return nil, err
		}
	}
	return e.tls.answer(ctx, k, c, bad)
}

// ask finds out what the callee would choose of what a caller offers. It calls the
// callee only if nobody has offered the same before.
func (t *tlsSide) ask(ctx context.Context, h *hello) (*choice, error) {
	if c, ok := t.recall(h); ok {
		return &c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.edge.dialTime)
	defer cancel()
	conn, err := t.call(ctx, t.edge.next().text, h, nil)
	if err != nil {
		return nil, err
	}
	_ = conn.NetConn().Close() // it was only asked
	c := chosen(conn)
	t.remember(h, c)
	return &c, nil
}

// drain reads what comes until the deadline or the end.
func (k *knock) drain() {
	<-k.done
	b := newBlock()
	defer b.release()
	for n := 0; n < lingerBytes; {
		m, err := k.TCPConn.Read(b.buf)
		if n += m; err != nil {
			return
		}
	}
}

// struck notes a hit on the handshake.
func (g *greeting) struck(h *hit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hits = append(g.hits, h)
}

func (g *greeting) strike(a *armed, how Ending, h *hit) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return false
	}
	return a.strike(func() bool {
		first := h == nil || h.acted.CompareAndSwap(false, true)
		g.endLocked("relay", how)
		return first
	})
}

func (g *greeting) end(by string, how Ending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endLocked(by, how)
}

// endLocked has whoever works on the handshake stop.
func (g *greeting) endLocked(by string, how Ending) {
	if g.over {
		return
	}
	g.over, g.by, g.endAt = true, by, time.Now()
	if how == Reset {
		g.knock.SetLinger(0)
	} else {
		g.knock.CloseWrite()
	}
	g.knock.SetDeadline(past)
	g.cancel()
}

func (g *greeting) client() netip.Addr { return g.from.Addr() }

// status is the connection as it is listed.
func (g *greeting) status(now time.Time) experiment.Connection {
	return experiment.Connection{
		ID: g.id, Edge: g.edge.name, Client: g.from.String(), Since: g.start, Age: now.Sub(g.start).Seconds(),
		State: "waiting",
	}
}
