package relay

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// h1Call is what is known of the call that an exchange of the fast path is an attempt
// of, if somebody hears of exchanges; it is what the server's finds out (see
// exchange.identify).
type h1Call struct {
	target  *h1Target // nil until it was looked for
	trace   experiment.Digest
	id      experiment.Digest // X-Request-Id
	key     experiment.Digest
	by      experiment.Keying
	body    experiment.Digest
	attempt int
	hashing bool // the body, in h1Conn.sum
}

// request is the request as net/http reads it, which takes all heads that the fast
// path does.
func (x *h1Exchange) request() *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(x.head)))
	if err != nil {
		return &http.Request{} // fits nothing that narrows
	}
	return r
}

// identify begins to find out which call the exchange is an attempt of. It is called
// again if the request is to be sent again.
func (c *h1Conn) identify() {
	x := &c.x
	if x.call.target == nil {
		c.readCall()
		if !x.call.key.IsZero() {
			x.call.attempt = c.edge.tries.next(x.call.key)
		}
	}
	if x.up.done || x.req.length > bodyLimit {
		return
	}
	if c.sum == nil {
		c.sum = &bodySum{}
		c.saw = func(b []byte) { c.x.call.hashing = c.x.call.hashing && c.sum.add(b) }
	}
	c.sum.begin()
	x.call.hashing, x.up.saw = true, c.saw
}

// readCall reads what the head of the request tells of the call (see headKey).
func (c *h1Conn) readCall() {
	x := &c.x
	call, req, head := &x.call, &x.req, x.head
	call.target = c.loop.names.target(head, req)
	call.trace = traceID(req.trace.of(head))
	if id := req.requestID.of(head); len(id) > 0 {
		call.id = digestOf(ofRequestID, id)
	}
	target := call.target.digest
	switch id := req.idempotencyKey(head); {
	case len(id) > 0:
		call.key, call.by = digestOf(ofIdempotency, id), experiment.ByIdempotency
	case !call.id.IsZero():
		call.key, call.by = keyOf(ofRequestID, call.id, target), experiment.ByRequestID
	case !call.trace.IsZero():
		call.key, call.by = keyOf(ofTrace, call.trace, target), experiment.ByTrace
	case !req.correlation.empty():
		call.key, call.by = keyOf(ofRequestID, digestOf(ofRequestID, req.correlation.of(head)), target), experiment.ByRequestID
	case req.length <= 0 && !req.chunks:
		call.key, call.by = call.target.bodiless, experiment.ByBody
	}
}

// bodyRead is called once the request's body has been read whole.
func (c *h1Conn) bodyRead() {
	x := &c.x
	x.lastIn = time.Now()
	call := &x.call
	if !call.hashing {
		return
	}
	call.hashing = false
	call.body = c.sum.sum()
	if call.key.IsZero() {
		call.key, call.by = keyOf(ofBody, call.body, call.target.digest), experiment.ByBody
		call.attempt = c.edge.tries.next(call.key)
	}
}

// chosen tells whether the exchange is an attempt that an effect hurts; asking counts
// it.
func (x *h1Exchange) chosen(r *http.Request, a *armed) bool {
	if len(a.Attempts) == 0 {
		return true
	}
	key, _ := headKey(r)
	return !key.IsZero() && a.Attempts.Has(a.tally().calls.next(key))
}

// record is what is told of the exchange, valid until the next one of the loop is.
func (c *h1Conn) record(by string, faults []string) *experiment.Exchange {
	x := &c.x
	call := &x.call
	if call.target == nil { // it had begun before somebody listened
		c.readCall()
	}
	if by == "" {
		by = experiment.EndedByCaller
	}
	e := &c.loop.told
	*e = experiment.Exchange{
		Edge: c.edge.name, Conn: c.id, Method: call.target.method, Path: call.target.path, Query: call.target.query, Status: x.status,
		BytesIn: x.up.data, BytesOut: x.down.data, Start: x.start, FirstByte: x.first, LastIn: x.lastIn, End: time.Now(),
		EndedBy: by, Cut: !x.whole, Faults: faults, RetryAfter: x.retry,
		Proto: "HTTP/1.1", Host: c.loop.names.host(x.req.host.of(x.head)),
		TraceID: call.trace, RequestID: call.id, Key: call.key, Keyed: call.by, Attempt: call.attempt, BodyHash: call.body,
	}
	if id := x.req.idempotencyKey(x.head); len(id) > 0 {
		e.Idempotent = digestOf(ofIdempotency, id).String()
	}
	return e
}

// idempotencyKey is the field of that name, or the other; empty without.
func (h *h1Head) idempotencyKey(head []byte) []byte {
	if !h.idempotent.empty() {
		return h.idempotent.of(head)
	}
	return h.idempotentX.of(head)
}

// h1Target is what requests of the fast path ask for.
type h1Target struct {
	method, path, query string
	digest              experiment.Digest // see targetOf
	bodiless            experiment.Digest // the key of requests without a body
}

const (
	namesMost = 2048 // of a sort are kept; with more, all are forgotten
	nameMost  = 256  // bytes of one that is kept
)

// h1Names are texts that many requests have in common: of a loop, which alone uses them.
type h1Names struct {
	targets map[string]*h1Target // by method, space, path and query
	hosts   map[string]string
}

// target is that of a request.
func (n *h1Names) target(head []byte, req *h1Head) *h1Target {
	line := head[:req.target.to]
	if t := n.targets[string(line)]; t != nil {
		return t
	}
	text := string(line)
	asked := text[req.target.from:]
	raw, query, _ := strings.Cut(asked, "?")
	t := &h1Target{method: text[:req.method.to], path: raw, query: redactQuery(query), digest: digestOf(ofTarget, text[:req.method.to], raw, query)}
	t.bodiless = keyOf(ofBody, nothing, t.digest)
	if plain, err := url.PathUnescape(raw); err == nil {
		t.path = plain
	}
	t.method, t.path = clipTo(t.method, methodKept), clipTo(t.path, pathKept)
	if len(text) <= nameMost {
		n.targets = keepName(n.targets, text, t)
	}
	return t
}

// host is a text of its own of what is in b.
func (n *h1Names) host(b []byte) string {
	if s, ok := n.hosts[string(b)]; ok {
		return s
	}
	s := clip(string(b))
	if len(b) <= nameMost {
		n.hosts = keepName(n.hosts, s, s)
	}
	return s
}

func keepName[T any](names map[string]T, name string, v T) map[string]T {
	if names == nil {
		names = map[string]T{}
	}
	if len(names) >= namesMost {
		clear(names)
	}
	names[name] = v
	return names
}
