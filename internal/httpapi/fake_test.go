package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine that hurts nothing: what the API needs of one, in memory.
type fake struct {
	mu       sync.Mutex
	next     int
	live     []experiment.Injection
	ended    []experiment.Injection
	runs     map[string]*experiment.Run
	alive    map[string]int
	requests []experiment.InjectRequest
	asked    []experiment.RunRequest
	reasons  []string
	history  []experiment.Event
	changed  chan struct{} // closed and replaced with every event
	fail     error         // what Inject answers, if set
	debts    []string
	open     []experiment.Connection
	query    experiment.LedgerQuery
}

func newFake() *fake {
	return &fake{runs: map[string]*experiment.Run{}, alive: map[string]int{}, changed: make(chan struct{})}
}

func (f *fake) emit(e experiment.Event) { // with the lock held
	e.Seq, e.Time = uint64(len(f.history)+1), time.Now()
	f.history = append(f.history, e)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) publish(e experiment.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emit(e)
}

func (f *fake) Status(context.Context) experiment.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return experiment.Status{
		Topology: "shop", Version: "test", Now: time.Now(), Debts: f.debts,
		Edges: []experiment.EdgeStatus{{
			Name: "api -> auth", From: "api", To: "auth", Protocol: experiment.HTTP, Upstream: "127.0.0.1:1",
			Open: 3, Accepted: 5, Exchanges: 7, BytesIn: 11, BytesOut: 13,
		}, {
			Name: "api -> udp", From: "api", To: "udp", Protocol: experiment.UDP, Upstream: "127.0.0.1:2", Dropped: 2, Unreachable: 4,
		}},
		Injections: slices.Clone(f.live),
	}
}

func (f *fake) Topology() *experiment.Topology {
	return &experiment.Topology{
		APIVersion: experiment.APIVersion, Kind: "Topology", Metadata: experiment.Meta{Name: "shop"},
		Spec: experiment.TopologySpec{
			Services: map[string]experiment.Service{"auth": {Address: "127.0.0.1:1", Protocol: experiment.HTTP}},
			Guard:    experiment.Guard{MaxEdges: 0.5},
		},
	}
}

func (f *fake) Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r)
	if f.fail != nil {
		return experiment.Injection{}, f.fail
	}
	if len(r.Faults) == 0 {
		return experiment.Injection{}, &experiment.Error{Code: experiment.BadInput, Message: "there is no fault to inject", Hint: "give one"}
	}
	f.next++
	i := experiment.Injection{
		ID: "f-" + strconv.Itoa(f.next), Owner: r.Owner, Actor: r.Actor, Since: time.Now(),
		Until: time.Now().Add(time.Minute), Seed: 1 << 62, State: experiment.InForce,
	}
	for _, x := range r.Faults {
		x.At = &fault.Placed{Relay: &fault.RelayEdge{From: "api", To: "auth"}}
		i.Armed = append(i.Armed, experiment.Armed{
			Fault: x, Where: "api -> auth", Touches: "it", Undo: "lift",
			Receipt: fault.Receipt{Unit: fault.Exchange, Matched: 10, Injected: 4, Skipped: 6},
		})
	}
	f.live = append(f.live, i)
	f.emit(experiment.Event{Type: "injected", ID: i.ID})
	return i, nil
}

func (f *fake) Lift(_ context.Context, id string) (experiment.Injection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := slices.IndexFunc(f.live, func(i experiment.Injection) bool { return i.ID == id })
	if n < 0 {
		return experiment.Injection{}, &experiment.Error{Code: experiment.NotFound, Message: "no " + id}
	}
	i := f.live[n]
	i.State = experiment.Lifted
	f.live, f.ended = slices.Delete(f.live, n, n+1), append(f.ended, i)
	f.emit(experiment.Event{Type: "lifted", ID: id})
	return i, nil
}

func (f *fake) Ended() []experiment.Injection {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ended)
}

func (f *fake) Halt(_ context.Context, why string) (experiment.HaltResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r experiment.HaltResult
	for _, i := range f.live {
		r.Lifted = append(r.Lifted, i.ID)
	}
	f.ended, f.live = append(f.ended, f.live...), nil
	f.reasons = append(f.reasons, why)
	f.emit(experiment.Event{Type: "halted", Message: why})
	return r, nil
}

func (f *fake) Plan(_ context.Context, r experiment.RunRequest) (experiment.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if r.Document == "bad" {
		return experiment.Plan{}, fmt.Errorf("parse: %w", experiment.Problems{{File: r.File, Line: 3, Column: 5, Path: "spec.steps", Message: "is missing"}})
	}
	return experiment.Plan{Experiment: "x", Longest: fault.Duration(time.Minute), Seed: 7}, nil
}

func (f *fake) StartRun(_ context.Context, r experiment.RunRequest) (experiment.RunSummary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	f.next++
	run := &experiment.Run{ID: "r-" + strconv.Itoa(f.next), Experiment: "x", Started: time.Now(), Stage: experiment.StageSteady, Document: r.Document}
	f.runs[run.ID] = run
	f.emit(experiment.Event{Type: "run-started", ID: run.ID})
	return run.Summary(), nil
}

func (f *fake) finish(id string, o experiment.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := *f.runs[id]
	r.Stage, r.Ended, r.Verdict = experiment.StageDone, time.Now(), &experiment.Verdict{Outcome: o}
	f.runs[id] = &r
	f.emit(experiment.Event{Type: "run-ended", ID: id})
}

func (f *fake) Run(id string) (*experiment.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.runs[id]; ok {
		return r, nil
	}
	return nil, &experiment.Error{Code: experiment.NotFound, Message: "there is no run " + id, Hint: "list them"}
}

func (f *fake) Runs() []experiment.RunSummary {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []experiment.RunSummary
	for _, r := range f.runs {
		all = append(all, r.Summary())
	}
	return all
}

func (f *fake) AbortRun(_ context.Context, id, why string) error {
	if _, err := f.Run(id); err != nil {
		return err
	}
	f.finish(id, experiment.Aborted)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reasons = append(f.reasons, why)
	return nil
}

func (f *fake) KeepAlive(id string) error {
	if _, err := f.Run(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive[id]++
	return nil
}

// LedgerLines answers with a line for each of the query's limit, and breaks off after
// 1000 of them.
func (f *fake) LedgerLines(id string, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	if _, err := f.Run(id); err != nil {
		return err
	}
	f.mu.Lock()
	f.query = q
	f.mu.Unlock()
	if q.Edge == "nowhere" {
		return experiment.Problems{{Path: "edge", Message: "must be one of api -> auth"}}
	}
	for i := range q.Limit {
		if i == 1000 {
			return &experiment.Error{Code: experiment.Conflict, Message: "it was deleted meanwhile"}
		}
		l := experiment.LedgerLine{
			Exchange: experiment.Exchange{No: uint64(i + 1), Edge: q.Edge, Path: "/<a>", Start: time.Unix(1, 0).UTC(), Key: experiment.Digest{1}, Faults: []string{"slow"}},
			Outcome:  "503", Failed: true, Call: &experiment.LedgerCall{No: 1, Attempt: i + 1, Of: q.Limit},
		}
		if err := each(&l); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Subscribe(ctx context.Context, after uint64) <-chan experiment.Event {
	ch := make(chan experiment.Event)
	go func() {
		defer close(ch)
		for {
			f.mu.Lock()
			changed := f.changed
			var todo []experiment.Event
			if after < uint64(len(f.history)) {
				todo = slices.Clone(f.history[after:])
			}
			f.mu.Unlock()
			for _, e := range todo {
				select {
				case ch <- e:
					after = e.Seq
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

// lockedBuffer is a log that a test reads while the server writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func render(format string, w io.Writer, r *experiment.Run) error {
	_, err := fmt.Fprintf(w, "<%s of %s>", format, r.ID)
	return err
}

// running is a server on a real socket in front of a fake.
type running struct {
	*fake
	addr string
	log  *lockedBuffer
	stop func() error // ends the server; the answer of Serve
}

func start(t *testing.T, change func(*Config)) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, ln, change)
}

func startOn(t *testing.T, ln net.Listener, change func(*Config)) *running {
	t.Helper()
	f, log := newFake(), &lockedBuffer{}
	c := Config{Faults: f, Runs: f, Events: f, Ended: f.Ended, Render: render,
		Log: slog.New(slog.NewTextHandler(log, nil)), Version: experiment.Version{Chaosctl: "1.2.3", Go: "go1"}}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, ln, c) }()
	var once sync.Once
	var end error
	r := &running{fake: f, addr: ln.Addr().String(), log: log}
	r.stop = func() error {
		once.Do(func() { cancel(); end = <-served })
		return end
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the server did not end well: %v", err)
		}
	})
	return r
}
