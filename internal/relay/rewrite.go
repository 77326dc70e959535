package relay

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Reply is the callee's answer on its way to the caller, as a Rewriter finds it.
type Reply struct {
	// Request is what is answered; it must not be changed.
	Request *http.Request
	Status  int
	Header  http.Header
	// Length is what Content-Length says, -1 for none; the field itself is set from
	// it. A shorter Body breaks off before its end, a longer one is cut.
	Length int64
	// Body may be replaced by a reader of it, or of something else. What reads it does
	// so as the relay asks for bytes, and may return ErrBreak.
	Body io.Reader
	// Chance is the exchange's own.
	Chance *Rand

	hit *hit // nil in tests of a Rewriter
}

// ErrBreak is what a Body returns to break the answer off where it is: in a way that
// tells a caller that it was not all.
var ErrBreak = errors.New("the answer breaks off")

// Hurt counts the exchange as hurt, once. It is called right before something is
// changed; false says that the effect was lifted: then nothing may be, but for the
// rest of what the caller was told already.
func (r *Reply) Hurt() bool { return r.hit == nil || r.hit.once(false) }

// Lifted tells whether the effect is gone.
func (r *Reply) Lifted() bool { return r.hit != nil && r.hit.isGone() }

// HasBody tells whether the caller is to get a body, which may be empty.
func (r *Reply) HasBody() bool {
	return r.Request.Method != http.MethodHead && r.Status >= 200 && r.Status != http.StatusNoContent && r.Status != http.StatusNotModified
}

// editRequest lets the effects on the exchange change the head of the request to
// the callee.
func (x *exchange) editRequest(req *http.Request) {
	if !x.drawn.Load() {
		return
	}
	for _, h := range x.hurting() {
		e, ok := h.Effect.(RequestEditor)
		if !ok || h.isGone() {
			continue
		}
		before := req.Header.Clone()
		if e.EditRequest(req, h.rand("request")) && !h.once(false) {
			req.Header = before
		}
		asSent(req.Header)
	}
}

// asSent keeps the transport from adding a User-Agent of its own, and from
// repeating a request for its idempotency key.
func asSent(h http.Header) {
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""} // none is sent
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = v
		}
	}
}

// answer is what an effect answers in the callee's place; nil lets the request go on.
func (x *exchange) answer(h *hit) *http.Response {
	var a *Answer
	switch e := h.Effect.(type) {
	case Answerer:
		own := e.Answer()
		a = &own
	case Replier:
		a = e.Reply(x.r)
	}
	if a == nil || !h.once(false) {
		return nil
	}
	resp := a.response(x.r)
	if v, ok := a.Header["Content-Length"]; ok && v == nil && x.r.ProtoMajor >= 2 {
		resp.Header["Content-Length"] = nil // a gRPC status has none
	}
	if resp.ContentLength == 0 {
		resp.Body = http.NoBody
	}
	return resp
}

// rewrite lets the effects on the exchange change the callee's answer, or lose it:
// then the caller has lost its connection, and the error is errCut.
func (x *exchange) rewrite(resp *http.Response) (*http.Response, error) {
	if resp.StatusCode < 100 {
		return nil, x.failed(errFraming) // no server writes that
	}
	if !x.drawn.Load() || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, nil
	}
	for _, h := range x.hurting() {
		if h.isGone() {
			continue
		}
		switch e := h.Effect.(type) {
		case ReplyLoser:
			if h.once(true) { // whoever lifts it from here on ends the connection
				return nil, x.lose(resp, e.LoseReply())
			}
		case Rewriter:
			x.rewriteBy(h, e, resp)
		case BodyStager:
			h.made[Down] = true
			h.stages[Down] = e.StageBody(x.reply(h, resp))
		}
	}
	return resp, nil
}

// lose reads an answer to its end, so that the callee has done its work, and ends
// the caller's side.
func (x *exchange) lose(resp *http.Response, how Ending) error {
	x.record.Status = resp.StatusCode
	io.Copy(io.Discard, resp.Body) // ends with the exchange
	return x.hangUp(how)
}

// hangUp ends the caller's side on an effect's word: its connection, on HTTP/2 the
// stream, which the error does.
func (x *exchange) hangUp(how Ending) error {
	x.record.EndedBy = "relay"
	if !x.stream {
		x.conn.end("relay", how)
	}
	return errCut
}

// shortens tells whether an answer that breaks off can end all the same, and be known
// for what it is: HTTP/2 has an end beside the length that the head tells.
func (x *exchange) shortens(resp *http.Response) bool {
	if !x.stream || resp.ContentLength < 0 {
		return false
	}
	x.record.EndedBy, x.short = "relay", true
	return true
}

func (x *exchange) reply(h *hit, resp *http.Response) *Reply {
	return &Reply{
		Request: x.r, Status: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength, Body: resp.Body,
		Chance: h.rand("response"), hit: h,
	}
}

// rewriteBy has one effect change an answer.
func (x *exchange) rewriteBy(h *hit, e Rewriter, resp *http.Response) {
	r := x.reply(h, resp)
	if !r.HasBody() {
		r.Length = -1 // what Content-Length says then is of no body here
	}
	length := r.Length
	e.Rewrite(r)
	resp.StatusCode, resp.Header = r.Status, r.Header
	if r.Length != length {
		resp.ContentLength = r.Length
		resp.Header.Del("Content-Length")
		if r.Length >= 0 {
			resp.Header.Set("Content-Length", strconv.FormatInt(r.Length, 10))
		}
	}
	if r.Body != io.Reader(resp.Body) {
		b := &rewritten{from: r.Body, left: r.Length, callee: resp.Body}
		if length >= 0 && length <= maxDrained {
			b.drain = resp.Body
		} else if x.line != nil {
			x.line.ours.Store(true)
		}
		resp.Body = b
	}
}

// maxDrained is how long a body of the callee's may be that is read to its end for
// nothing but to use its connection again.
const maxDrained = 1 << 20

// rewritten is a changed body, cut at the length that the head tells.
type rewritten struct {
	from   io.Reader
	left   int64 // -1 without a length
	callee io.Closer
	drain  io.Reader // nil if that is not worth it
}

func (b *rewritten) Read(p []byte) (n int, err error) {
	if b.left != 0 {
		if b.left > 0 {
			p = p[:min(int64(len(p)), b.left)]
		}
		n, err = b.from.Read(p)
	}
	if b.left >= 0 {
		if b.left -= int64(n); b.left == 0 && n == 0 {
			err = io.EOF
		} else if err == io.EOF && b.left > 0 {
			err = ErrBreak
		}
	}
	if err == io.EOF && b.drain != nil {
		io.Copy(io.Discard, b.drain)
		b.drain = nil
	}
	return n, err
}

// Close ends the callee's own body.
func (b *rewritten) Close() error { return b.callee.Close() }
