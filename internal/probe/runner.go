package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// maxPoints is how many measurements of a probe its result shows.
const maxPoints = 1000

// Runner takes the probes of a run. Its methods may be called from any
// goroutine.
type Runner struct {
	env    Env
	series []*series

	mu      sync.Mutex
	stage   experiment.Stage
	hurting bool
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// series is what one probe measured.
type series struct {
	probe experiment.Probe
	kick  chan struct{} // faults came into force: measure at once

	mu                      sync.Mutex
	taken, failed, unmade   int
	lastFailure, lastUnmade string // Details
	points                  []experiment.ProbeSample
	stride                  int // every stride-th measurement is kept as a point
}

// NewRunner prepares the probes; nothing is measured yet.
func NewRunner(probes []experiment.Probe, env Env) *Runner {
	r := &Runner{env: env, stage: experiment.StageSteady}
	for _, p := range probes {
		if p.Mode == "" {
			p.Mode = experiment.Continuous
		}
		if p.Every <= 0 {
			p.Every = fault.Duration(experiment.DefaultProbeEvery)
		}
		r.series = append(r.series, &series{probe: p, kick: make(chan struct{}, 1), stride: 1})
	}
	return r
}

// Start begins the repeated probes: continuous ones at once, those of mode
// during-fault whenever faults are in force. It goes on until Stop, or until
// ctx is done. A runner starts once.
func (r *Runner) Start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	for _, s := range r.series {
		if s.probe.Mode == experiment.Continuous || s.probe.Mode == experiment.DuringFault {
			r.group.Go(func() { r.repeat(ctx, s) })
		}
	}
}

// Stage says which stage measurements from now on belong to.
func (r *Runner) Stage(stage experiment.Stage) {
	r.mu.Lock()
	r.stage = stage
	r.mu.Unlock()
}

// FaultsInForce switches the probes of mode during-fault. Each is taken at once
// when faults come into force. A measurement that began while they were counts,
// whenever it ends.
func (r *Runner) FaultsInForce(yes bool) {
	r.mu.Lock()
	began := yes && !r.hurting
	r.hurting = yes
	r.mu.Unlock()
	if !began {
		return
	}
	for _, s := range r.series {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}

// Stop ends the repeated probes and returns when none is under way. What it
// cuts off is not counted. It may be called more than once, and before Start.
func (r *Runner) Stop() {
	r.mu.Lock()
	if r.cancel != nil {
		r.cancel()
	}
	r.mu.Unlock()
	r.group.Wait()
}

// TakeNow takes, all at the same time, the probes of a mode – AtStart or AtEnd,
// each with those of mode AtEdges – and returns the results of these
// measurements alone.
func (r *Runner) TakeNow(ctx context.Context, mode experiment.ProbeMode) []experiment.ProbeResult {
	var group sync.WaitGroup
	var now []*series
	for _, s := range r.series {
		m := s.probe.Mode
		if m != mode && (m != experiment.AtEdges || mode != experiment.AtStart && mode != experiment.AtEnd) {
			continue
		}
		once := &series{probe: s.probe, stride: 1}
		now = append(now, once)
		group.Go(func() { r.take(ctx, s, once) })
	}
	group.Wait()
	return resultsOf(now)
}

// Results are those of all probes so far, in the order of the experiment.
func (r *Runner) Results() []experiment.ProbeResult { return resultsOf(r.series) }

func resultsOf(all []*series) []experiment.ProbeResult {
	results := make([]experiment.ProbeResult, len(all))
	for i, s := range all {
		results[i] = s.result()
	}
	return results
}

// repeat measures every interval. Intervals that a slow measurement takes up are
// left out, so that measurements never pile up.
func (r *Runner) repeat(ctx context.Context, s *series) {
	ticker := time.NewTicker(s.probe.Every.Std())
	defer ticker.Stop()
	only := s.probe.Mode == experiment.DuringFault
	for {
		r.mu.Lock()
		due := !only || r.hurting
		r.mu.Unlock()
		if due && ctx.Err() == nil {
			r.take(ctx, s)
			select {
			case <-ticker.C: // came due meanwhile
			default:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.kick:
		}
	}
}

// take measures once, for each of these series.
func (r *Runner) take(ctx context.Context, into ...*series) {
	r.mu.Lock()
	stage := r.stage
	r.mu.Unlock()
	sample, known := take(ctx, into[0].probe, r.env)
	if ctx.Err() != nil {
		return // cut off: it says nothing of what was measured
	}
	sample.Stage = stage
	for _, s := range into {
		s.add(sample, known)
	}
}

func (s *series) add(p experiment.ProbeSample, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken%s.stride == 0 {
		s.points = append(s.points, p)
	}
	s.taken++
	switch {
	case !known:
		s.unmade++
		s.lastUnmade = p.Detail
	case !p.OK:
		s.failed++
		s.lastFailure = p.Detail
	}
	if len(s.points) > maxPoints { // every second one stays
		for i := range (len(s.points) + 1) / 2 {
			s.points[i] = s.points[2*i]
		}
		s.points = s.points[:(len(s.points)+1)/2]
		s.stride *= 2
	}
}

func (s *series) result() experiment.ProbeResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := experiment.ProbeResult{
		Probe: s.probe.Name, What: What(s.probe), Mode: s.probe.Mode,
		Taken: s.taken, Failed: s.failed, Points: slices.Clone(s.points), Result: experiment.Pass,
	}
	tolerate := float64(s.probe.Tolerate) // 0 stands for none
	allowed := tolerate*float64(s.taken) + 1e-9
	tolerated := ""
	if tolerate > 0 {
		tolerated = fmt.Sprintf(", more than the %g%% tolerated", 100*tolerate)
	}
	of := fmt.Sprintf("%d of %d measurements", s.failed, s.taken)
	if s.taken == 1 {
		of = "the measurement"
	}
	switch {
	case s.taken == 0:
		p.Result = experiment.Unknown
		p.Why = fmt.Sprintf("probe %s was never taken", s.probe.Name)
	case float64(s.failed) > allowed:
		p.Result = experiment.Fail
		p.Why = fmt.Sprintf("probe %s: %s failed%s; the last: %s", s.probe.Name, of, tolerated, brief(s.lastFailure))
	case float64(s.failed+s.unmade) > allowed:
		p.Result = experiment.Unknown
		p.Why = fmt.Sprintf("probe %s: %d of %d measurements could not be made; the last: %s", s.probe.Name, s.unmade, s.taken, brief(s.lastUnmade))
	case s.failed+s.unmade == 0:
		p.Why = fmt.Sprintf("probe %s: all of %d measurements passed", s.probe.Name, s.taken)
	default:
		p.Why = fmt.Sprintf("probe %s: %d of %d measurements failed, %g%% are tolerated", s.probe.Name, s.failed+s.unmade, s.taken, 100*tolerate)
	}
	return p
}

// maxBrief is how many characters of a Detail the sentence of a verdict holds.
const maxBrief = 200

// brief is the first line of a detail with something on it.
func brief(detail string) string {
	line, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(detail), "\r", "\n"), "\n")
	line = strings.TrimSpace(line)
	if r := []rune(line); len(r) > maxBrief {
		line = string(r[:maxBrief-1]) + "…"
	}
	return line
}
