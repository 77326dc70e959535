package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/judge"
	"github.com/chaosctl/chaosctl/internal/probe"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// clientSilence is how long a run goes on without a sign of its client.
const clientSilence = 15 * time.Second

// keepRuns is how many records an engine holds in memory.
const keepRuns = 20

// progressEvery is how often a run tells how it goes.
const progressEvery = time.Second

// run is one execution of an experiment.
type run struct {
	id     string
	engine *Engine
	loaded *experiment.Loaded
	spec   *experiment.Spec
	placed [][]fault.Fault
	may    permissions
	ctx    context.Context // cancelled with an abortion
	cancel context.CancelCauseFunc
	done   chan struct{}

	rec      *traffic.Recorder
	ledger   *recording
	probes   *probe.Runner
	gens     []*traffic.Generator
	flows    sync.WaitGroup // generators that run
	endFlows context.CancelFunc
	users    []string // implicit edges opened for this run

	// Windows of the recorder, by the run's own goroutine only.
	hurt     []int
	recovery int // -1 until it began
	lifted   time.Time
	sick     error // a health path that still fails at the end of recovery

	mu       sync.Mutex
	record   experiment.Run
	attended int // waiters in this process
	detached bool
	lastSeen time.Time
	stageEnd time.Time // at the latest
	inForce  []string  // faults, in words
	current  string    // id of the injection in force
}

// abortion is the cause with which a run is cancelled.
type abortion struct{ why string }

func (a *abortion) Error() string { return a.why }

func (r *run) abort(why string) { r.cancel(&abortion{why}) }

func (r *run) summary() experiment.RunSummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record.Summary()
}

func (r *run) seen() {
	r.mu.Lock()
	r.lastSeen = time.Now()
	r.mu.Unlock()
}

// execute goes through the stages. Whatever happens, the faults are lifted, the
// traffic ends and the record gets its verdict.
func (r *run) execute() {
	defer close(r.done)
	err := r.guarded(r.stages)
	r.lift(r.ctx)
	r.endTraffic()
	r.finish(err)
}

// guarded turns a panic into an error: a defect of ours must not take the
// server down, with faults in force.
func (r *run) guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.engine.audit.write("defect", r.id, "engine", string(debug.Stack()), fmt.Errorf("%v", p))
			err = fmt.Errorf("chaosctl has a defect: %v (the audit log says where)", p)
		}
	}()
	return do()
}

// stages returns the reason for which the run ended early, nil if it went
// through.
func (r *run) stages() error {
	r.enter(experiment.StageCheck, "", 0)
	if err := r.check(); err != nil {
		return fmt.Errorf("nothing was hurt: %w", err)
	}
	if err := r.startTraffic(); err != nil {
		return fmt.Errorf("nothing was hurt: %w", err)
	}
	steadyHeld, err := r.steady()
	if err != nil || !steadyHeld {
		return err
	}
	for i := range r.spec.Steps {
		if err := r.step(i); err != nil {
			return err
		}
	}
	return r.recover()
}

// enter marks the beginning of a stage that lasts at most d.
func (r *run) enter(stage experiment.Stage, step string, d time.Duration) int {
	now := time.Now()
	r.mu.Lock()
	if n := len(r.record.Windows); n > 0 {
		r.record.Windows[n-1].End = now
	}
	r.record.Windows = append(r.record.Windows, experiment.Window{Stage: stage, Step: step, Start: now})
	r.record.Stage = stage
	r.stageEnd = now.Add(d)
	r.mu.Unlock()
	window := -1
	if r.rec != nil {
		window = r.rec.Mark(stage, step, now)
	}
	if r.probes != nil {
		r.probes.Stage(stage)
	}
	r.engine.events.publish(experiment.Event{Type: "run-stage", ID: r.id, Message: stageWords(stage, step), Progress: r.progress()})
	return window
}

func stageWords(stage experiment.Stage, step string) string {
	if step == "" {
		return string(stage)
	}
	return string(stage) + ": " + step
}

// wait lets d pass, telling progress, and ends early with the abortion's cause
// or when until says so.
func (r *run) wait(d time.Duration, abortRules bool, until func(now time.Time) bool) error {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	told := time.Now()
	began := told
	for {
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-end.C:
			return nil
		case now := <-tick.C:
			if now.Sub(told) >= progressEvery {
				told = now
				r.engine.events.publish(experiment.Event{Type: "run-progress", ID: r.id, Progress: r.progress()})
			}
			if err := r.deserted(now); err != nil {
				return err
			}
			if abortRules {
				if err := r.abortRule(began, now); err != nil {
					return err
				}
			}
			if until != nil && until(now) {
				return nil
			}
		}
	}
}

// deserted ends a run whose client has been silent for too long.
func (r *run) deserted(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.detached || r.attended > 0 || now.Sub(r.lastSeen) < clientSilence {
		return nil
	}
	return &abortion{fmt.Sprintf("its client was silent for %s (use --detach to let a run go on alone)", clientSilence)}
}

// abortRule returns an abortion when a rule has held over its whole window.
func (r *run) abortRule(began, now time.Time) error {
	for _, a := range r.spec.Abort {
		from := now.Add(-a.For.Std())
		if from.Before(began) {
			continue
		}
		if holds, why := probe.AbortHolds(a, r.rec, from, now); holds {
			return &abortion{why}
		}
	}
	return nil
}

// steady watches the gates before anything is hurt.
func (r *run) steady() (held bool, err error) {
	w := r.enter(experiment.StageSteady, "", r.spec.Steady.For.Std())
	r.probes.TakeNow(r.ctx, experiment.AtStart)
	if err := r.wait(r.spec.Steady.For.Std(), false, nil); err != nil {
		return false, err
	}
	r.rec.Close(time.Now()) // what starts from here on belongs to no gate
	if err := r.rec.Settled(r.ctx, w); err != nil {
		return false, context.Cause(r.ctx)
	}
	held = true
	for _, g := range r.gateResults(w) {
		held = held && g.Result == experiment.Pass
	}
	for _, p := range r.probes.Results() {
		if p.Mode != experiment.DuringFault && p.Mode != experiment.AtEnd && p.Result == experiment.Fail {
			held = false
			r.mu.Lock()
			r.record.Incomplete = append(r.record.Incomplete, "steady state not reached, nothing was hurt: "+p.Why)
			r.mu.Unlock()
		}
	}
	return held, nil
}

// gateResults judges and records the gates of one window.
func (r *run) gateResults(w int) []experiment.GateResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	window := r.rec.Window(w)
	var all []experiment.GateResult
	for _, g := range r.spec.Gates {
		if slices.Contains(g.During, window.Stage) {
			all = append(all, probe.Judge(g, window, r.rec.Stats(w, g.Of))...)
		}
	}
	r.record.Gates = append(r.record.Gates, all...)
	return all
}

// step hurts for a while.
func (r *run) step(i int) error {
	s := r.spec.Steps[i]
	name := stepName(s, i)
	r.enter(experiment.StageInject, name, 0)
	in, err := r.engine.inject(r.ctx, experiment.InjectRequest{
		Owner: "run/" + r.id, Actor: r.record.Actor,
		AllowProduction: r.may.production, AllowIrreversible: r.may.irreversible,
	}, r.placed[i], s.For.Std()+stepLease, r.record.Seed)
	if err != nil {
		return fmt.Errorf("the faults of %s could not be put in force: %w", name, err)
	}
	r.mu.Lock()
	r.current, r.inForce = in.ID, inWords(in)
	r.mu.Unlock()
	r.noteOthers(in.ID)
	r.probes.FaultsInForce(true)
	r.ledger.tally.hurting(time.Now())
	w := r.enter(experiment.StageHurt, name, s.For.Std())
	err = r.wait(s.For.Std(), true, func(time.Time) bool { return !r.stillInForce(in.ID) })
	if err == nil {
		err = context.Cause(r.ctx) // a halt aborts first and lifts then
	}
	if err == nil && !r.stillInForce(in.ID) {
		err = &abortion{"its faults were lifted by somebody else before the step was over"}
	}
	r.lift(r.ctx)
	r.hurt = append(r.hurt, w)
	return err
}

func (r *run) stillInForce(id string) bool {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	_, ok := r.engine.injections[id]
	return ok
}

// noteOthers tells the reader of what is in force beside the run's own faults.
func (r *run) noteOthers(own string) {
	r.engine.mu.Lock()
	var others []string
	for id := range r.engine.injections {
		if id != own {
			others = append(others, id)
		}
	}
	r.engine.mu.Unlock()
	if len(others) > 0 {
		slices.Sort(others)
		r.note("not of this run, and in force meanwhile: " + strings.Join(others, ", "))
	}
}

func inWords(in experiment.Injection) []string {
	out := make([]string, len(in.Armed))
	for i, a := range in.Armed {
		out[i] = a.Fault.Kind + " on " + a.Where
	}
	return out
}

// lift takes out what the current step has in force and records it.
func (r *run) lift(ctx context.Context) {
	r.mu.Lock()
	id := r.current
	r.current, r.inForce = "", nil
	r.mu.Unlock()
	if id == "" {
		return
	}
	r.enter(experiment.StageLift, "", 0)
	info, err := r.engine.Lift(experiment.WithActor(context.WithoutCancel(ctx), "run/"+r.id), id)
	r.probes.FaultsInForce(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Injections = append(r.record.Injections, info)
	if err != nil {
		r.record.Stuck = append(r.record.Stuck, oneLine(err))
	}
}

// slack is how much longer than demanded gates are seen to hold, so that the
// stretch from the first request after the lift is not a little too short.
const slack = 200 * time.Millisecond

// recover waits until all gates hold again and callers do what they did before, at
// most within + hold.
func (r *run) recover() error {
	within, hold := r.spec.Recovery.Within.Std(), r.spec.Recovery.Hold.Std()
	lifted := time.Now()
	r.recovery = r.enter(experiment.StageRecovery, "", within+hold)
	r.lifted = lifted
	r.ledger.tally.lifted(lifted)
	err := r.wait(within+hold, false, func(now time.Time) bool {
		gates := r.recoveryGates()
		return now.Sub(lifted) >= hold+slack && (len(gates) == 0 || probe.Recovered(gates, r.rec, now.Add(-hold-slack), now)) && r.ledger.tally.atRest(now)
	})
	if err == nil {
		r.sick = r.check()
	}
	return err
}

func (r *run) recoveryGates() []experiment.Gate {
	var gates []experiment.Gate
	for _, g := range r.spec.Gates {
		if slices.Contains(g.During, experiment.StageRecovery) {
			gates = append(gates, g)
		}
	}
	return gates
}

// finish judges what was recorded, says how the run ended and stores the record.
func (r *run) finish(ended error) {
	e := r.engine
	var a *abortion
	var refusal *experiment.Error
	r.mu.Lock()
	switch {
	case ended == nil:
	case errors.As(ended, &a):
		r.record.Aborted = a.why
	case errors.As(ended, &refusal) && refusal.Code == experiment.CannotUndo:
		r.record.Stuck = append(r.record.Stuck, oneLine(ended))
	default:
		r.record.Incomplete = append(r.record.Incomplete, oneLine(ended))
	}
	r.mu.Unlock()
	if err := r.guarded(r.judgeStages); err != nil {
		r.mu.Lock()
		r.record.Incomplete = append(r.record.Incomplete, oneLine(err))
		r.mu.Unlock()
	}
	r.mu.Lock()
	now := time.Now()
	if n := len(r.record.Windows); n > 0 && r.record.Windows[n-1].End.IsZero() {
		r.record.Windows[n-1].End = now
	}
	final := r.record
	r.mu.Unlock()
	final.Ended, final.Stage = now, experiment.StageDone
	if err := r.guarded(func() error { r.judgeLedger(&final); return nil }); err != nil {
		final.Incomplete = append(slices.Clip(final.Incomplete), oneLine(err))
	}
	v := judge.Verdict(&final)
	final.Verdict = &v
	err := saveRun(e.cfg.StateDir, &final)
	if err != nil {
		final.Notes = append(slices.Clip(final.Notes), "this record is not in the state directory: "+err.Error())
	}
	e.audit.write("run-ended", r.id, final.Actor, fmt.Sprintf("%s: %s", final.Experiment, v.Outcome), err)
	e.mu.Lock()
	r.mu.Lock()
	r.record = final // whoever sees that it is over may start another
	r.mu.Unlock()
	e.run = nil
	if len(e.order) > keepRuns { // older ones are read from the state directory
		delete(e.runs, e.order[0])
		e.order = e.order[1:]
	}
	e.mu.Unlock()
	e.events.publish(experiment.Event{Type: "run-ended", ID: r.id, Message: fmt.Sprintf("%s: %s", v.Outcome, v.Reasons[0]), Progress: r.progress()})
}

// progress is how the run stands now.
func (r *run) progress() *experiment.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	p := &experiment.Progress{Run: r.id, Stage: r.record.Stage, Faults: slices.Clone(r.inForce)}
	if n := len(r.record.Windows); n > 0 {
		w := r.record.Windows[n-1]
		p.Step, p.Elapsed = w.Step, fault.Duration(max(0, now.Sub(w.Start)).Round(time.Millisecond))
	}
	p.Remaining = fault.Duration(max(0, r.stageEnd.Sub(now)).Round(time.Millisecond))
	if r.rec != nil {
		for _, f := range r.spec.Traffic {
			p.Flows = append(p.Flows, r.rec.Now(f.Name))
		}
	}
	return p
}
