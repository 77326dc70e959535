package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Recorder holds what came of the requests of all flows of a run. All its
// methods may be called at the same time by any goroutine. A flow it was not
// made with has no data anywhere.
type Recorder struct {
	logs  map[string]*Log
	order []*Log

	mu      sync.Mutex
	windows []experiment.Window

	waiting atomic.Int32
	bell    sync.Mutex
	rung    chan struct{} // closed when a request was over
}

// NewRecorder makes a recorder of these flows, whose names differ.
func NewRecorder(flows []experiment.Flow) *Recorder {
	r := &Recorder{logs: map[string]*Log{}, rung: make(chan struct{})}
	for i, f := range flows {
		l := &Log{
			rec: r, flow: f, timeout: timeoutOf(f),
			limit: max(kept/uint64(len(flows)), 1024),
			dice:  rand.New(rand.NewPCG(uint64(i), 1)),
		}
		r.logs[f.Name] = l
		r.order = append(r.order, l)
	}
	return r
}

func timeoutOf(f experiment.Flow) time.Duration {
	if f.Timeout <= 0 {
		return experiment.DefaultTimeout
	}
	return f.Timeout.Std()
}

// Begin starts a flow: its requests are due as the schedule says. A flow begins
// once.
func (r *Recorder) Begin(flow string, when Schedule) (*Log, error) {
	l := r.logs[flow]
	if l == nil {
		return nil, fmt.Errorf("begin flow %s: the recorder does not know it", flow)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		return nil, fmt.Errorf("begin flow %s: it has begun before", flow)
	}
	l.open, l.when = true, when
	return l, nil
}

// Mark ends the window before, if one is open, and starts the next at the given
// time, which may lie a little in the past or the future but not before the
// start of the last one. It returns the new window's number, from 0.
func (r *Recorder) Mark(stage experiment.Stage, step string, at time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.windows); n > 0 {
		w := &r.windows[n-1]
		if at.Before(w.Start) {
			at = w.Start
		}
		if w.End.IsZero() {
			w.End = at
		} else if at.Before(w.End) {
			at = w.End
		}
	}
	r.windows = append(r.windows, experiment.Window{Stage: stage, Step: step, Start: at})
	for _, l := range r.order {
		l.mark(at)
	}
	return len(r.windows) - 1
}

// Close ends the open window, if there is one. Requests due later are in none,
// until the next Mark.
func (r *Recorder) Close(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.windows)
	if n == 0 || !r.windows[n-1].End.IsZero() {
		return
	}
	if at.Before(r.windows[n-1].Start) {
		at = r.windows[n-1].Start
	}
	r.windows[n-1].End = at
	for _, l := range r.order {
		l.close(at)
	}
}

// Windows are the windows so far.
func (r *Recorder) Windows() []experiment.Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]experiment.Window{}, r.windows...)
}

// Window is window i; the zero Window if there is none.
func (r *Recorder) Window(i int) experiment.Window {
	w, _ := r.window(i)
	return w
}

func (r *Recorder) window(i int) (experiment.Window, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i < 0 || i >= len(r.windows) {
		return experiment.Window{}, false
	}
	return r.windows[i], true
}

// Settled waits until every request with an intended start in window i is over,
// which takes at most the longest timeout of a flow after the window's end. It
// fails if the window is open, or when ctx ends first.
func (r *Recorder) Settled(ctx context.Context, i int) error {
	w, ok := r.window(i)
	if !ok || w.End.IsZero() {
		return fmt.Errorf("wait for the requests of window %d: it has not ended", i)
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	for {
		r.bell.Lock()
		rung := r.rung
		r.bell.Unlock()
		if r.settledAt(w.End) {
			return nil
		}
		select {
		case <-rung:
		case <-ctx.Done():
			return fmt.Errorf("wait for the requests of %s: %w", w.Title(), context.Cause(ctx))
		}
	}
}

func (r *Recorder) settledAt(t time.Time) bool {
	for _, l := range r.order {
		if !l.settled(t) {
			return false
		}
	}
	return true
}

func (r *Recorder) wake() {
	if r.waiting.Load() == 0 {
		return
	}
	r.bell.Lock()
	close(r.rung)
	r.rung = make(chan struct{})
	r.bell.Unlock()
}

// Stats sums a flow over window i. Ask for it once the window is settled.
func (r *Recorder) Stats(i int, flow string) Stats {
	if l := r.logs[flow]; l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i >= 0 && i < len(l.tallies) {
			return l.tallies[i].stats()
		}
	}
	return (&collected{}).stats()
}

// FlowWindow is the record of a flow over window i. Its percentiles are those of
// what there is, be it few samples; 0 if there is none.
func (r *Recorder) FlowWindow(i int, flow string) experiment.FlowWindow {
	w, _ := r.window(i)
	f := experiment.FlowWindow{Stage: w.Stage, Step: w.Step, Statuses: map[string]uint64{}}
	l := r.logs[flow]
	if l == nil {
		return f
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < 0 || i >= len(l.tallies) {
		return f
	}
	t := l.tallies[i]
	f.Requests, f.Successes, f.Overruns = t.requests, t.successes, t.overruns
	for k, name := range l.names {
		if t.classes[k] > 0 {
			f.Statuses[name] += t.classes[k]
		}
	}
	v := t.view()
	at := func(q float64) fault.Duration { return fault.Duration(v.quantile(q)) }
	f.P50, f.P90, f.P95, f.P99, f.P999, f.Max = at(0.5), at(0.9), at(0.95), at(0.99), at(0.999), at(1)
	f.ServiceP99 = fault.Duration(quantile(t.service, 0.99))
	return f
}

// Series is a flow by seconds since it began, from intended starts; a second
// without a request has a point, too. The percentiles of a second are exact
// below 2,048 requests and estimated from a fair sample beyond.
func (r *Recorder) Series(flow string) []experiment.SeriesPoint {
	if l := r.logs[flow]; l != nil {
		return l.series()
	}
	return nil
}

// Now is the last complete second of a flow, by the time of its answers.
func (r *Recorder) Now(flow string) experiment.FlowNow {
	if l := r.logs[flow]; l != nil {
		return l.nowAt(time.Now())
	}
	return experiment.FlowNow{Name: flow}
}

// Results is the record of all flows.
func (r *Recorder) Results() []experiment.FlowResult {
	n := len(r.Windows())
	results := make([]experiment.FlowResult, 0, len(r.order))
	for _, l := range r.order {
		f := experiment.FlowResult{
			Name: l.flow.Name, Request: describe(l.flow), Rate: l.flow.Rate.String(),
			Windows: []experiment.FlowWindow{}, Series: l.series(),
		}
		for i := range n {
			w := r.FlowWindow(i, l.flow.Name)
			f.Windows = append(f.Windows, w)
			f.Overruns += w.Overruns
		}
		results = append(results, f)
	}
	return results
}

// describe is a flow in words: "GET api-service /checkout".
func describe(f experiment.Flow) string {
	method, path := "GET", "/"
	if f.HTTP != nil {
		path = f.HTTP.Path
		if f.HTTP.Method != "" {
			method = f.HTTP.Method
		}
	}
	return method + " " + f.Service + " " + path
}
