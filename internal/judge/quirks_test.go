package judge

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// A page that says something else from some day on is not garbage, if the fault could not
// have changed it.
func TestWhatLeavesBodiesIsNoTampering(t *testing.T) {
	for kind, corrupt := range map[string]bool{"http.header": false, "net.latency": false, "http.body": true} {
		s := newSim(1, "front -> back")
		s.run.Injections[0].Armed[0].Fault.Kind = kind
		s.flow("visit", "front", func(sec float64, i int) reply {
			page := experiment.Answer{Type: "text/html", Size: 12, Hash: experiment.Digest{3}}
			if sec >= 15 {
				page.Size, page.Hash = 9, experiment.Digest{4}
			}
			return reply{200, 10 * ms, page, []child{{"front -> back", 200, 5 * ms, sec >= 10 && sec < 20, 0}}}
		})
		r := s.judge()
		if n := r.Outcomes[0].Windows[1].Counts[experiment.OutcomeCorrupt]; (n > 0) != corrupt || (weak(r, experiment.GarbagePassedOn) != nil) != corrupt {
			t.Errorf("%s: %v, %+v", kind, r.Outcomes[0].Windows[1].Counts, r.Weaknesses)
		}
	}
}

// Two relays note two ends: one that is noted a little after the users' was waited for.
func TestEndsThatAreNotedLateAreNotMasked(t *testing.T) {
	for took, want := range map[time.Duration]experiment.OutcomeClass{50 * ms: experiment.OutcomeOK, 500 * ms: experiment.OutcomeMasked} {
		s := newSim(1, "front -> back")
		s.flow("visit", "front", one(func(i int) reply {
			return reply{200, 10 * ms, varied(plainJSON, i), []child{{"front -> back", 200, took, true, 0}}}
		}))
		if c, share := most(s.judge().Outcomes[0].Windows[1]); c != want || share < 0.98 {
			t.Errorf("ended %s after the start: %s (%.2f), want %s", took, c, share, want)
		}
	}
}

// A flow that does not need what failed has overcome nothing, though the times say that
// the call was made for it.
func TestOthersFailuresAreNotMasked(t *testing.T) {
	s := newSim(1, "front -> back")
	s.traced = false
	s.flow("needs", "front", one(func(i int) reply {
		return reply{502, 10 * ms, experiment.Answer{}, []child{{"front -> back", 503, 5 * ms, true, 0}}}
	}))
	s.flow("other", "front", func(sec float64, i int) reply {
		return reply{200, 10 * ms, plainJSON, []child{{"front -> side", 200, 5 * ms, false, 0}}}
	})
	v := ledger.Look(ledger.NewBook(s.all), &s.run)
	c := classify(v, &s.spec)
	need := newNeeds(v, c.tree)
	for flow, want := range []bool{true, false} {
		failed := &below{failed: true, failedOn: []int32{v.EdgeOf("front -> back")}}
		if got := c.overcame(int32(flow), failed, 1, need); got != want {
			t.Errorf("%s: %v, want %v", v.Flows[flow], got, want)
		}
	}
}

// A machine that stands still for a moment at the end is no system that stays broken.
func TestLateAtTheVeryEndIsNotBroken(t *testing.T) {
	for _, tc := range []struct {
		name   string
		since  float64
		status int
		broken bool
	}{
		{"late answers at the end", 28.8, 200, false},
		{"errors at the end", 28.8, 502, true},
		{"late from the lift on", 20, 200, true},
	} {
		s := newSim(1, "front -> back")
		s.flow("visit", "front", func(sec float64, i int) reply {
			if sec >= tc.since {
				return reply{tc.status, 1800 * ms, plainJSON, nil}
			}
			return reply{200, 10 * ms, plainJSON, []child{{"front -> back", 200, 5 * ms, false, 0}}}
		})
		r := s.judge()
		if w := weak(r, experiment.StaysBroken); (w != nil) != tc.broken {
			t.Errorf("%s: %s, %+v", tc.name, r.Recovery.Shape, r.Recovery.Parts)
		}
	}
}

// A busy machine's hang-ups come late now and then; the limit is that of the most.
func TestLateHangUps(t *testing.T) {
	limit := experiment.Expectation{Edge: "api->auth", Timeout: &experiment.ExpectTimeout{AtMost: fault.Duration(time.Second)}}
	for _, tc := range []struct {
		name    string
		onTime  int
		lasting time.Duration // of four others
		is      string
	}{
		{"late by a standstill", 12, 1250 * ms, "held"},
		{"no limit on another route", 12, 1800 * ms, "broken"},
		{"a longer limit", 0, 1250 * ms, "broken"},
	} {
		s := newScene()
		for i := range tc.onTime {
			s.call(byte(i), 0, 1010*ms)
		}
		for i := range 4 {
			s.call(byte(100+i), 0, tc.lasting)
		}
		t.Run(tc.name, func(t *testing.T) { judgeScene(t, s, limit, tc.is, "") })
	}
}

// Attempts per call of calls that cannot be told apart hold only what the exchanges for
// each request of the users hold, too.
func TestAmplificationInDoubt(t *testing.T) {
	for _, tc := range []struct {
		name                       string
		confidence, hurt, endToEnd float64
		is                         string
	}{
		{"sure", 0.95, 2, 7, "held"},
		{"attempts counted as calls", 0.3, 2, 7, "unknown"},
		{"calls counted as attempts", 0.7, 3.5, 2.5, "unknown"},
		{"both say so", 0.3, 2, 2.5, "held"},
		{"both say more", 0.3, 4, 7, "broken"},
	} {
		s := newScene()
		s.edge().Amplification = experiment.Amplification{Finding: known(50), Steady: 1, Hurt: tc.hurt, EndToEnd: tc.endToEnd, SteadyEndToEnd: 1}
		s.edge().Amplification.Confidence = tc.confidence
		t.Run(tc.name, func(t *testing.T) {
			judgeScene(t, s, experiment.Expectation{Edge: "api->auth", Amplification: &experiment.ExpectAmplification{AtMost: 3}}, tc.is, "")
		})
	}
}

// A system that turned well just before the end is late, and not broken; one that is well at
// times is neither.
func TestBackAtTheVeryEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		bad  func(sec float64) bool
		want experiment.RecoveryShape
	}{
		{"down, and then back", func(sec float64) bool { return sec >= 10 && sec < 29.4 }, experiment.RecoveryLate},
		{"down to the end", func(sec float64) bool { return sec >= 10 }, experiment.RecoveryBroken},
		{"well at times", func(sec float64) bool { return sec >= 10 && int(sec/0.5)%2 == 0 }, experiment.RecoveryUnknown},
		{"three in four are well", func(sec float64) bool { return sec >= 10 && int(sec*50)%4 == 0 }, experiment.RecoveryBroken},
	} {
		s := newSim(1, "front -> back")
		s.run.Recovery.Took, s.run.Recovery.Result, s.run.Recovery.Why = nil, experiment.Fail, "not recovered"
		s.flow("visit", "front", func(sec float64, i int) reply {
			if tc.bad(sec) {
				return reply{502, 10 * ms, experiment.Answer{}, nil}
			}
			return reply{200, 10 * ms, plainJSON, []child{{"front -> back", 200, 5 * ms, false, 0}}}
		})
		r := s.judge()
		if r.Recovery.Shape != tc.want || (weak(r, experiment.StaysBroken) != nil) != (tc.want == experiment.RecoveryBroken) {
			t.Errorf("%s: %s, %+v", tc.name, r.Recovery.Shape, r.Recovery.Parts)
		}
	}
}
