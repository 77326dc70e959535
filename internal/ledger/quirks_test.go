package ledger

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// quirk is a run of 2 s steady, 10 hurt and 2 of recovery, with traced requests.
type quirk struct {
	run experiment.Run
	all []experiment.Exchange
}

var quirkBegan = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newQuirk() *quirk {
	at := func(s int) time.Time { return quirkBegan.Add(time.Duration(s) * time.Second) }
	q := &quirk{}
	q.run.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(2)},
		{Stage: experiment.StageHurt, Step: "s", Start: at(2), End: at(12)},
		{Stage: experiment.StageRecovery, Start: at(12), End: at(14)},
	}
	q.run.Plan.Steps = []experiment.PlanStep{{Name: "s"}}
	q.run.Injections = []experiment.Injection{{Armed: []experiment.Armed{{Where: "front -> back"}}}}
	q.run.Recovery = &experiment.RecoveryResult{Lift: at(12)}
	return q
}

func (q *quirk) exchange(edge, path string, status int, from, to time.Duration, trace byte, hurt bool) {
	x := experiment.Exchange{Edge: edge, Method: "GET", Path: path, Status: status, Start: quirkBegan.Add(from), FirstByte: quirkBegan.Add(to), End: quirkBegan.Add(to),
		LastIn: quirkBegan.Add(from), EndedBy: experiment.EndedByCallee, TraceID: experiment.Digest{1, trace}, Key: experiment.Digest{2, trace}, Keyed: experiment.ByTrace}
	if hurt {
		x.Faults = []string{"s"}
	}
	q.all = append(q.all, x)
}

func (q *quirk) behaviour() experiment.EdgeBehaviour {
	v := Look(NewBook(q.all), &q.run)
	for _, b := range v.Behaviours() {
		if b.Edge == "front -> back" {
			return b
		}
	}
	return experiment.EdgeBehaviour{}
}

// Long polling takes its time; what is slow because of a fault further down does not.
func TestLongPollingIsNoMissingTimeout(t *testing.T) {
	for quick, none := range map[bool]bool{false: false, true: true} {
		q := newQuirk()
		for i := range byte(8) {
			if from := 100 * time.Millisecond * time.Duration(i); quick {
				q.exchange("front -> back", "/wait", 200, from, from+20*time.Millisecond, i, false)
			}
			from := 3*time.Second + 200*time.Millisecond*time.Duration(i)
			q.exchange("front -> back", "/wait", 200, from, from+5500*time.Millisecond, 50+i, false)
		}
		if b := q.behaviour(); b.Timeout.None != none {
			t.Errorf("quick before: %v: %+v", quick, b.Timeout)
		}
	}
}

// What was under way before the first stage was not hurt.
func TestLongPollingFromBefore(t *testing.T) {
	q := newQuirk()
	for i := range byte(8) {
		q.exchange("front -> back", "/wait", 200, -time.Second, 5*time.Second, i, false)
		q.exchange("front -> back", "/wait", 200, 5*time.Second, 11*time.Second, 50+i, true)
	}
	if b := q.behaviour(); b.Timeout.None {
		t.Errorf("%+v", b.Timeout)
	}
}

// A machine that stood still lets many calls through before the caller sees one fail: the
// breaker may have opened after any of those.
func TestBurstBeforeAnOpening(t *testing.T) {
	const ms = time.Millisecond
	q := newQuirk()
	n := byte(0)
	visit := func(asked, called time.Duration, status int) {
		n++
		end := called + time.Millisecond
		if called > 0 {
			q.exchange("front -> back", "/", status, called, called+200*time.Microsecond, n, status == 503)
		} else {
			end = asked + 5*ms
		}
		q.exchange("users -> front", "/", 200, asked, end+2*ms, n, false)
	}
	for i := range 60 {
		at := time.Duration(i) * 33 * ms
		visit(at, at+5*ms, 200)
	}
	for i := range 3 {
		at := 2010*ms + time.Duration(i)*33*ms
		visit(at, at+5*ms, 503)
	}
	for i := range 22 { // stood still from 2.1 to 2.83 s
		visit(2110*ms+time.Duration(i)*33*ms, 2840*ms+time.Duration(i)*300*time.Microsecond, 503)
	}
	for i := range 100 {
		visit(2870*ms+time.Duration(i)*33*ms, 0, 0)
	}
	b := q.behaviour().Breaker
	if !b.Seen || b.OpensAfter != 0 || len(b.OpensBetween) != 2 || b.OpensBetween[0] > 5 || b.OpensBetween[1] != 25 {
		t.Errorf("%+v", b)
	}
}

// Openings that came after different numbers of failures leave all of these open.
func TestOpeningsThatDisagree(t *testing.T) {
	opening := func(counts ...int) *pause {
		p := &pause{}
		for _, c := range counts {
			p.causes = append(p.causes, cause{count: c})
		}
		return p
	}
	if n := agreed([]*pause{opening(2), opening(9), opening(4, 5)}); n.value != 0 || n.least != 2 || n.most != 9 {
		t.Errorf("%+v", n)
	}
	if n := agreed([]*pause{opening(5), opening(4, 5), opening(5, 6)}); n.value != 5 {
		t.Errorf("%+v", n)
	}
}
