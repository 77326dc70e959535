package judge

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

var laneBegan = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// laneRun is a run of 30 s, hurt from 10 s to 20 s.
func laneRun() *experiment.Run {
	w := func(stage experiment.Stage, step string, from, to int) experiment.Window {
		return experiment.Window{Stage: stage, Step: step, Start: laneBegan.Add(time.Duration(from) * time.Second), End: laneBegan.Add(time.Duration(to) * time.Second)}
	}
	return &experiment.Run{Windows: []experiment.Window{w(experiment.StageSteady, "", 0, 10), w(experiment.StageHurt, "cut", 10, 20), w(experiment.StageRecovery, "", 20, 30)}}
}

// laneBook collects calls with attempts that end in given statuses (0: the caller hangs
// up), 20 ms apart.
type laneBook struct {
	all []experiment.Exchange
	key byte
}

func (b *laneBook) call(at time.Duration, statuses ...int) {
	b.key++
	for i, s := range statuses {
		start := laneBegan.Add(at + time.Duration(i)*20*time.Millisecond)
		x := experiment.Exchange{No: uint64(len(b.all) + 1), Edge: "a -> b", Method: "GET", Path: "/", Status: s, Start: start, End: start.Add(5 * time.Millisecond), EndedBy: experiment.EndedByCallee,
			Key: experiment.Digest{b.key, 1}, Keyed: experiment.ByRequestID, RequestID: experiment.Digest{b.key, 1}}
		if s == 0 {
			x.Cut, x.EndedBy = true, experiment.EndedByCaller
		}
		if s != 200 {
			x.Faults = []string{"f"}
		}
		b.all = append(b.all, x)
	}
}

func TestLanesShowWhatTells(t *testing.T) {
	var b laneBook
	for i := range 50 {
		b.call(time.Duration(i)*100*time.Millisecond, 200)
	}
	for i := range 20 {
		b.call(10*time.Second+time.Duration(i)*300*time.Millisecond, 503, 503, 200)
	}
	b.call(17*time.Second, 503, 0, 503, 0, 503, 503, 503) // most attempts, given up
	b.call(18*time.Second, 0)
	b.call(19*time.Second, 200)
	b.call(22*time.Second, 503, 200)
	r := laneRun()
	r.Weaknesses = []experiment.Weakness{{Edge: "a -> b", Evidence: []uint64{51 + 3*15}}}
	v := ledger.Look(ledger.NewBook(b.all), r)
	all := lanes(v)
	if len(all) != 1 || all[0].Edge != "a -> b" || all[0].Of != 74 {
		t.Fatalf("lanes %+v", all)
	}
	perStep, shown, like := map[experiment.Stage]int{}, map[uint64]bool{}, map[string]int{}
	most := 0
	for i, c := range all[0].Calls {
		perStep[c.Stage]++
		most = max(most, len(c.Attempts))
		course := ""
		for j, a := range c.Attempts {
			shown[a.No] = true
			course += a.Outcome + " "
			if a.End.Before(a.Start) || j > 0 && a.Start.Before(c.Attempts[j-1].Start) {
				t.Errorf("call %d: attempts out of order", i)
			}
			if a.Failed != (a.Outcome != "200") || a.Hurt != a.Failed {
				t.Errorf("call %d: %+v", i, a)
			}
		}
		like[course]++
	}
	if perStep[experiment.StageSteady] != 1 || perStep[experiment.StageHurt] > laneCalls || perStep[experiment.StageHurt] < 4 || perStep[experiment.StageRecovery] != 1 {
		t.Errorf("calls per step: %v", perStep)
	}
	if most != 7 || like["503 503 200 "] == 0 || like["503 503 200 "] > laneAlike || like["timeout "] != 1 || like["503 200 "] != 1 {
		t.Errorf("most attempts %d, courses %v", most, like)
	}
	if !shown[51+3*15] {
		t.Error("the exchange that shows the weakness is not drawn")
	}
}

func TestLanesAreBounded(t *testing.T) {
	var b laneBook
	statuses := make([]int, 300)
	for i := range statuses {
		statuses[i] = 503
	}
	b.call(11*time.Second, statuses...)
	all := lanes(ledger.Look(ledger.NewBook(b.all), laneRun()))
	if len(all) != 1 || len(all[0].Calls) != 1 {
		t.Fatalf("lanes %+v", all)
	}
	if c := all[0].Calls[0]; len(c.Attempts) != laneTries || c.More != 300-laneTries {
		t.Errorf("%d attempts and %d more", len(c.Attempts), c.More)
	}
}

func TestLanesOnlyWhereSomethingHappened(t *testing.T) {
	var b laneBook
	b.call(time.Second, 200)
	b.all = append(b.all, experiment.Exchange{No: 9, Edge: "a -> db", Start: laneBegan.Add(11 * time.Second), End: laneBegan.Add(12 * time.Second), Cut: true, Faults: []string{"f"}})
	if all := lanes(ledger.Look(ledger.NewBook(b.all), laneRun())); len(all) != 0 {
		t.Errorf("a quiet edge and one of bytes are drawn: %+v", all)
	}
	if all := lanes(ledger.Look(ledger.NewBook(nil), &experiment.Run{})); len(all) != 0 {
		t.Error("nothing is drawn")
	}
}

// Probes of a half-open breaker are among the calls that are shown.
func TestLanesShowProbes(t *testing.T) {
	var b laneBook
	for i := range 30 {
		b.call(11*time.Second+time.Duration(i)*200*time.Millisecond, 503, 503, 503, 503)
	}
	b.call(18*time.Second, 200)
	probe := uint64(len(b.all))
	r := laneRun()
	r.Behaviour = []experiment.EdgeBehaviour{{Edge: "a -> b", Breaker: experiment.Breaker{Spans: []experiment.BreakerSpan{
		{State: experiment.BreakerOpen, From: laneBegan.Add(12 * time.Second), To: laneBegan.Add(17900 * time.Millisecond)},
		{State: experiment.BreakerHalfOpen, From: laneBegan.Add(17900 * time.Millisecond), To: laneBegan.Add(18500 * time.Millisecond)},
	}}}}
	for _, l := range lanes(ledger.Look(ledger.NewBook(b.all), r)) {
		for _, c := range l.Calls {
			if c.Attempts[0].No == probe {
				return
			}
		}
	}
	t.Error("the probe is not shown")
}
