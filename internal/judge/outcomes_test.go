package judge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// step is a child of a request in a simulated system: an exchange on an edge.
type child struct {
	edge   string
	status int // 0: cut off
	took   time.Duration
	hurt   bool
	after  time.Duration // of the request's start
}

// reply is what a simulated user got.
type reply struct {
	status int // 0: timeout
	took   time.Duration
	answer experiment.Answer
	below  []child
}

// sim is a simulated run: ten seconds steady, ten hurt, ten of recovery.
type sim struct {
	dice   *rand.Rand
	run    experiment.Run
	spec   experiment.Spec
	all    []experiment.Exchange
	traced bool
}

func newSim(seed uint64, hurt ...string) *sim {
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	s := &sim{dice: rand.New(rand.NewPCG(seed, 5)), traced: true}
	took := fault.Duration(100 * time.Millisecond)
	s.run.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(10)},
		{Stage: experiment.StageHurt, Step: "trouble", Start: at(10), End: at(20)},
		{Stage: experiment.StageRecovery, Start: at(20), End: at(30)},
	}
	s.run.Plan.Steps = []experiment.PlanStep{{Name: "trouble"}}
	var in experiment.Injection
	for _, e := range hurt {
		in.Armed = append(in.Armed, experiment.Armed{Where: e})
	}
	s.run.Injections = []experiment.Injection{in}
	s.run.Recovery = &experiment.RecoveryResult{Lift: at(20), Within: fault.Duration(3 * time.Second), Hold: fault.Duration(time.Second), Result: experiment.Pass, Took: &took}
	return s
}

// flow simulates 50 requests a second.
func (s *sim) flow(name, service string, behave func(sec float64, i int) reply) {
	s.spec.Traffic = append(s.spec.Traffic, experiment.Flow{Name: name, Service: service})
	users := experiment.Users + " -> " + service
	offset := time.Duration(s.dice.IntN(int(20 * time.Millisecond)))
	for i := range 1500 {
		start := began.Add(time.Duration(i)*20*time.Millisecond + offset)
		r := behave(start.Sub(began).Seconds(), i)
		noise := time.Duration(s.dice.IntN(int(20 * time.Millisecond)))
		r.took += noise
		var trace experiment.Digest
		if s.traced {
			trace = experiment.Digest{byte(len(s.spec.Traffic)), byte(i), byte(i >> 8), 1}
		}
		class, ok := fmt.Sprint(r.status), r.status != 0 && r.status < 400
		by := experiment.EndedByCallee
		if r.status == 0 {
			class, by = "timeout", experiment.EndedByCaller
		}
		answer := r.answer
		x := experiment.Exchange{
			Edge: users, Flow: name, Method: "GET", Path: "/" + name, Status: r.status, Start: start, Sent: start.Add(100 * time.Microsecond),
			End: start.Add(r.took), Class: class, OK: ok, EndedBy: by, Cut: r.status == 0, TraceID: trace, Answer: &answer,
		}
		u := x
		u.Flow, u.Class, u.Answer, u.OK, u.Sent = "", "", nil, false, time.Time{}
		u.Start, u.End = start.Add(200*time.Microsecond), x.End.Add(-100*time.Microsecond)
		s.all = append(s.all, x, u)
		for _, c := range r.below {
			at := start.Add(time.Millisecond + c.after)
			d := experiment.Exchange{
				Edge: c.edge, Method: "GET", Path: "/", Status: c.status, Start: at, End: at.Add(c.took), EndedBy: experiment.EndedByCallee, TraceID: trace, Cut: c.status == 0,
				Key: experiment.Digest{9, trace[0], trace[1], trace[2]}, Keyed: experiment.ByTrace,
			}
			if !s.traced {
				d.Key, d.Keyed = experiment.Digest{9}, experiment.ByBody
			}
			if c.hurt {
				d.Faults = []string{"trouble"}
			}
			s.all = append(s.all, d)
		}
	}
}

func (s *sim) judge() *experiment.Run {
	Ledger(&s.run, &s.spec, ledger.NewBook(s.all))
	return &s.run
}

// most is the class that most answers of a window have, and its share.
func most(w experiment.OutcomeWindow) (experiment.OutcomeClass, float64) {
	var class experiment.OutcomeClass
	for c, n := range w.Counts {
		if n > w.Counts[class] {
			class = c
		}
	}
	return class, float64(w.Counts[class]) / float64(max(1, total(w)))
}

func weak(r *experiment.Run, kind experiment.WeaknessKind) *experiment.Weakness {
	for i := range r.Weaknesses {
		if r.Weaknesses[i].Kind == kind {
			return &r.Weaknesses[i]
		}
	}
	return nil
}

var plainJSON = experiment.Answer{Type: "application/json", Size: 40, Shape: "{id:number,items:[{name:string}],name:string}", Hash: experiment.Digest{1}}

func with(a experiment.Answer, shape string) experiment.Answer {
	a.Shape = shape
	a.Hash[1]++
	return a
}

const ms = time.Millisecond

// one is a front that calls a back, whose edge is hurt from second 10 to 20.
func one(hurt func(i int) reply) func(sec float64, i int) reply {
	return func(sec float64, i int) reply {
		if sec >= 10 && sec < 20 {
			return hurt(i)
		}
		return reply{200, 10 * ms, varied(plainJSON, i), []child{{"front -> back", 200, 5 * ms, false, 0}}}
	}
}

// varied has another body each time, of the same shape.
func varied(a experiment.Answer, i int) experiment.Answer {
	a.Hash[2], a.Hash[3] = byte(i), byte(i>>8)
	a.Size += uint64(i % 5)
	return a
}

func TestOutcomes(t *testing.T) {
	failing := []child{{"front -> back", 503, 5 * ms, true, 0}}
	retried := append(failing[:1:1], child{"front -> back", 200, 5 * ms, false, 10 * ms})
	garbled := []child{{"front -> back", 200, 5 * ms, true, 0}}
	fixed := experiment.Answer{Type: "text/plain", Size: 5, Hash: experiment.Digest{3}}
	for _, tc := range []struct {
		name  string
		want  experiment.OutcomeClass
		weak  bool // garbage is named
		given func(sec float64, i int) reply
	}{
		{"error", experiment.OutcomeError, false, one(func(i int) reply { return reply{502, 10 * ms, experiment.Answer{}, failing} })},
		{"timeout", experiment.OutcomeError, false, one(func(i int) reply { return reply{0, 2000 * ms, experiment.Answer{}, failing} })},
		{"masked by a retry", experiment.OutcomeMasked, false, one(func(i int) reply { return reply{200, 30 * ms, varied(plainJSON, i), retried} })},
		{"slow", experiment.OutcomeSlow, false, one(func(i int) reply {
			return reply{200, 900 * ms, varied(plainJSON, i), []child{{"front -> back", 200, 800 * ms, true, 0}}}
		})},
		{"a little slower is not slow", experiment.OutcomeOK, false, one(func(i int) reply {
			return reply{200, 60 * ms, varied(plainJSON, i), []child{{"front -> back", 200, 50 * ms, true, 0}}}
		})},
		{"declared", experiment.OutcomeDegraded, false, one(func(i int) reply {
			a := with(plainJSON, "{degraded:bool,id:number}")
			a.Degraded = "field degraded"
			return reply{200, 10 * ms, a, failing}
		})},
		{"another status", experiment.OutcomeDegraded, false, one(func(i int) reply { return reply{203, 10 * ms, varied(plainJSON, i), failing} })},
		{"a part left out", experiment.OutcomeDegraded, false, one(func(i int) reply { return reply{200, 10 * ms, with(plainJSON, "{id:number,name:string}"), failing} })},
		{"fallback of the same shape", experiment.OutcomeMasked, false, one(func(i int) reply { return reply{200, 10 * ms, plainJSON, failing} })},
		{"fallback with an empty list", experiment.OutcomeMasked, false, one(func(i int) reply {
			return reply{200, 10 * ms, with(plainJSON, "{id:number,items:[],name:string}"), failing}
		})},
		{"a field more", experiment.OutcomeOK, false, one(func(i int) reply {
			return reply{200, 10 * ms, with(plainJSON, "{id:number,items:[{name:string}],name:string,note:string}"), garbled}
		})},
		{"broken JSON", experiment.OutcomeCorrupt, true, one(func(i int) reply { return reply{200, 10 * ms, with(plainJSON, "invalid"), garbled} })},
		{"an error in a 200", experiment.OutcomeCorrupt, true, one(func(i int) reply { return reply{200, 10 * ms, with(plainJSON, "{error:string}"), failing} })},
		{"another type", experiment.OutcomeCorrupt, true, one(func(i int) reply {
			return reply{200, 10 * ms, experiment.Answer{Type: "text/html", Size: 70, Hash: experiment.Digest{4}}, garbled}
		})},
		{"a field of another type", experiment.OutcomeCorrupt, true, one(func(i int) reply {
			return reply{200, 10 * ms, with(plainJSON, "{id:string,items:[{name:string}],name:string}"), garbled}
		})},
		{"a field gone", experiment.OutcomeCorrupt, true, one(func(i int) reply { return reply{200, 10 * ms, with(plainJSON, "{id:number,name:string}"), garbled} })},
		{"nothing", experiment.OutcomeCorrupt, true, one(func(i int) reply {
			return reply{200, 10 * ms, experiment.Answer{Type: "application/json", Shape: "invalid"}, garbled}
		})},
		{"optional field is gone", experiment.OutcomeOK, false, func(sec float64, i int) reply {
			a := varied(plainJSON, i)
			if i%9 == 0 || sec > 10 && sec < 20 {
				a = with(a, "{id:number,name:string}")
			}
			return reply{200, 10 * ms, a, []child{{"front -> back", 200, 5 * ms, sec > 10 && sec < 20, 0}}}
		}},
		{"fallback text", experiment.OutcomeMasked, false, func(sec float64, i int) reply {
			if sec >= 10 && sec < 20 {
				return reply{200, 10 * ms, experiment.Answer{Type: "text/plain", Size: 9, Hash: experiment.Digest{5}}, failing}
			}
			return reply{200, 10 * ms, fixed, []child{{"front -> back", 200, 5 * ms, false, 0}}}
		}},
		{"garbage in the place of fixed text", experiment.OutcomeCorrupt, true, func(sec float64, i int) reply {
			if sec >= 10 && sec < 20 {
				return reply{200, 10 * ms, varied(fixed, i), garbled}
			}
			return reply{200, 10 * ms, fixed, []child{{"front -> back", 200, 5 * ms, false, 0}}}
		}},
	} {
		for seed := range simSeeds() {
			s := newSim(seed, "front -> back")
			s.flow("visit", "front", tc.given)
			r := s.judge()
			o := r.Outcomes[0]
			if !o.Steady.Known || o.Steady.Slow == 0 {
				t.Fatalf("%s: steady %+v", tc.name, o.Steady)
			}
			if c, share := most(o.Windows[0]); c != experiment.OutcomeOK || share < 1 {
				t.Errorf("%s (seed %d): steady %v", tc.name, seed, o.Windows[0].Counts)
			}
			if c, share := most(o.Windows[1]); c != tc.want || share < 0.98 {
				t.Errorf("%s (seed %d): hurt %v, want %s", tc.name, seed, o.Windows[1].Counts, tc.want)
			}
			if c, share := most(o.Windows[2]); c != experiment.OutcomeOK || share < 0.98 {
				t.Errorf("%s (seed %d): recovery %v", tc.name, seed, o.Windows[2].Counts)
			}
			w := weak(r, experiment.GarbagePassedOn)
			if (w != nil) != tc.weak || w != nil && (w.Edge != "front -> back" || len(w.Evidence) == 0) {
				t.Errorf("%s (seed %d): weaknesses %+v", tc.name, seed, w)
			}
			if n := weak(r, experiment.NoBulkhead); n != nil {
				t.Errorf("%s: %+v", tc.name, n)
			}
			if len(o.Needs) == 0 || o.Needs[0] != "front -> back" || o.Joined != "trace" {
				t.Errorf("%s: needs %v by %s", tc.name, o.Needs, o.Joined)
			}
		}
	}
}

// A flow that never led to what is hurt suffers from a pool it shares, with ids and
// without them.
func TestCascade(t *testing.T) {
	for _, traced := range []bool{true, false} {
		for _, shared := range []bool{true, false} {
			for seed := range simSeeds() {
				s := newSim(seed, "front -> back")
				s.traced = traced
				s.flow("needs", "front", one(func(i int) reply {
					return reply{0, 2000 * ms, experiment.Answer{}, []child{{"front -> back", 200, 3000 * ms, true, 0}}}
				}))
				s.flow("other", "front", func(sec float64, i int) reply {
					if shared && sec >= 11 && sec < 20 {
						return reply{0, 2000 * ms, experiment.Answer{}, nil}
					}
					return reply{200, 10 * ms, plainJSON, []child{{"front -> side", 200, 5 * ms, false, 0}}}
				})
				r := s.judge()
				w := weak(r, experiment.NoBulkhead)
				if (w != nil) != shared || w != nil && (w.Flow != "other" || w.Edge != "front -> back") {
					t.Errorf("traced %v, shared %v, seed %d: %+v\n%v by %s", traced, shared, seed, w, r.Outcomes[1].Needs, r.Outcomes[1].Joined)
				}
				if n := r.Outcomes[0].Windows[1].Counts[experiment.OutcomeCascade]; n > 0 {
					t.Errorf("%d cascades of the flow that needs it", n)
				}
			}
		}
	}
}

// Without steady answers everything is judged by its status alone.
func TestNothingLearned(t *testing.T) {
	s := newSim(1, "front -> back")
	s.flow("visit", "front", func(sec float64, i int) reply {
		if sec < 10 {
			return reply{503, 10 * ms, experiment.Answer{}, nil}
		}
		return reply{200, 10 * ms, with(plainJSON, []string{"invalid", "{a:number}"}[i%2]), nil}
	})
	o := s.judge().Outcomes[0]
	if o.Steady.Known || !strings.Contains(o.Steady.Why, "by their status alone") || o.Windows[0].Counts[experiment.OutcomeError] != 500 || o.Windows[1].Counts[experiment.OutcomeOK] != 500 {
		t.Errorf("%+v", o)
	}
}

func TestSlowByGate(t *testing.T) {
	for _, tc := range []struct {
		gate experiment.Gate
		want time.Duration
	}{
		{experiment.Gate{Of: "visit", P99: &experiment.TimeRule{Op: "<=", Bound: fault.Duration(50 * ms)}}, 50 * ms},
		{experiment.Gate{Of: "visit", P95: &experiment.TimeRule{Op: "<", Bound: fault.Duration(60 * ms)}, During: []experiment.Stage{experiment.StageHurt}}, 60 * ms},
		{experiment.Gate{Of: "visit", P99: &experiment.TimeRule{Op: "<=", Bound: fault.Duration(50 * ms)}, During: []experiment.Stage{experiment.StageSteady}}, 0},
		{experiment.Gate{Of: "visit", P50: &experiment.TimeRule{Op: "<=", Bound: fault.Duration(50 * ms)}}, 0},
		{experiment.Gate{Of: "other", P99: &experiment.TimeRule{Op: "<=", Bound: fault.Duration(50 * ms)}}, 0},
	} {
		spec := &experiment.Spec{Gates: []experiment.Gate{tc.gate}}
		if got, _ := slowBy(spec, "visit"); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.gate, got, tc.want)
		}
	}
}

func TestRecoveryShapes(t *testing.T) {
	back := func(status int, took time.Duration) []child {
		return []child{{"front -> back", status, took, false, 0}}
	}
	tries := func(n int, status int) []child {
		var all []child
		for i := range n {
			all = append(all, child{"front -> back", status, 5 * ms, false, time.Duration(i) * 10 * ms})
		}
		return all
	}
	fine := reply{200, 10 * ms, plainJSON, back(200, 5*ms)}
	broken := func(r *experiment.RecoveryResult) { r.Took, r.Result, r.Why = nil, experiment.Fail, "not recovered" }
	late := func(r *experiment.RecoveryResult) {
		took := fault.Duration(5 * time.Second)
		r.Took, r.Result = &took, experiment.Fail
	}
	for _, tc := range []struct {
		name   string
		gates  func(*experiment.RecoveryResult)
		given  func(sec float64) reply
		want   experiment.RecoveryShape
		took   float64 // seconds until the goodput was back; -1 never
		broken bool
	}{
		{"heals", nil, func(sec float64) reply {
			if sec >= 10 && sec < 21 {
				return reply{502, 10 * ms, experiment.Answer{}, back(503, 5*ms)}
			}
			return fine
		}, experiment.RecoveryHealed, 1, false},
		{"heals late", late, func(sec float64) reply {
			if sec >= 10 && sec < 25 {
				return reply{502, 10 * ms, experiment.Answer{}, back(503, 5*ms)}
			}
			return fine
		}, experiment.RecoveryLate, 5, false},
		{"retry storm", broken, func(sec float64) reply {
			if sec >= 10 {
				return reply{502, 40 * ms, experiment.Answer{}, tries(3, 503)}
			}
			return fine
		}, experiment.RecoveryRetryStorm, -1, true},
		{"queue", broken, func(sec float64) reply {
			if sec >= 10 {
				return reply{0, 2000 * ms, experiment.Answer{}, []child{{"front -> back", 200, 5 * ms, false, 2500 * ms}}}
			}
			return fine
		}, experiment.RecoveryRetryStorm, -1, true},
		{"stays broken", broken, func(sec float64) reply {
			if sec >= 10 {
				return reply{502, 10 * ms, experiment.Answer{}, back(200, 5*ms)}
			}
			return fine
		}, experiment.RecoveryBroken, -1, true},
	} {
		for seed := range simSeeds() {
			s := newSim(seed, "front -> back")
			if tc.gates != nil {
				tc.gates(s.run.Recovery)
			}
			s.flow("visit", "front", func(sec float64, i int) reply { return tc.given(sec) })
			r := s.judge()
			if r.Recovery.Shape != tc.want {
				t.Errorf("%s (seed %d): %s, want %s: %+v", tc.name, seed, r.Recovery.Shape, tc.want, r.Recovery)
			}
			for _, p := range r.Recovery.Parts {
				if p.What != "goodput" {
					continue
				}
				switch {
				case (p.Took == nil) != (tc.took < 0):
					t.Errorf("%s: %+v", tc.name, p)
				case p.Took != nil && (p.Took.Std().Seconds() < tc.took-0.1 || p.Took.Std().Seconds() > tc.took+0.1):
					t.Errorf("%s: goodput after %s, want %.0fs", tc.name, p.Took, tc.took)
				}
			}
			if w := weak(r, experiment.StaysBroken); (w != nil) != tc.broken {
				t.Errorf("%s: %+v", tc.name, w)
			}
			if tc.want == experiment.RecoveryRetryStorm && !strings.Contains(r.Recovery.Why, "metastable") {
				t.Errorf("%s: %s", tc.name, r.Recovery.Why)
			}
			if stuck := r.Outcomes[0].Windows[2].Counts[experiment.OutcomeStuck]; tc.broken && stuck < 300 {
				t.Errorf("%s: %v", tc.name, r.Outcomes[0].Windows[2].Counts)
			}
		}
	}
}

// A breaker that stays open behind a fallback is named, though users are served.
func TestBreakerStaysOpen(t *testing.T) {
	s := newSim(1, "front -> back")
	s.flow("visit", "front", func(sec float64, i int) reply {
		if sec >= 11 {
			return reply{200, 10 * ms, plainJSON, nil}
		}
		return reply{200, 10 * ms, plainJSON, []child{{"front -> back", map[bool]int{true: 503, false: 200}[sec >= 10], 5 * ms, sec >= 10, 0}}}
	})
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	v := ledger.Look(ledger.NewBook(s.all), &s.run)
	s.run.Behaviour = []experiment.EdgeBehaviour{{Edge: "front -> back", Breaker: experiment.Breaker{
		Finding: experiment.Finding{Known: true}, Seen: true, Closed: experiment.Finding{Known: true},
		Spans: []experiment.BreakerSpan{{State: experiment.BreakerClosed, From: at(0), To: at(11)}, {State: experiment.BreakerOpen, From: at(11), To: at(31)}},
	}}}
	c := classify(v, &s.spec)
	s.run.Outcomes = c.flows
	recovery(c)
	if s.run.Recovery.Shape != experiment.RecoveryBreakerOpen {
		t.Errorf("%+v", s.run.Recovery)
	}
	if cl, share := most(c.flows[0].Windows[2]); cl != experiment.OutcomeMasked || share < 0.97 {
		t.Errorf("recovery: %v", c.flows[0].Windows[2].Counts)
	}
}

// Nobody is said not to need what nothing can be known about: a connection that lasts,
// an edge that was never used, a process. What is hurt behind another door is not needed.
func TestNoCascadeInDoubt(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hurt  string
		edges []string
		conn  bool // one connection on the hurt edge, which ended in the steady stage
		want  bool
	}{
		{"connection", "front -> db", []string{"front -> db"}, true, false},
		{"connection that never ended", "front -> db", []string{"front -> db"}, false, false},
		{"behind the next service", "side -> db", []string{"side -> db"}, false, false},
		{"behind a door of its own", "admin -> db", []string{"users -> admin", "admin -> db"}, false, true},
		{"a caller that nobody calls", "cron -> db", []string{"cron -> db"}, false, false},
		{"process", "db (pid 12)", nil, false, false},
	} {
		s := newSim(3, tc.hurt)
		for _, e := range tc.edges {
			from, to, _ := strings.Cut(e, " -> ")
			s.run.Edges = append(s.run.Edges, experiment.EdgeStatus{Name: e, From: from, To: to})
		}
		if tc.conn {
			s.all = append(s.all, experiment.Exchange{Edge: tc.hurt, Start: began.Add(time.Second), End: began.Add(2 * time.Second), EndedBy: experiment.EndedByCaller})
		}
		s.flow("visit", "front", func(sec float64, i int) reply {
			if sec >= 11 && sec < 20 {
				return reply{500, 10 * ms, experiment.Answer{}, nil}
			}
			return reply{200, 10 * ms, plainJSON, []child{{"front -> side", 200, 5 * ms, false, 0}}}
		})
		r := s.judge()
		if w := weak(r, experiment.NoBulkhead); (w != nil) != tc.want {
			t.Errorf("%s: %+v, %v", tc.name, w, r.Outcomes[0].Windows[1].Counts)
		}
	}
}

// simSeeds is how often a simulation is run, each time with another seed.
func simSeeds() uint64 {
	if raceOn {
		return 1
	}
	return 3
}
