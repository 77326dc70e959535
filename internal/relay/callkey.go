package relay

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// What makes exchanges attempts of one call, the first that a request has:
//
//   - an idempotency key (Idempotency-Key, else X-Idempotency-Key), by itself;
//   - a request id (X-Request-Id) with method, path and query: proxies hand the id of
//     a request on to all that it leads to, which are calls of their own;
//   - a trace id (traceparent) with method, path and query, for the same reason;
//   - a correlation id (X-Correlation-Id), which may live longer than a trace, with
//     method, path and query; it counts as a request id;
//   - method, path, query and body, if the body is 64 KiB at most. Larger ones, and
//     CONNECT, have no key.
//
// All of it is kept and shown as a digest under a key of the process's own (see mix).

// bodyLimit is the largest body that makes a key.
const bodyLimit = 64 << 10

// earlyTime is how long a request waits for its body to be complete when an effect
// must know the call first. What takes longer, streams above all, has no key to that
// effect, and is spared by it. So is what expects to be told to go on (100-continue):
// that is the callee's to say.
const earlyTime = time.Second

// headKey is the call key that the head of a request makes, zero if none.
func headKey(r *http.Request) (key experiment.Digest, by experiment.Keying) {
	if id := idempotencyKey(r.Header); id != "" {
		return digestOf(ofIdempotency, id), experiment.ByIdempotency
	}
	if id := r.Header.Get("X-Request-Id"); id != "" {
		return keyOf(ofRequestID, digestOf(ofRequestID, id), targetOf(r)), experiment.ByRequestID
	}
	if id := traceID(r.Header.Get("Traceparent")); !id.IsZero() {
		return keyOf(ofTrace, id, targetOf(r)), experiment.ByTrace
	}
	if id := r.Header.Get("X-Correlation-Id"); id != "" {
		return keyOf(ofRequestID, digestOf(ofRequestID, id), targetOf(r)), experiment.ByRequestID
	}
	if r.Method != http.MethodConnect && (r.Body == nil || r.Body == http.NoBody) {
		return keyOf(ofBody, nothing, targetOf(r)), experiment.ByBody
	}
	return key, experiment.Unkeyed
}

// keyOf is the key of an id, or the sum of a body, with what was asked for.
func keyOf(what uint64, id, target experiment.Digest) experiment.Digest {
	m := newMix(secret)
	m.word(what)
	m.digest(id)
	m.digest(target)
	return m.sum()
}

// targetOf is the digest of method, path and query, as the fast path finds it in the
// first line of a request.
func targetOf(r *http.Request) experiment.Digest {
	return digestOf(ofTarget, r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
}

func idempotencyKey(h http.Header) string {
	if id := h.Get("Idempotency-Key"); id != "" {
		return id
	}
	return h.Get("X-Idempotency-Key")
}

// callOf is what is known of the call that an exchange is an attempt of.
type callOf struct {
	mu      sync.Mutex
	key     experiment.Digest
	by      experiment.Keying
	body    experiment.Digest
	attempt int // on the edge
}

// set notes a key, if there is none yet, and counts the attempt.
func (c *callOf) set(key experiment.Digest, by experiment.Keying, tries *attempts) {
	if c.key.IsZero() && !key.IsZero() {
		c.key, c.by, c.attempt = key, by, tries.next(key)
	}
}

// known is the key, zero if there is none so far.
func (c *callOf) known() experiment.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

// identify begins to find out which call the exchange is an attempt of. From here on
// its request's body is not to be replaced.
func (x *exchange) identify() {
	listens, tries := x.edge.edge.ear.on(), &x.edge.edge.tries
	if !listens && !x.needsKey() {
		return
	}
	key, by := headKey(x.r)
	x.call.set(key, by, tries)
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.Method == http.MethodConnect || x.r.ContentLength > bodyLimit || !key.IsZero() && !listens {
		return
	}
	r := x.r
	x.body = &callBody{src: r.Body, hash: &bodySum{}, done: func(sum experiment.Digest) {
		x.call.mu.Lock()
		defer x.call.mu.Unlock()
		x.call.body = sum
		if x.call.key.IsZero() {
			x.call.set(keyOf(ofBody, sum, targetOf(r)), experiment.ByBody, tries)
		}
	}}
	x.body.hash.begin()
	x.r.Body = x.body
}

// needsKey tells whether an effect in force counts attempts.
func (x *exchange) needsKey() bool {
	for _, a := range x.edge.edge.armed() {
		if a.Attempts != "" {
			return true
		}
	}
	return false
}

// learn reads the body, within limits, if an effect that the exchange fits must know
// the call and the head does not tell.
func (x *exchange) learn(a *armed) {
	if a.Attempts == "" || x.body == nil || x.body.early != nil || !x.call.known().IsZero() || x.r.Header.Get("Expect") != "" {
		return
	}
	if fits, _ := a.fits(x.r, x.conn.client()); !fits || a.asleep() || !a.hurts(fault.Exchange) {
		return
	}
	x.pool = append(x.pool, closer(func() { x.body.stop(x.w) }))
	x.body.readEarly(x.ctx.Done())
}

// chosen tells whether the exchange is an attempt that an effect hurts; asking counts
// it. One whose call is not known is not.
func (x *exchange) chosen(a *armed) bool {
	if a.Attempts == "" {
		return true
	}
	key := x.call.known()
	if key.IsZero() && x.body == nil { // nobody asked when it began
		key, _ = headKey(x.r)
	}
	return !key.IsZero() && a.Attempts.Has(a.tally().calls.next(key))
}

// stamp writes what is known of the call into the record. Of one that had begun before
// somebody listened, that is what its head tells.
func (x *exchange) stamp(r *experiment.Exchange) {
	if !x.edge.edge.ear.on() {
		return
	}
	if id := x.r.Header.Get("X-Request-Id"); id != "" {
		r.RequestID = digestOf(ofRequestID, id)
	}
	if id := idempotencyKey(x.r.Header); id != "" {
		r.Idempotent = digestOf(ofIdempotency, id).String()
	}
	x.call.mu.Lock()
	defer x.call.mu.Unlock()
	r.Key, r.Keyed, r.Attempt, r.BodyHash = x.call.key, x.call.by, x.call.attempt, x.call.body
	if r.Key.IsZero() && x.body == nil {
		r.Key, r.Keyed = headKey(x.r)
	}
}

// callBody is a request's body that is hashed as it passes, and of which the
// beginning can be read before anybody asks for it.
type callBody struct {
	src   io.ReadCloser
	hash  *bodySum                    // nil once the body is over or too large
	done  func(sum experiment.Digest) // told at its end
	early *early
}

// early is the beginning of a body that was read ahead.
type early struct {
	mu      sync.Mutex
	come    sync.Cond     // something has
	bytes   []byte        // read and not yet taken
	err     error         // how the body ended
	stopped chan struct{} // closed when nothing more is read ahead
	over    bool          // stopped is
}

// saw takes bytes of the body in.
func (b *callBody) saw(p []byte, err error) {
	if b.hash == nil {
		return
	}
	if !b.hash.add(p) {
		b.hash = nil
		return
	}
	if err == io.EOF {
		b.done(b.hash.sum())
	}
	if err != nil {
		b.hash = nil
	}
}

func (b *callBody) Read(p []byte) (int, error) {
	if e := b.early; e != nil {
		e.mu.Lock()
		for len(e.bytes) == 0 && !e.over {
			e.come.Wait()
		}
		n := copy(p, e.bytes)
		e.bytes = e.bytes[n:]
		err := e.err
		if len(e.bytes) > 0 {
			err = nil
		}
		e.mu.Unlock()
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	n, err := b.src.Read(p)
	b.saw(p[:max(n, 0)], err)
	return n, err
}

// Close closes the body; the server does so by itself, too.
func (b *callBody) Close() error { return b.src.Close() }

// readEarly reads the beginning of the body, and waits until it is over, too large to
// make a key, or late.
func (b *callBody) readEarly(gone <-chan struct{}) {
	e := &early{stopped: make(chan struct{})}
	e.come.L = &e.mu
	b.early = e
	go func() {
		defer close(e.stopped)
		buf := make([]byte, 4<<10)
		for size, more := 0, true; more; {
			n, err := b.src.Read(buf)
			b.saw(buf[:max(n, 0)], err)
			size += max(n, 0)
			more = err == nil && size <= bodyLimit
			e.mu.Lock()
			e.bytes, e.err, e.over = append(e.bytes, buf[:max(n, 0)]...), err, !more
			e.come.Broadcast()
			e.mu.Unlock()
		}
	}()
	late := time.NewTimer(earlyTime)
	defer late.Stop()
	select {
	case <-e.stopped:
	case <-late.C:
	case <-gone:
	}
}

// watches tells whether a caller who leaves is noticed without more: while the body is
// being read ahead, and, by the server, once it was read to its end.
func (b *callBody) watches() bool {
	if b == nil || b.early == nil {
		return false
	}
	b.early.mu.Lock()
	defer b.early.mu.Unlock()
	return !b.early.over || b.early.err != nil
}

// stop makes sure that the body is not being read ahead any more. A caller who has
// its answer already and still owes some of the body loses its connection.
func (b *callBody) stop(w http.ResponseWriter) {
	select {
	case <-b.early.stopped:
	default:
		http.NewResponseController(w).SetReadDeadline(past)
		<-b.early.stopped
	}
}
