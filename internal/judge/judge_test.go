package judge

import (
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// good is the record of a run in which all went well.
func good() *experiment.Run {
	took := fault.Duration(400 * time.Millisecond)
	return &experiment.Run{
		Gates: []experiment.GateResult{
			{Gate: "availability", Stage: experiment.StageSteady, Result: experiment.Pass},
			{Gate: "availability", Stage: experiment.StageHurt, Result: experiment.Pass},
			{Gate: "speed", Stage: experiment.StageRecovery, Result: experiment.Pass},
		},
		Probes: []experiment.ProbeResult{{Probe: "alive", Result: experiment.Pass}},
		Injections: []experiment.Injection{{Armed: []experiment.Armed{
			{Fault: fault.Fault{Name: "slow", Kind: "net.latency"}, Receipt: fault.Receipt{Unit: fault.Exchange, Matched: 10, Injected: 4, Skipped: 6}},
			{Fault: fault.Fault{Name: "slow", Kind: "net.latency"}, Receipt: fault.Receipt{Unit: fault.Exchange}},
		}}},
		Recovery: &experiment.RecoveryResult{Result: experiment.Pass, Took: &took},
	}
}

func TestVerdictPrecedence(t *testing.T) {
	stuck := func(r *experiment.Run) { r.Stuck = []string{"pid 812 is still stopped"} }
	abort := func(r *experiment.Run) { r.Aborted = "success of checkout was 12% over 5s" }
	unsteady := func(r *experiment.Run) {
		r.Gates[0].Result, r.Gates[0].Why = experiment.Fail, "gate availability: 12%"
	}
	noReceipt := func(r *experiment.Run) { r.Injections[0].Armed[0].Receipt = fault.Receipt{Unit: fault.Exchange} }
	broken := func(r *experiment.Run) {
		r.Gates[1].Result, r.Gates[1].Why = experiment.Fail, "gate availability: 90% in hurt"
	}
	missing := func(r *experiment.Run) {
		r.Gates[2].Result, r.Gates[2].Why = experiment.Unknown, "gate speed: no data"
	}
	late := func(r *experiment.Run) {
		r.Recovery = &experiment.RecoveryResult{Result: experiment.Fail, Why: "it took 3s"}
	}
	probe := func(r *experiment.Run) { r.Probes[0].Result, r.Probes[0].Why = experiment.Fail, "probe alive failed" }
	type change = func(*experiment.Run)
	for _, tc := range []struct {
		name    string
		changes []change
		outcome experiment.Outcome
		exit    int
		first   string
	}{
		{"all good", nil, experiment.Passed, 0, "All 2 gates held in every stage while 4 of 10 matched exchanges were hurt; it recovered 400ms after the lift."},
		{"stuck goes before all", []change{broken, unsteady, abort, stuck}, experiment.Failed, 5, "Could not roll back: pid 812 is still stopped."},
		{"abort before steady", []change{broken, unsteady, abort}, experiment.Aborted, 4, "Aborted: success of checkout was 12% over 5s."},
		{"steady before broken", []change{broken, unsteady}, experiment.Inconclusive, 6, "Steady state not reached, nothing was hurt: gate availability: 12%."},
		{"no receipt before broken", []change{broken, noReceipt}, experiment.Inconclusive, 6, "Fault slow (net.latency on (by its params)) hurt nothing: 0 exchanges matched, 0 were injected; without a receipt nothing is proven."},
		{"broken before missing", []change{missing, broken}, experiment.Failed, 3, "Gate availability: 90% in hurt."},
		{"late recovery", []change{late}, experiment.Failed, 3, "It took 3s."},
		{"probe", []change{probe}, experiment.Failed, 3, "Probe alive failed."},
		{"missing is no pass", []change{missing}, experiment.Inconclusive, 6, "Gate speed: no data."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := good()
			for _, c := range tc.changes {
				c(r)
			}
			v := Verdict(r)
			if v.Outcome != tc.outcome || v.Exit != tc.exit || len(v.Reasons) == 0 || v.Reasons[0] != tc.first {
				t.Fatalf("got %s exit %d %q\nwant %s exit %d %q", v.Outcome, v.Exit, strings.Join(v.Reasons, " | "), tc.outcome, tc.exit, tc.first)
			}
		})
	}
}

// An aborted run is not blamed for faults that had no time to hurt.
func TestAbortedRunNeedsNoReceipt(t *testing.T) {
	r := good()
	r.Aborted = "halt"
	r.Injections[0].Armed[0].Receipt = fault.Receipt{}
	if v := Verdict(r); len(v.Reasons) != 1 {
		t.Fatalf("reasons: %q", v.Reasons)
	}
}
