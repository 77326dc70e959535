package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// reader is an open stream of events.
type reader struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
	tr    *http.Transport
}

func follow(t *testing.T, addr, query string, h http.Header) *reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	tr := &http.Transport{}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	r := &reader{t, resp, bufio.NewScanner(resp.Body), tr}
	t.Cleanup(r.close)
	return r
}

func (r *reader) close() { _ = r.resp.Body.Close(); r.tr.CloseIdleConnections() }

// next is the next event; ok is false at the end of the stream.
func (r *reader) next() (id string, e experiment.Event, ok bool) {
	for r.lines.Scan() {
		if v, found := strings.CutPrefix(r.lines.Text(), "id: "); found {
			id = v
		}
		if v, found := strings.CutPrefix(r.lines.Text(), "data: "); found {
			if err := json.Unmarshal([]byte(v), &e); err != nil {
				r.t.Error(err)
			}
			return id, e, true
		}
	}
	return "", e, false
}

func TestEventsAreStreamedAndTakenUpAgain(t *testing.T) {
	s := start(t, nil)
	s.publish(experiment.Event{Type: "injected", ID: "old\nline"})
	r := follow(t, s.addr, "", nil)
	if id, e, ok := r.next(); !ok || id != "1" || e.ID != "old\nline" {
		t.Fatalf("the past: %q %+v", id, e)
	}
	s.publish(experiment.Event{Type: "run-progress", Progress: &experiment.Progress{Run: "r", Stage: experiment.StageHurt}})
	if id, e, ok := r.next(); !ok || id != "2" || e.Seq != 2 || e.Progress.Stage != experiment.StageHurt {
		t.Fatalf("live: %q %+v", id, e)
	}
	r.close()
	s.publish(experiment.Event{Type: "lifted"})
	for query, h := range map[string]http.Header{"?after=2": nil, "?after=1": with("Last-Event-ID", "2"), "": with("Last-Event-ID", "2")} {
		again := follow(t, s.addr, query, h)
		if id, e, ok := again.next(); !ok || id != "3" || e.Type != "lifted" {
			t.Errorf("%s %v: %q %+v", query, h, id, e)
		}
		again.close()
	}
	refused(t, send(t, s.addr, "GET", "/v1/events", "", with("Last-Event-ID", "x")), 400, experiment.BadInput)
	refused(t, send(t, s.addr, "GET", "/v1/events?after=-1", "", nil), 422, experiment.BadInput)
}

// The end of the server ends its streams, at once and without an error.
func TestShutdownEndsStreams(t *testing.T) {
	s := start(t, nil)
	s.publish(experiment.Event{Type: "injected"})
	streams := []*reader{follow(t, s.addr, "", nil), follow(t, s.addr, "", nil)}
	for _, r := range streams {
		r.next()
	}
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > graceTime/2 {
		t.Errorf("the streams held the server up for %s", took)
	}
	for _, r := range streams {
		if _, e, ok := r.next(); ok {
			t.Errorf("the stream goes on: %+v", e)
		}
	}
}

// A request under way is finished before the server ends.
func TestShutdownDrains(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := &slowFaults{fake: newFake(), entered: entered, leave: leave}
	s := start(t, func(c *Config) { c.Faults = slow })
	got := make(chan int, 1)
	go func() { got <- send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON()).StatusCode }()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	select {
	case err := <-ended:
		t.Fatalf("the server ended with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if status := <-got; status != 201 {
		t.Errorf("the request got %d", status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type slowFaults struct {
	*fake
	entered, leave chan struct{}
}

func (s *slowFaults) Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error) {
	close(s.entered)
	<-s.leave
	if err := ctx.Err(); err != nil {
		return experiment.Injection{}, err
	}
	return s.fake.Inject(ctx, r)
}

// There is an end to the streams that are served at a time, and closing one
// makes room.
func TestStreamsAreLimited(t *testing.T) {
	s := start(t, nil)
	var open []*reader
	for range maxStreams {
		open = append(open, follow(t, s.addr, "", nil))
	}
	refused(t, send(t, s.addr, "GET", "/v1/events", "", nil), 503, experiment.Unavailable)
	for _, r := range open {
		r.close()
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		if resp := send(t, s.addr, "HEAD", "/v1/events", "", nil); resp.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("closed streams keep their slots")
		}
	}
}

// Who asks for a halt may hang up: everything is lifted all the same.
func TestHaltOutlivesItsClient(t *testing.T) {
	entered, result := make(chan struct{}), make(chan error, 1)
	f := &haltFaults{fake: newFake(), entered: entered, result: result}
	s := start(t, func(c *Config) { c.Faults = f })
	ctx, hangUp := context.WithCancel(t.Context())
	c := connect(t, s.addr)
	asked := make(chan error, 1)
	go func() { _, err := c.Halt(ctx, ""); asked <- err }()
	<-entered
	hangUp()
	<-asked
	if err := <-result; err != nil {
		t.Errorf("the halt was cut off: %v", err)
	}
}

type haltFaults struct {
	*fake
	entered chan struct{}
	result  chan error
}

func (h *haltFaults) Halt(ctx context.Context, _ string) (experiment.HaltResult, error) {
	close(h.entered)
	select {
	case <-ctx.Done():
	case <-time.After(300 * time.Millisecond): // the server has seen the hang-up by then
	}
	h.result <- ctx.Err()
	return experiment.HaltResult{}, nil
}
