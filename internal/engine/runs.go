package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// StartRun begins to execute an experiment and returns at once. Mistakes of the
// document and refusals of the guard are errors here, before anything starts;
// one run at a time is under way.
func (e *Engine) StartRun(ctx context.Context, req experiment.RunRequest) (experiment.RunSummary, error) {
	loaded, err := e.load(req)
	if err != nil {
		return experiment.RunSummary{}, err
	}
	seed, err := seedOr(loaded.Experiment.Spec.Seed)
	if err != nil {
		return experiment.RunSummary{}, err
	}
	if err := e.checkFlows(loaded.Experiment.Spec.Traffic, seed); err != nil {
		return experiment.RunSummary{}, err
	}
	may := permissions{req.AllowProduction, req.AllowIrreversible}
	plan, placed, err := makePlan(loaded, seed, e.cfg.Drivers, may)
	if err != nil {
		return experiment.RunSummary{}, err
	}
	r := &run{
		id: newID("r"), engine: e, loaded: loaded, spec: &loaded.Experiment.Spec, placed: placed, may: may,
		done: make(chan struct{}), detached: req.Detach, lastSeen: time.Now(), recovery: -1,
	}
	r.ctx, r.cancel = context.WithCancelCause(e.ctx)
	r.record = experiment.Run{
		APIVersion: experiment.APIVersion, Kind: "Run", ID: r.id,
		Experiment: loaded.Experiment.Metadata.Name, Hypothesis: r.spec.Hypothesis,
		Topology: e.cfg.Topology.Metadata.Name, Environ: e.spec.Environment, Actor: req.Actor,
		Seed: seed, Version: e.cfg.Version, Started: time.Now(), Stage: experiment.StageCheck, Plan: plan, Document: redactDocument(req.Document, r.spec),
		Windows: []experiment.Window{}, Gates: []experiment.GateResult{}, Probes: []experiment.ProbeResult{},
		Injections: []experiment.Injection{}, Flows: []experiment.FlowResult{},
		Notes: emulated(&loaded.Topology.Spec, slices.Concat(placed...), nil),
	}
	if err := e.enroll(r); err != nil {
		r.cancel(nil)
		return experiment.RunSummary{}, err
	}
	e.audit.write("run-started", r.id, req.Actor, r.record.Experiment, nil)
	e.events.publish(experiment.Event{Type: "run-started", ID: r.id, Message: r.record.Experiment})
	summary := r.summary()
	go func() {
		defer e.waiting.Done()
		defer r.cancel(nil)
		r.execute()
	}()
	return summary, nil
}

// checkFlows finds what would keep a flow from starting, such as a variable that
// is not set.
func (e *Engine) checkFlows(flows []experiment.Flow, seed uint64) error {
	rec := traffic.NewRecorder(flows)
	for i, f := range flows {
		if _, err := traffic.New(traffic.Config{Flow: f, Address: "127.0.0.1:1", Seed: seed, Env: e.cfg.Env}, rec); err != nil {
			return &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf("spec.traffic[%d] (%s): %v", i, f.Name, err)}
		}
	}
	return nil
}

func (e *Engine) enroll(r *run) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return &experiment.Error{Code: experiment.Unavailable, Message: "chaosctl is shutting down"}
	}
	if e.run != nil {
		return &experiment.Error{
			Code:    experiment.Conflict,
			Message: fmt.Sprintf("run %s is under way; two at a time would blur each other's verdict", e.run.id),
			Hint:    "wait for it, or end it with `chaosctl halt`",
		}
	}
	e.run = r
	e.runs[r.id] = r
	e.order = append(e.order, r.id)
	e.waiting.Add(1)
	return nil
}

func (e *Engine) findRun(id string) (*run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok := e.runs[id]; ok {
		return r, nil
	}
	return nil, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("there is no run %q", id), Hint: "`chaosctl report` lists the runs"}
}

// Run is the record of a run, of this process or stored by an earlier one; of
// one that is under way, as it stands.
func (e *Engine) Run(id string) (*experiment.Run, error) {
	r, err := e.findRun(id)
	if err != nil {
		if old, lerr := LoadRun(e.cfg.StateDir, id); lerr == nil {
			return old, nil
		}
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.record
	record.Windows = slices.Clone(r.record.Windows)
	record.Gates = slices.Clone(r.record.Gates)
	record.Injections = slices.Clone(r.record.Injections)
	return &record, nil
}

// Runs lists the runs of this process, oldest first, and the stored ones before
// them.
func (e *Engine) Runs() []experiment.RunSummary {
	e.mu.Lock()
	mine := make([]*run, 0, len(e.order))
	known := map[string]bool{}
	for _, id := range e.order {
		mine = append(mine, e.runs[id])
		known[id] = true
	}
	e.mu.Unlock()
	all := []experiment.RunSummary{}
	stored, _ := StoredRuns(e.cfg.StateDir)
	for _, s := range stored {
		if !known[s.ID] {
			all = append(all, s)
		}
	}
	for _, r := range mine {
		all = append(all, r.summary())
	}
	return all
}

// AbortRun ends a run early; its faults are lifted and its record is kept.
func (e *Engine) AbortRun(ctx context.Context, id, why string) error {
	r, err := e.findRun(id)
	if err != nil {
		return err
	}
	if why == "" {
		why = "it was told to stop"
	}
	e.audit.write("abort", id, experiment.ActorOf(ctx), why, nil)
	r.abort(why)
	return nil
}

// KeepAlive is the sign of a client that waits for a run.
func (e *Engine) KeepAlive(id string) error {
	r, err := e.findRun(id)
	if err != nil {
		return err
	}
	r.seen()
	return nil
}

// WaitRun waits for a run to end and returns its record. While somebody waits
// here, the run is not deserted.
func (e *Engine) WaitRun(ctx context.Context, id string) (*experiment.Run, error) {
	r, err := e.findRun(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.attended++
	r.mu.Unlock()
	defer func() {
		r.seen()
		r.mu.Lock()
		r.attended--
		r.mu.Unlock()
	}()
	select {
	case <-r.done:
		return e.Run(id)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for run %s: %w", id, context.Cause(ctx))
	}
}

var runID = regexp.MustCompile(`^r-[a-z2-7]{8}$`)

func runPath(stateDir, id string) string { return filepath.Join(stateDir, "runs", id+".json") }

// saveRun stores a record so that it is there whole or not at all.
func saveRun(stateDir string, r *experiment.Run) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode run %s: %w", r.ID, err)
	}
	path := runPath(stateDir, r.ID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("store run %s: %w", r.ID, err)
	}
	tmp := path + ".tmp"
	if err := writeSynced(tmp, b); err != nil {
		return errors.Join(fmt.Errorf("store run %s: %w", r.ID, err), os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("store run %s: %w", r.ID, err), os.Remove(tmp))
	}
	return nil
}

// writeSynced writes a file and returns once it is on the disk.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// LoadRun reads a stored record.
func LoadRun(stateDir, id string) (*experiment.Run, error) {
	if !runID.MatchString(id) {
		return nil, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("%q is not the id of a run", id), Hint: "`chaosctl report` lists the runs"}
	}
	b, err := os.ReadFile(runPath(stateDir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("there is no run %q in %s", id, stateDir), Hint: "`chaosctl report` lists the runs"}
	}
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	var r experiment.Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	return &r, nil
}

// StoredRuns lists the stored records, oldest first.
func StoredRuns(stateDir string) ([]experiment.RunSummary, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var all []experiment.RunSummary
	for _, en := range entries {
		id, ok := strings.CutSuffix(en.Name(), ".json")
		if !ok {
			continue
		}
		if r, err := LoadRun(stateDir, id); err == nil {
			all = append(all, r.Summary())
		}
	}
	slices.SortFunc(all, func(a, b experiment.RunSummary) int { return a.Started.Compare(b.Started) })
	return all, nil
}
