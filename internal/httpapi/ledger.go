package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/chaosctl/chaosctl/experiment"
)

// maxLedgers is how many ledgers are read at a time; grouping one takes memory.
const maxLedgers = 2

// Ledgers is what the API needs of the engine to show exchanges.
type Ledgers interface {
	// LedgerLines hands over the exchanges of a run that fit, until each returns an
	// error, which it returns.
	LedgerLines(id string, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error
}

// brokenLine is the last line of a ledger that could not be read to its end.
type brokenLine struct {
	Error *experiment.Error `json:"error"`
}

func (s *server) ledger(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"200"`
	experiment.LedgerQuery
}) (*huma.StreamResponse, error) {
	select {
	case s.ledgers <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer func() { <-s.ledgers }()
		r, w := humago.Unwrap(c)
		s.streamLedger(w, r, in.ID, in.LedgerQuery)
	}}, nil
}

// streamLedger writes lines until there are no more or the client hangs up. What goes
// wrong before the first line is a problem as everywhere, later it is the last line.
func (s *server) streamLedger(w http.ResponseWriter, r *http.Request, id string, q experiment.LedgerQuery) {
	control := http.NewResponseController(w)
	out := bufio.NewWriterSize(deadlined{w, control}, 32<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	begun := false
	begin := func() {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("X-Accel-Buffering", "no")
			w.WriteHeader(http.StatusOK)
		}
		begun = true
	}
	err := s.cfg.Runs.LedgerLines(id, q, func(l *experiment.LedgerLine) error {
		begin()
		if r.Method == http.MethodHead {
			return http.ErrBodyNotAllowed
		}
		if err := r.Context().Err(); err != nil {
			return err
		}
		return lines.Encode(l)
	})
	switch {
	case err != nil && !begun:
		asProblem(err).write(w)
		return
	case err != nil && r.Context().Err() == nil && r.Method != http.MethodHead:
		e, ok := experiment.AsError(err)
		if !ok {
			e = &experiment.Error{Code: internalError, Message: err.Error()}
		}
		_ = lines.Encode(brokenLine{e}) // the client is gone if this fails
	}
	begin()
	_ = out.Flush()
}

// deadlined gives each write of its own the time of a stream's.
type deadlined struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (d deadlined) Write(b []byte) (int, error) {
	_ = d.control.SetWriteDeadline(time.Now().Add(streamWrite)) // a recorder has none
	return d.w.Write(b)
}
