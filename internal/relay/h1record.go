package relay

import (
	"bufio"
	"bytes"
	"hash"
	"net/http"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// h1Call is what is found out about an exchange of the fast path if somebody hears of
// exchanges; it is what the server's finds out (see exchange.identify).
type h1Call struct {
	r    *http.Request
	of   callOf
	hash hash.Hash // of the body; nil once it is too large
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
func (x *h1Exchange) identify(tries *attempts) {
	if x.call == nil {
		x.call = &h1Call{r: x.request()}
		key, by := headKey(x.call.r)
		x.call.of.set(key, by, tries)
	}
	call := x.call
	if x.up.done || x.req.length > bodyLimit {
		return
	}
	call.hash = callHash(byBody)
	x.up.saw = func(b []byte) {
		if call.hash == nil {
			return
		}
		if x.up.data > bodyLimit {
			call.hash = nil
			return
		}
		call.hash.Write(b)
	}
}

// bodyRead is called once the request's body has been read whole.
func (x *h1Exchange) bodyRead(tries *attempts) {
	x.lastIn = time.Now()
	if x.call == nil || x.call.hash == nil {
		return
	}
	sum := callSum(x.call.hash)
	x.call.hash = nil
	x.call.of.body = sum
	x.call.of.set(targetKey(x.call.r, byBody, sum), byBody, tries)
}

// chosen tells whether the exchange is an attempt that an effect hurts; asking counts
// it.
func (x *h1Exchange) chosen(r *http.Request, a *armed) bool {
	if len(a.Attempts) == 0 {
		return true
	}
	key, _ := headKey(r)
	return key != "" && a.Attempts.Has(a.tally().calls.next(key))
}

// record is what is told of the exchange.
func (c *h1Conn) record(by string, faults []string) experiment.Exchange {
	x := &c.x
	r, of := x.call.r, &x.call.of
	e := experiment.Exchange{
		Edge: c.edge.name, Conn: c.id, Method: r.Method, Path: r.URL.Path, Status: x.status,
		BytesIn: x.up.data, BytesOut: x.down.data, Start: x.start, FirstByte: x.first, LastIn: x.lastIn, End: time.Now(),
		EndedBy: by, Faults: faults,
		TraceID: digest(traceID(r.Header.Get("Traceparent"))), Idempotent: clip(idempotencyKey(r.Header)),
		Proto: r.Proto, Host: clip(r.Host), Query: redactQuery(r.URL.RawQuery),
		Key: digest(of.key), Keyed: experiment.Keying(of.by), Attempt: of.attempt, BodyHash: digest(of.body),
	}
	if id := r.Header.Get("X-Request-Id"); id != "" {
		e.RequestID = digest(callSum(callHash(byRequestID, id)))
	}
	if e.EndedBy == "" {
		e.EndedBy = "caller"
	}
	return e
}
