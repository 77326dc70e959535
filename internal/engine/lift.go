package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// lift takes the injection out. The first caller does it, the others wait and
// see it gone.
func (in *injection) lift(ctx context.Context, state experiment.InjectionState) (experiment.Injection, error) {
	actor := experiment.ActorOf(ctx)
	<-in.armed
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return in.copyInfo(), nil
	}
	e := in.engine
	if in.lease != nil && in.lease.Stop() {
		e.waiting.Done()
	}
	in.lease = nil
	err := in.revertAll(ctx)
	if err != nil {
		in.markStuck(err)
		e.audit.write("stuck", in.info.ID, actor, describe(in.places), err)
		return in.copyInfo(), stuckError([]string{fmt.Sprintf("%s: %s", in.info.ID, oneLine(err))})
	}
	in.gone = true
	in.info.State, in.info.Problem, in.info.Until = state, "", time.Now()
	action := map[experiment.InjectionState]string{experiment.Expired: "expired", experiment.Lifted: "lifted"}[state]
	e.audit.write(action, in.info.ID, actor, describe(in.places), nil)
	info := in.copyInfo()
	e.mu.Lock()
	e.strike(in)
	if len(e.ended) >= keepEnded {
		e.ended = append(e.ended[:0:0], e.ended[keepEnded/2:]...)
	}
	e.ended = append(e.ended, info)
	e.mu.Unlock()
	e.events.publish(experiment.Event{Type: action, ID: info.ID, Message: describe(in.places)})
	return info, nil
}

func (in *injection) expire() {
	_, _ = in.lift(experiment.WithActor(in.engine.ctx, "lease"), experiment.Expired)
}

func (in *injection) markStuck(err error) {
	in.info.State, in.info.Problem = experiment.Stuck, oneLine(err)
	in.engine.events.publish(experiment.Event{Type: "stuck", ID: in.info.ID, Message: in.info.Problem})
}

// snapshot is the injection with fresh receipts.
func (in *injection) snapshot(ctx context.Context) experiment.Injection {
	select {
	case <-in.armed:
	default:
		return experiment.Injection{}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return experiment.Injection{}
	}
	for i := range in.changes {
		in.readReceipt(ctx, i)
	}
	return in.copyInfo()
}

func (in *injection) copyInfo() experiment.Injection {
	info := in.info
	info.Armed = slices.Clone(in.info.Armed)
	return info
}

// Lift takes out one injection. It is NotFound for an id that is not in force;
// one that ended by itself a moment ago is returned as it ended.
func (e *Engine) Lift(ctx context.Context, id string) (experiment.Injection, error) {
	e.mu.Lock()
	in, ok := e.injections[id]
	var was *experiment.Injection
	var ids []string
	if !ok {
		for i := range e.ended {
			if e.ended[i].ID == id {
				was = &e.ended[i]
			}
		}
		ids = slices.Sorted(maps.Keys(e.injections))
	}
	e.mu.Unlock()
	switch {
	case ok:
		return in.lift(ctx, experiment.Lifted)
	case was != nil:
		return *was, nil
	}
	hint := "nothing is in force"
	if len(ids) > 0 {
		hint = "in force: " + strings.Join(ids[:min(len(ids), 20)], ", ")
	}
	return experiment.Injection{}, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no injection %q is in force", id), Hint: hint}
}

// Halt aborts the run and lifts everything, whoever owns it. It does not latch:
// what is injected afterwards is in force again.
func (e *Engine) Halt(ctx context.Context, why string) (experiment.HaltResult, error) {
	if why == "" {
		why = "halt"
	}
	result := e.halt(ctx, why)
	if len(result.Stuck) > 0 {
		return result, stuckError(result.Stuck)
	}
	return result, nil
}

func (e *Engine) halt(ctx context.Context, why string) experiment.HaltResult {
	result := experiment.HaltResult{Lifted: []string{}, Aborted: []string{}}
	e.mu.Lock()
	live := slices.Collect(maps.Values(e.injections))
	r := e.run
	e.mu.Unlock()
	if r != nil {
		r.abort(why)
		result.Aborted = append(result.Aborted, r.id)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, in := range live {
		wg.Go(func() {
			info, err := in.lift(ctx, experiment.Lifted)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				result.Stuck = append(result.Stuck, info.ID+": "+info.Problem)
			} else if len(info.Armed) > 0 {
				result.Lifted = append(result.Lifted, info.ID)
			}
		})
	}
	wg.Wait()
	if r != nil {
		<-r.done
	}
	e.halts.Add(1)
	slices.Sort(result.Lifted)
	slices.Sort(result.Stuck)
	e.audit.write("halt", "", experiment.ActorOf(ctx), why, nil)
	e.events.publish(experiment.Event{Type: "halted", Message: why})
	return result
}
