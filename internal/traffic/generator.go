package traffic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// Config is what a Generator needs.
type Config struct {
	// Flow to send. Its zero values stand for the defaults of experiment.Flow.
	Flow experiment.Flow
	// Address to call, host:port.
	Address string
	// Seed of the trace ids: the same seed, flow name and index give the same id.
	Seed uint64
	// Env looks up the variables that ${env:NAME} refers to; nil knows none.
	Env func(name string) (string, bool)
	// TLS has the address called by TLS, in this way; nil is plain.
	TLS *tls.Config
	// Observe is told of each request once it is over, from many goroutines; it must not
	// block and may keep nothing. nil: nobody is.
	Observe func(*experiment.Exchange)
	// Edge is what an observed exchange says it was seen on.
	Edge string
}

// Bounds of a flow.
const (
	maxInFlight = 100_000
	maxInterval = 30 * 24 * time.Hour
)

// ErrAborted is the cause of Abort.
var ErrAborted = errors.New("the traffic was aborted")

// Generator sends one flow.
type Generator struct {
	flow     experiment.Flow
	request  *template
	timeout  time.Duration
	interval time.Duration
	most     int // requests in flight

	rec    *Recorder
	client *client
	watch  *watch // nil: nobody wants to know

	ran     atomic.Bool
	base    context.Context // of all requests; ends with Abort
	abort   context.CancelCauseFunc
	log     *Log
	when    Schedule
	jobs    chan uint64
	flying  atomic.Int64 // handed to workers, not over
	workers int
	group   sync.WaitGroup
}

// New checks the flow and fills in its variables. Nothing is sent yet.
func New(cfg Config, rec *Recorder) (*Generator, error) {
	f := cfg.Flow
	tpl, err := newTemplate(cfg)
	if err != nil {
		return nil, fmt.Errorf("flow %s: %w", f.Name, err)
	}
	most := f.MaxInFlight
	if most == 0 {
		most = experiment.DefaultInFlight
	}
	if most < 0 || most > maxInFlight {
		return nil, fmt.Errorf("flow %s: maxInFlight must be from 1 to %d, not %d", f.Name, maxInFlight, most)
	}
	if !(f.Rate.N > 0) || f.Rate.Per <= 0 || float64(f.Rate.Per)/f.Rate.N > float64(maxInterval) {
		return nil, fmt.Errorf("flow %s: the rate must be above one request in 30 days", f.Name)
	}
	interval := f.Rate.Interval()
	if interval <= 0 {
		return nil, fmt.Errorf("flow %s: the rate must be at most %d/s", f.Name, experiment.MaxRate)
	}
	base, abort := context.WithCancelCause(context.Background())
	return &Generator{
		flow: f, request: tpl, timeout: timeoutOf(f), interval: interval, most: most,
		rec: rec, client: newClient(most, cfg.TLS), watch: newWatch(cfg, tpl), base: base, abort: abort, jobs: make(chan uint64, most),
	}, nil
}

// Run sends the flow until ctx is done; then it schedules no more, waits for
// what is in flight – at most the flow's timeout, or until Abort – and returns.
// When it has returned all its goroutines and connections are gone. A Generator
// runs once.
func (g *Generator) Run(ctx context.Context) error {
	if g.ran.Swap(true) {
		return fmt.Errorf("run flow %s: it has run before", g.flow.Name)
	}
	g.when = newSchedule(time.Now(), g.interval, g.request.seed, g.flow.Name)
	log, err := g.rec.Begin(g.flow.Name, g.when)
	if err != nil {
		return err
	}
	g.log = log
	g.schedule(ctx)
	close(g.jobs)
	g.group.Wait()
	log.End()
	g.abort(nil)
	g.client.close()
	return nil
}

// Abort cancels what is in flight at once; those requests count as never sent.
// What would be due later is not sent either. It may be called at any time, more
// than once; Run returns soon after.
func (g *Generator) Abort() { g.abort(ErrAborted) }

// schedule hands out each request when it is due. What was due before ctx was
// done is still handed out, be it late: leaving it out would hide a lag.
func (g *Generator) schedule(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var stop time.Time
	for i := uint64(0); g.base.Err() == nil; i++ {
		if stop.IsZero() && ctx.Err() != nil {
			stop = time.Now()
		}
		due := g.start(i)
		if !stop.IsZero() && !due.Before(stop) {
			return
		}
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			case <-g.base.Done():
				return
			}
		}
		g.dispatch(i)
	}
}

func (g *Generator) start(i uint64) time.Time { return g.when.start(i) }

// dispatch never waits: with all workers busy the request is an overrun.
func (g *Generator) dispatch(i uint64) {
	g.log.Due(i)
	flying := g.flying.Add(1)
	if flying > int64(g.most) {
		g.flying.Add(-1)
		g.overrun(i)
		return
	}
	if flying > int64(g.workers) {
		g.workers++
		g.group.Go(g.work)
	}
	g.jobs <- i // has room for all that fly
}

// overrun is the end of a request that cannot be sent in time.
func (g *Generator) overrun(i uint64) {
	o := Outcome{Class: Overrun}
	g.observe(i, o, time.Time{}, time.Now(), answered{})
	g.log.Done(i, o)
}

func (g *Generator) work() {
	w := &worker{Generator: g}
	for i := range g.jobs {
		w.send(i)
		g.flying.Add(-1)
	}
}

// worker sends one request at a time.
type worker struct {
	*Generator
	body reader
}

// buffers are lent to who reads an answer: most workers only wait, and there may be
// thousands.
var buffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func (w *worker) send(i uint64) {
	intended := w.start(i)
	deadline := intended.Add(w.timeout)
	sent := time.Now()
	if !sent.Before(deadline) {
		w.overrun(i)
		return
	}
	ctx, cancel := context.WithDeadlineCause(w.base, deadline, context.DeadlineExceeded)
	a := w.exchange(ctx, i)
	end := time.Now()
	expired := ctx.Err() != nil
	cancel()
	if a.class != "" && errors.Is(context.Cause(w.base), ErrAborted) {
		w.log.Void(i)
		return
	}
	o := Outcome{Class: a.class, Latency: end.Sub(intended), Service: end.Sub(sent)}
	switch {
	case a.class != "" && expired, !end.Before(deadline):
		o.Class = Timeout
	case a.class == "":
		o.Class, o.OK = statusText(a.status), w.request.succeeds(a.status)
	}
	w.observe(i, o, sent, end, a)
	w.log.Done(i, o)
}

// answered is what came of a request that was sent. class is empty when the answer is
// complete; first and answer are known if somebody watches.
type answered struct {
	status int
	class  string
	first  time.Time
	answer *experiment.Answer
}

// exchange sends request i and reads its answer to the end.
func (w *worker) exchange(ctx context.Context, i uint64) (a answered) {
	resp, err := w.client.do(ctx, w.request, i)
	if err != nil {
		return answered{class: classOf(err, false)}
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	if w.watch != nil {
		a.first = time.Now()
		w.body.begin()
		defer func() { a.answer = w.watch.answer(&w.body, resp, a.class == "") }()
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a // what follows is no answer any more
	}
	buffer := buffers.Get().(*[16 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := resp.Body.Read(buffer[:])
		if w.watch != nil {
			w.body.take(buffer[:n])
		}
		switch {
		case err == nil:
		case isEOF(err):
			return a
		default:
			a.class = classOf(err, true)
			return a
		}
	}
}
