package relay

import (
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"
)

// noteEnd notes the instant of the end, once.
func (x *exchange) noteEnd() {
	if x.record.End.IsZero() {
		x.record.End = time.Now()
	}
}

// ended notes how the exchange has ended, as soon as it has: letting go takes time.
func (x *exchange) ended(err error) {
	x.noteEnd()
	x.record.Cut = err != nil || x.short
}

// broke notes that the caller's request breaks off, if that is what an error of
// reading it means.
func (x *exchange) broke(err error) {
	if err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, http.ErrBodyReadAfterClose) {
		return
	}
	x.mu.Lock()
	x.left = true
	x.mu.Unlock()
}

func (x *exchange) hasLeft() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.left
}

// failed ends the exchange when the callee gave no answer. The caller sees its
// connection reset, as it would have without us; a 502 of ours would be an answer
// that nobody gave. On HTTP/2 it sees its stream reset; its connection, if the
// callee cannot be reached or has closed the last one to it.
func (x *exchange) failed(err error) error {
	if x.pass(Down) != nil || x.ctx.Err() != nil || x.conn.isOver() {
		return errCut
	}
	x.record.EndedBy = "callee"
	if x.hasLeft() {
		x.record.EndedBy = "caller"
	}
	side := x.conn.callee
	if !x.stream || !isStreamError(err) && side.streams() && !side.lines.any() {
		x.conn.end(x.record.EndedBy, howEnded(err))
		return errCut
	}
	x.resetAs(err)
	return errCut
}

// howEnded is FIN for a callee that closed without an answer, RST for all else.
func howEnded(err error) Ending {
	if (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && !errors.Is(err, syscall.ECONNRESET) {
		return Close
	}
	return Reset
}

// finish lets go of everything and reports the exchange.
func (x *exchange) finish() {
	defer x.conn.leave()
	defer x.cancel()
	for _, c := range x.pool {
		c.Close()
	}
	x.edge.edge.forget(x.id)
	x.mu.Lock()
	x.finished = true
	hits := x.hits
	x.hits = nil
	faults := append(x.applied, names(hits)...)
	x.mu.Unlock()
	by, more := x.conn.whoEnded()
	x.record.Faults = append(faults, more...)
	switch {
	case !x.record.Cut:
	case by != "":
		x.record.EndedBy = by
	case x.cutBy != "":
		x.record.EndedBy = x.cutBy
	case x.record.EndedBy == "":
		x.record.EndedBy = "caller"
	}
	for _, h := range hits {
		if !h.acted.Load() {
			h.spare() // it was drawn, and nothing has come of it
		}
		h.end()
	}
	x.complete()
	x.edge.edge.ear.tell(&x.record)
}
