package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/chaosctl/chaosctl/experiment"
)

func (s *server) events(_ context.Context, in *struct {
	After  uint64 `query:"after" doc:"only events after this sequence number"`
	LastID string `header:"Last-Event-ID" doc:"the same; what a browser sends when it reconnects, and stronger than after"`
}) (*huma.StreamResponse, error) {
	after := in.After
	if in.LastID != "" {
		n, err := strconv.ParseUint(in.LastID, 10, 64)
		if err != nil {
			return nil, newProblem(400, experiment.BadInput, "Last-Event-ID must be the sequence number of an event", "")
		}
		after = n
	}
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, &experiment.Error{Code: experiment.Unavailable, Message: fmt.Sprintf("%d streams of events are open already", maxStreams)}
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer func() { <-s.streams }()
		r, w := humago.Unwrap(c)
		s.stream(w, r, after)
	}}, nil
}

// stream writes events until the client hangs up, the engine closes the
// subscription or the server shuts down.
func (s *server) stream(w http.ResponseWriter, r *http.Request, after uint64) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamWrite)) // a recorder has none
		_, err := w.Write([]byte(text))
		return err == nil && control.Flush() == nil
	}
	if r.Method == http.MethodHead || !send("retry: 1000\n\n") {
		return
	}
	events := s.cfg.Events.Subscribe(ctx, after)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		case <-ping.C:
			if !send(": still there\n\n") {
				return
			}
		case e, open := <-events:
			b, err := json.Marshal(e)
			if !open || err != nil || !send(fmt.Sprintf("id: %d\ndata: %s\n\n", e.Seq, b)) {
				return
			}
		}
	}
}
