package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Options of a resolver.
type Options struct {
	// Listen is where it answers by UDP and TCP, host:port; port 0 picks one that is
	// free for both.
	Listen string
	// Upstreams answer in truth, as experiment.ParseUpstream reads them, the first
	// that is well; empty for those of the system.
	Upstreams []string
	// Roots is PEM that verifies DoT and DoH upstreams; empty for the system's.
	Roots []byte
	// System is the file that names the system's resolvers; /etc/resolv.conf if empty.
	System string
	// Patience is how long the upstreams have for an answer, together; 8s if 0.
	Patience time.Duration
}

const (
	defaultPatience = 8 * time.Second
	maxUnderWay     = 16384 // queries by UDP; what comes beyond is lost, as UDP may
	maxHeld         = 8192  // queries that wait for a delay to end; further ones are lost
	keepEnded       = 1000  // receipts of faults that are over
	settleTime      = time.Second
)

// Resolver is a resolver that is open. Its methods may be called concurrently.
type Resolver struct {
	listen string // as it was asked for
	addr   net.Addr
	up     *upstreams
	udp    *net.UDPConn
	tcp    *net.TCPListener
	held   chan struct{}

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	all  sync.WaitGroup

	busy  atomic.Int64  // queries that are being answered
	quiet chan struct{} // told when there are none any more

	queries, unanswered, lost atomic.Uint64
	problem                   atomic.Value // string: why the last query was not answered

	force   atomic.Pointer[[]*armed] // in the order of their coming
	control sync.Mutex               // held for changing what is in force
	known   map[string]*armed        // with what is over
	ended   []string                 // ids, oldest first
	closed  bool
}

// Open listens and answers from when it returns. The error says what would have
// to be different.
func Open(ctx context.Context, o Options) (*Resolver, error) {
	r := &Resolver{listen: o.Listen, held: make(chan struct{}, maxHeld), quiet: make(chan struct{}, 1), known: map[string]*armed{}}
	r.force.Store(new([]*armed))
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if r.tcp, r.udp, err = listen(ctx, o.Listen); err != nil {
		r.stop()
		return nil, err
	}
	r.addr = r.tcp.Addr()
	if r.up, err = newUpstreams(o, r.itself); err != nil {
		r.stop()
		return nil, errors.Join(err, r.tcp.Close(), r.udp.Close())
	}
	r.all.Go(r.serveUDP)
	r.all.Go(r.serveTCP)
	return r, nil
}

// listen opens both ports, which must be the same.
func listen(ctx context.Context, address string) (*net.TCPListener, *net.UDPConn, error) {
	const tries = 20 // the port that is free for TCP may be taken for UDP
	var last error
	for range tries {
		t, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for DNS: %w", err)
		}
		u, err := new(net.ListenConfig).ListenPacket(ctx, "udp", t.Addr().String())
		if err == nil {
			return t.(*net.TCPListener), u.(*net.UDPConn), nil
		}
		last = errors.Join(fmt.Errorf("listen for DNS: %w", err), t.Close())
		if _, port, _ := net.SplitHostPort(address); port != "0" {
			break
		}
	}
	return nil, nil, last
}

// itself tells whether an IP address with a port is where the resolver listens.
func (r *Resolver) itself(address string) bool {
	at, err := netip.ParseAddrPort(address)
	own := r.addr.(*net.TCPAddr).AddrPort()
	if err != nil || at.Port() != own.Port() {
		return false
	}
	ip, mine := at.Addr().Unmap().WithZone(""), own.Addr().Unmap().WithZone("")
	if ip.IsUnspecified() { // a call to it is one to loopback
		return mine.IsLoopback() || mine.IsUnspecified()
	}
	if !mine.IsUnspecified() {
		return ip == mine
	}
	locals, _ := net.InterfaceAddrs() // unknown: it is taken for another's
	return ip.IsLoopback() || slices.ContainsFunc(locals, func(a net.Addr) bool {
		n, err := netip.ParsePrefix(a.String())
		return err == nil && n.Addr().Unmap() == ip
	})
}

// Addr is where it listens, host:port.
func (r *Resolver) Addr() string { return r.addr.String() }

// Status says what it has done so far.
func (r *Resolver) Status() experiment.ResolverStatus {
	problem, _ := r.problem.Load().(string)
	return experiment.ResolverStatus{
		Listen: r.Addr(), Upstreams: r.up.names(), Queries: r.queries.Load(),
		Unanswered: r.unanswered.Load(), Problem: problem, Lost: r.lost.Load(),
	}
}

// Close stops listening, lifts what is in force and returns when all is quiet.
func (r *Resolver) Close() error {
	r.control.Lock()
	r.closed = true
	for _, a := range *r.force.Load() {
		a.end()
	}
	r.force.Store(new([]*armed))
	r.control.Unlock()
	r.settle()
	r.stop()
	err := errors.Join(r.udp.Close(), r.tcp.Close())
	r.all.Wait()
	r.up.close()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the resolver: %w", err)
	}
	return nil
}

// answering does what answers one query.
func (r *Resolver) answering(do func()) {
	r.busy.Add(1)
	defer func() {
		if r.busy.Add(-1) == 0 {
			select {
			case r.quiet <- struct{}{}:
			default:
			}
		}
	}()
	do()
}

// settle waits a moment for the answers to queries that were held until now.
func (r *Resolver) settle() {
	t := time.NewTimer(settleTime)
	defer t.Stop()
	for r.busy.Load() > 0 {
		select {
		case <-r.quiet:
		case <-t.C:
			return
		}
	}
}

// handle finds an answer to a message; nil is none. It may block until ctx ends.
func (r *Resolver) handle(ctx context.Context, raw []byte, tcp bool) []byte {
	q, fate := readQuery(raw, tcp)
	switch fate {
	case drop:
		return nil
	case formErr:
		return refusal(raw, rcodeFormErr)
	case notImp:
		return refusal(raw, rcodeNotImp)
	}
	r.queries.Add(1)
	if !r.waited(ctx, &q) {
		return nil
	}
	for _, a := range *r.force.Load() {
		if !a.effect.ends() || !a.fits(&q) {
			continue
		}
		if h := a.draw(); h != nil {
			defer h.end()
			return r.hurt(ctx, h, &q)
		}
	}
	return r.ask(ctx, &q)
}

// waited lets a query wait for the delays in force; they come before whatever else
// is. False if it is lost over it.
func (r *Resolver) waited(ctx context.Context, q *query) bool {
	for _, a := range *r.force.Load() {
		if a.effect.ends() || !a.fits(q) {
			continue
		}
		if h := a.draw(); h != nil {
			select {
			case r.held <- struct{}{}:
				h.hold(ctx, a.effect.delay(h.chance))
				<-r.held
			default:
				r.lost.Add(1)
				h.end()
				return false
			}
			h.end()
		}
	}
	return ctx.Err() == nil
}

// hurt does to a query what ends it.
func (r *Resolver) hurt(ctx context.Context, h *hit, q *query) []byte {
	if h.effect.swallow {
		if h.maxActive > 0 { // it is active for as long as callers may wait
			h.hold(ctx, r.up.patience)
		}
		return nil
	}
	a, err := h.effect.answer(ctx, q, r.up.ask)
	if err != nil {
		return refusal(q.raw, rcodeFormErr) // it could not be read as a whole
	}
	return a
}

// ask is the query's way when nothing hurts it.
func (r *Resolver) ask(ctx context.Context, q *query) []byte {
	a, err := r.up.ask(ctx, q)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		r.problem.Store(strings.ReplaceAll(err.Error(), "\n", "; "))
		r.unanswered.Add(1)
		return q.failed()
	}
	return a
}

// arm puts a plan in force, in the place of the one with the id old if that is in
// force.
func (r *Resolver) arm(old string, p plan) error {
	r.control.Lock()
	defer r.control.Unlock()
	switch _, twice := r.known[p.id]; {
	case r.closed:
		return errors.New("the resolver is closed")
	case twice:
		return fmt.Errorf("%s was armed before", p.id)
	case !p.until.IsZero() && time.Until(p.until) <= 0:
		return errors.New("its lease is over already")
	}
	fresh := arm(p)
	list := slices.Clone(*r.force.Load())
	before := slices.IndexFunc(list, func(a *armed) bool { return a.id == old })
	if before >= 0 {
		was := list[before]
		list[before] = fresh
		r.force.Store(&list)
		was.end()
		r.forget(old)
	} else {
		list = append(list, fresh)
		r.force.Store(&list)
	}
	r.known[p.id] = fresh
	if !p.until.IsZero() {
		fresh.lease = time.AfterFunc(time.Until(p.until), func() { r.lift(p.id) })
	}
	return nil
}

// end lifts an effect and stops its lease.
func (a *armed) end() {
	a.lift()
	if a.lease != nil {
		a.lease.Stop()
	}
}

// lift takes what has an id out of force; nothing happens if it is not.
func (r *Resolver) lift(id string) {
	r.control.Lock()
	defer r.control.Unlock()
	list := slices.Clone(*r.force.Load())
	i := slices.IndexFunc(list, func(a *armed) bool { return a.id == id })
	if i < 0 {
		return
	}
	list[i].end()
	list = slices.Delete(list, i, i+1)
	r.force.Store(&list)
	r.forget(id)
}

// forget keeps the receipt of what is over for a while. It is called under control.
func (r *Resolver) forget(id string) {
	r.ended = append(r.ended, id)
	if over := len(r.ended) - keepEnded; over > 0 {
		for _, old := range r.ended[:over] {
			delete(r.known, old)
		}
		r.ended = slices.Delete(r.ended, 0, over)
	}
}

// receipt reads what has an id.
func (r *Resolver) receipt(id string) (receipt fault.Receipt, inForce bool) {
	r.control.Lock()
	a, ok := r.known[id]
	r.control.Unlock()
	if !ok {
		return fault.Receipt{}, false
	}
	return a.counts()
}
