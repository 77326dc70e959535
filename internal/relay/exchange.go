package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// errCut says that the exchange ends without an answer: its caller is gone, or
// its connection was ended.
var errCut = errors.New("the exchange was cut")

// exchange is one request and its answer.
type exchange struct {
	edge   *httpEdge
	id     uint64
	conn   *callerConn
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	cancel func()
	pool   []io.Closer
	line   *calleeConn // that it goes by; nil on HTTP/2

	stream bool // on HTTP/2: it ends by itself, not with its connection
	piped  bool // a goroutine reads the request's body
	whole  bool // it was answered to the end
	heard  bool // the callee has answered
	short  bool // and the end came early

	in, out  atomic.Uint64
	messages [2]messages // counted by way; nil but for streams of them
	record   experiment.Exchange
	drawn    atomic.Bool // something hurts it, or did
	call     callOf
	body     *callBody // what the request's body passes through; nil if nothing

	mu       sync.Mutex
	seen     map[*armed]bool
	hits     []*hit
	queues   []*queue
	applied  []string  // faults that hurt it and were lifted
	first    time.Time // of the callee
	lastIn   time.Time // when the request had been read
	cutBy    string    // who has reset its stream
	left     bool      // the caller broke its request off
	finished bool      // nothing may be asked of the server any more
	answered bool      // no interim answer may follow
}

// ServeHTTP carries one exchange.
func (h *httpEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == "PRI" { // half a preface of HTTP/2
		w.Header().Set("Connection", "close")
		http.Error(w, "PRI begins HTTP/2 and nothing else", http.StatusBadRequest)
		return
	}
	conn := r.Context().Value(callerKey{}).(*callerConn)
	if !conn.enter() {
		panic(http.ErrAbortHandler)
	}
	if conn.lengths.doubtful(r) { // nothing after it may be taken for another request
		w.Header().Set("Connection", "close")
	}
	x := &exchange{edge: h, id: h.edge.newID(), conn: conn, w: w, r: r, stream: r.ProtoMajor == 2}
	x.ctx, x.cancel = context.WithCancel(r.Context())
	x.begin()
	h.edge.exchanges.Add(1)
	x.identify()
	x.ask()
	h.edge.live.Lock()
	h.edge.units[x.id] = x
	h.edge.live.Unlock()
	for _, a := range h.edge.armed() {
		x.learn(a)
		x.draw(a)
	}
	defer x.comeBack()
	defer x.partWays()
	defer x.finish()
	defer func() { x.stamp(&x.record) }()
	// An answer may begin before the request has ended, as the callee likes.
	http.NewResponseController(w).EnableFullDuplex()
	if r.Header.Get("Expect") != "" && !x.stream {
		// The server would tell the caller to go on as soon as somebody reads the
		// body, but that is the callee's to say. It does so once only: now.
		x.conn.mute.Store(true)
		w.WriteHeader(http.StatusContinue)
		x.conn.mute.Store(false)
	}
	err := x.serve()
	x.ended(err)
	if err != nil {
		panic(http.ErrAbortHandler) // closes the connection or the stream, however it was ended
	}
	x.drain()
	x.whole = true
}

// consider draws an exchange under way for effects that hold bytes; others hurt
// only those that begin later.
func (x *exchange) consider(a *armed) {
	if _, ok := a.Effect.(Holder); ok {
		x.draw(a)
	}
}

func (x *exchange) draw(a *armed) {
	if !a.hurts(fault.Exchange) || a.asleep() {
		return
	}
	fits, protected := a.fits(x.r, x.conn.client())
	if !fits {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen[a] {
		return
	}
	if x.seen == nil {
		x.seen = map[*armed]bool{}
	}
	x.seen[a] = true
	key := x.record.TraceID.String()
	if key != "" {
		key += " " + strconv.Itoa(a.tally().tries.next(x.record.TraceID))
	}
	if h := a.draw(key, protected || !x.chosen(a)); h != nil {
		if h.holds(Up) || h.holds(Down) {
			h.act()
		}
		x.hits = append(x.hits, h)
		x.drawn.Store(true)
	}
}

// replace takes an effect off, and draws the exchange for another.
func (x *exchange) replace(old, a *armed) {
	x.drop(old)
	x.consider(a)
}

// drop takes an effect off; what it holds or delays goes on at once. If it has
// swallowed the request, the connection ends.
func (x *exchange) drop(a *armed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.seen, a)
	for i, h := range x.hits {
		if h.armed != a {
			continue
		}
		x.hits = append(x.hits[:i:i], x.hits[i+1:]...)
		x.applied = append(x.applied, names([]*hit{h})...)
		h.quit()
		for _, q := range x.queues {
			q.drop(a)
		}
		if h.damaged.Load() {
			x.endLocked("relay", Close)
		}
		return
	}
}

// hurting lists what is in force on the exchange.
func (x *exchange) hurting() []*hit {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]*hit(nil), x.hits...)
}

// stages returns the stages of a way.
func (x *exchange) stages(way Way) []staged {
	var all []staged
	for _, h := range x.hurting() {
		if s := h.stage(way); s != nil && !h.isGone() {
			all = append(all, staged{h, s})
		}
	}
	return all
}

// heldBy returns what holds a way, nil if nothing does.
func (x *exchange) heldBy(way Way) *hit {
	if !x.drawn.Load() {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.hits {
		if h.holds(way) && !h.isGone() {
			return h
		}
	}
	return nil
}

// pass waits while a way is held, by whatever comes and goes meanwhile.
func (x *exchange) pass(way Way) error {
	for {
		h := x.heldBy(way)
		if h == nil {
			return nil
		}
		select {
		case <-h.gone:
		case <-x.ctx.Done():
			return errCut
		}
	}
}

// passUnread is pass for as long as nobody reads the request's body.
func (x *exchange) passUnread(way Way) error {
	if x.heldBy(way) == nil {
		return nil
	}
	defer x.watch()()
	return x.pass(way)
}

// watch notices that the caller leaves, for as long as nobody reads the request's
// body; without one the server does. It returns what ends it.
func (x *exchange) watch() (stop func()) {
	if x.stream || x.r.Body == http.NoBody || x.body.watches() {
		return func() {}
	}
	return x.conn.watch()
}

// rest waits for a while on behalf of h, or until that is lifted. Nobody may read
// the request's body.
func (x *exchange) rest(h *hit, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	defer x.watch()()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.gone:
	case <-x.ctx.Done():
		return errCut
	}
	return nil
}

// serve hurts the request, has it answered, and passes the answer on.
func (x *exchange) serve() error {
	if x.r.Method == http.MethodConnect {
		if !x.stream {
			x.w.Header().Set("Connection", "close") // what follows may be meant for the tunnel
		}
		x.record.Status, x.record.EndedBy = http.StatusNotImplemented, "relay"
		http.Error(x.w, "this is a relay of chaosctl on "+x.edge.edge.name+"; it makes no tunnels", http.StatusNotImplemented)
		return nil
	}
	answer, err := x.before()
	if err != nil {
		return err
	}
	if answer != nil {
		x.record.EndedBy = "relay"
		defer x.watch()()
		return x.respond(answer)
	}
	req, err := x.request()
	if err != nil {
		return err
	}
	x.editRequest(req)
	resp, err := x.roundTrip(req)
	if err != nil {
		return x.failed(err)
	}
	x.heard = true
	x.pool = append(x.pool, resp.Body)
	if resp, err = x.rewrite(resp); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.upgrade(resp)
	}
	return x.respond(resp)
}

// before does what happens to a request before it is forwarded.
func (x *exchange) before() (*http.Response, error) {
	var answers []*hit
	for _, h := range x.hurting() {
		if d, ok := h.Effect.(Delayer); ok {
			h.act()
			if err := x.rest(h, d.Delay(h.rand("delay"))); err != nil {
				return nil, err
			}
		}
		if e, ok := h.Effect.(Ender); ok {
			after, how := e.End()
			if err := x.rest(h, after); err != nil {
				return nil, err
			}
			if x.end(h, how) {
				return nil, errCut
			}
		}
		if h.swallows() && h.once(true) {
			return nil, x.swallow()
		}
		switch h.Effect.(type) {
		case Answerer, Replier:
			answers = append(answers, h)
		}
	}
	if err := x.passUnread(Up); err != nil {
		return nil, err
	}
	for _, h := range answers {
		if answer := x.answer(h); answer != nil {
			return answer, nil
		}
	}
	return nil, nil
}

// end ends the exchange on an effect's word, unless that was lifted.
func (x *exchange) end(h *hit, how Ending) bool {
	switch {
	case x.stream:
		if !h.once(false) {
			return false
		}
	case how == Reset:
		return x.conn.strike(h.armed, how, h)
	case !h.once(false):
		return false
	}
	x.noteEnd()
	if !x.stream && (x.r.Header.Get("Expect") == "" || x.conn.ahead.some()) { // else it has sent no body
		// With a body unread, closing would be seen as a reset.
		x.conn.SetReadDeadline(time.Now().Add(lingerTime))
		io.CopyN(io.Discard, x.r.Body, 1<<20)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked("relay", how)
	return true
}

// endLocked ends the caller's connection, or resets the stream, with INTERNAL_ERROR
// unless another code was set. It does not wait, and is called under mu.
func (x *exchange) endLocked(by string, how Ending) {
	if !x.stream {
		x.conn.end(by, how)
		return
	}
	if x.cutBy == "" {
		x.cutBy = by
	}
	x.cancel()
	c := http.NewResponseController(x.w)
	c.SetReadDeadline(past)
	c.SetWriteDeadline(past)
}

// interrupt makes whoever reads the request's body stop.
func (x *exchange) interrupt() {
	if !x.stream {
		x.conn.SetReadDeadline(past)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.finished { // then there is no stream any more
		http.NewResponseController(x.w).SetReadDeadline(past)
	}
}

// swallow takes the request and never answers; the lift ends its connection.
func (x *exchange) swallow() error {
	n, _ := io.Copy(io.Discard, x.r.Body)
	x.in.Add(uint64(n))
	<-x.ctx.Done()
	return errCut
}
