package judge

import (
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// scene is a run with one edge and one flow, and what was seen of them.
type scene struct {
	run       experiment.Run
	exchanges []experiment.Exchange
}

var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newScene() *scene {
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	s := &scene{}
	s.run.Recovery = &experiment.RecoveryResult{Lift: at(20)}
	s.run.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(10)},
		{Stage: experiment.StageHurt, Step: "down", Start: at(10), End: at(20)},
		{Stage: experiment.StageRecovery, Start: at(20), End: at(30)},
	}
	s.run.Behaviour = []experiment.EdgeBehaviour{{Edge: "api -> auth", Grouping: experiment.Grouping{Sure: 1}}}
	s.run.Outcomes = []experiment.FlowOutcomes{{Flow: "look", Steady: experiment.SteadyAnswer{Finding: experiment.Finding{Known: true, Confidence: 1}}}}
	return s
}

func (s *scene) edge() *experiment.EdgeBehaviour { return &s.run.Behaviour[0] }

// call adds a call while hurt: attempts of the same key, each so long, all failed with
// a status; 0 is a caller that hung up.
func (s *scene) call(key byte, status int, lasting ...time.Duration) {
	at := began.Add(11*time.Second + time.Duration(len(s.exchanges))*20*time.Millisecond)
	for _, d := range lasting {
		x := experiment.Exchange{Edge: "api -> auth", Method: "GET", Path: "/", Start: at, End: at.Add(d), Status: status, EndedBy: experiment.EndedByCallee,
			Key: experiment.Digest{1, key}, Keyed: experiment.ByTrace, TraceID: experiment.Digest{2, key}}
		if status == 0 {
			x.EndedBy, x.Cut = experiment.EndedByCaller, true
		}
		s.exchanges = append(s.exchanges, x)
		at = x.End.Add(10 * time.Millisecond)
	}
}

func (s *scene) outcomes(stage experiment.Stage, counts map[experiment.OutcomeClass]uint64) {
	o := &s.run.Outcomes[0]
	o.Windows = append(o.Windows, experiment.OutcomeWindow{Stage: stage, Counts: counts, Shown: map[experiment.OutcomeClass][]uint64{experiment.OutcomeError: {7, 8}}})
}

func known(samples int) experiment.Finding {
	return experiment.Finding{Known: true, Confidence: 0.9, Samples: samples, Why: "it was seen", Evidence: []uint64{1, 2}}
}

func TestExpectations(t *testing.T) {
	two, none, yes := 2, 0, true
	second, d := fault.Duration(time.Second), func(d time.Duration) fault.Duration { return fault.Duration(d) }
	edge := func(e experiment.Expectation) experiment.Expectation { e.Edge = "api->auth"; return e }
	atMostSecond := edge(experiment.Expectation{Timeout: &experiment.ExpectTimeout{AtMost: second}})
	total := edge(experiment.Expectation{Timeout: &experiment.ExpectTimeout{Total: second}})
	patient := edge(experiment.Expectation{Timeout: &experiment.ExpectTimeout{AtLeast: second}})
	twoRetries := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{AtMost: &two}})
	noRetries := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{AtMost: &none}})
	least := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{AtLeast: &two}})
	backoff := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{Backoff: experiment.SpacingExponential}})
	jitter := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{Jitter: &yes}})
	wait := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{Wait: d(500 * time.Millisecond)}})
	final := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{NotOn: []experiment.OutcomeWord{"4xx"}}})
	obeyed := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{RetryAfter: "obeyed"}})
	safe := edge(experiment.Expectation{Retries: &experiment.ExpectRetries{Unsafe: "forbidden"}})
	isBreaker := edge(experiment.Expectation{Breaker: &experiment.ExpectBreaker{}})
	isFallback := edge(experiment.Expectation{Fallback: &experiment.ExpectFallback{}})
	mostly := edge(experiment.Expectation{Fallback: &experiment.ExpectFallback{Share: 0.9}})
	few := edge(experiment.Expectation{Amplification: &experiment.ExpectAmplification{AtMost: 1.5}})
	order := edge(experiment.Expectation{Inversion: "forbidden"})
	good := experiment.Expectation{Traffic: "look", Outcome: []experiment.OutcomeClass{experiment.OutcomeOK, experiment.OutcomeMasked}}
	nearly := good
	nearly.Tolerate = 0.1
	apart := experiment.Expectation{Traffic: "look", Bulkhead: "unaffected"}
	breaker := func(change func(*experiment.Breaker)) func(*scene) {
		return func(s *scene) {
			b := &s.edge().Breaker
			b.Finding = known(5)
			change(b)
		}
	}
	nothing := func(*scene) {}
	for name, tt := range map[string]struct {
		want experiment.Expectation
		seen func(*scene)
		is   string // the standings of its rules
		why  string
	}{
		"timeout held":           {atMostSecond, func(s *scene) { s.call(1, 0, 990*time.Millisecond) }, "held", "hung up on 1 exchange, after 990ms"},
		"timeout a little late":  {atMostSecond, func(s *scene) { s.call(1, 0, 1030*time.Millisecond) }, "held", ""},
		"timeout broken":         {atMostSecond, func(s *scene) { s.call(1, 0, 2*time.Second) }, "broken", "1 exchange lasted longer than 1s, the longest 2s"},
		"timeout broken, answer": {atMostSecond, func(s *scene) { s.call(1, 200, 2*time.Second) }, "broken", ""},
		"timeout never needed":   {atMostSecond, func(s *scene) { s.call(1, 503, 10*time.Millisecond) }, "unknown", "never had to wait"},
		"timeout, nothing":       {atMostSecond, nothing, "unknown", ""},
		"total held": {total, func(s *scene) {
			s.call(1, 503, 300*time.Millisecond, 300*time.Millisecond)
			s.call(2, 503, 9e8)
			s.call(3, 503, 1e8)
		}, "held", "3 calls failed"},
		"total broken":   {total, func(s *scene) { s.call(1, 503, 600*time.Millisecond, 600*time.Millisecond) }, "broken", "1 call took longer"},
		"total, too few": {total, func(s *scene) { s.call(1, 503, time.Millisecond) }, "unknown", "1, at least 3"},
		"patient":        {patient, func(s *scene) { s.edge().Timeout = experiment.Timeout{Finding: known(3), PerTry: second} }, "held", ""},
		"impatient":      {patient, func(s *scene) { s.edge().Timeout = experiment.Timeout{Finding: known(3), PerTry: second / 2} }, "broken", "after 500ms already"},
		"patient without end": {patient, func(s *scene) {
			s.edge().Timeout = experiment.Timeout{Finding: known(3), None: true, AtLeast: 2 * second}
		}, "held", ""},
		"patience unknown":    {patient, nothing, "unknown", ""},
		"retries held":        {twoRetries, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 3} }, "held", "3 attempts"},
		"retries broken":      {twoRetries, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 4} }, "broken", ""},
		"retries endless":     {twoRetries, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 3, Endless: true} }, "broken", "without an end"},
		"retries broken once": {twoRetries, func(s *scene) { s.call(1, 503, 1e6, 1e6, 1e6, 1e6) }, "broken", "1 call of 1 had more than 3 attempts, up to 4"},
		"retries unknown":     {twoRetries, func(s *scene) { s.call(1, 200, 1e6) }, "unknown", ""},
		"no retries":          {noRetries, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 1} }, "held", ""},
		"at least":            {least, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 3} }, "held", ""},
		"not at least":        {least, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 2} }, "broken", ""},
		"backoff": {backoff, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingExponential, Base: second, Factor: 2}
		}, "held", "2 times as long each time, without jitter"},
		"wrong backoff": {backoff, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingFixed, Base: second}
		}, "broken", "waits 1s each time"},
		"backoff unknown":    {backoff, nothing, "unknown", ""},
		"backoff of nothing": {backoff, func(s *scene) { s.edge().Tries = experiment.Tries{Finding: known(9), Most: 1} }, "unknown", "is not tried again"},
		"jitter": {jitter, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingFixed, Jitter: true}
		}, "held", ""},
		"no jitter": {jitter, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingFixed}
		}, "broken", ""},
		"waits": {wait, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingFixed, Base: second}
		}, "held", ""},
		"does not wait": {wait, func(s *scene) { s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingNone} }, "broken", "at once"},
		"first at once": {wait, func(s *scene) {
			s.edge().Spacing = experiment.Spacing{Finding: known(9), Kind: experiment.SpacingExponential, FirstAtOnce: true, Base: second}
		}, "broken", ""},
		"final held":    {final, func(s *scene) { s.edge().Retried = []experiment.Retried{{Outcome: "404", Ended: 5}} }, "held", ""},
		"final broken":  {final, func(s *scene) { s.edge().Retried = []experiment.Retried{{Outcome: "404", Ended: 5, Retried: 5}} }, "broken", "5 of 5"},
		"final unknown": {final, func(s *scene) { s.edge().Retried = []experiment.Retried{{Outcome: "503", Ended: 5, Retried: 5}} }, "unknown", ""},
		"obeyed":        {obeyed, func(s *scene) { s.edge().RetryAfter = experiment.RetryAfter{Finding: known(5), Asked: 5, Obeyed: 5} }, "held", ""},
		"not obeyed":    {obeyed, func(s *scene) { s.edge().RetryAfter = experiment.RetryAfter{Finding: known(5), Asked: 5, Obeyed: 4} }, "broken", "4 of 5"},
		"never asked":   {obeyed, nothing, "unknown", ""},
		"safe":          {safe, func(s *scene) { s.edge().Retried = []experiment.Retried{{Outcome: "503", Method: "POST", Ended: 5}} }, "held", ""},
		"unsafe": {safe, func(s *scene) {
			s.edge().Retried = []experiment.Retried{{Outcome: "503", Method: "POST", Ended: 5, Retried: 4}}
		}, "broken", ""},
		"keyed": {safe, func(s *scene) {
			s.edge().Retried = []experiment.Retried{{Outcome: "503", Method: "POST", Ended: 5, Retried: 4, Keyed: true}}
		}, "unknown", ""},
		"breaker":                 {isBreaker, breaker(func(b *experiment.Breaker) { b.Seen = true }), "held", ""},
		"no breaker":              {isBreaker, breaker(func(b *experiment.Breaker) {}), "broken", ""},
		"breaker never exercised": {isBreaker, nothing, "unknown", "not put to the test"},
		"fallback": {isFallback, func(s *scene) {
			s.edge().Fallback = experiment.Fallback{Finding: known(5), Seen: true, Answered: 5, Failed: 5}
		}, "held", "5 of 5"},
		"fallback at times": {isFallback, func(s *scene) {
			s.edge().Fallback = experiment.Fallback{Finding: known(5), Seen: true, Answered: 4, Failed: 5}
		}, "broken", ""},
		"fallback mostly": {mostly, func(s *scene) {
			s.edge().Fallback = experiment.Fallback{Finding: known(5), Seen: true, Answered: 19, Failed: 20}
		}, "held", ""},
		"fallback never needed": {isFallback, nothing, "unknown", "not put to the test"},
		"amplified": {few, func(s *scene) {
			s.edge().Amplification = experiment.Amplification{Finding: known(5), Steady: 1, Hurt: 3}
		}, "broken", "3.00 attempts per call"},
		"not amplified": {few, func(s *scene) {
			s.edge().Amplification = experiment.Amplification{Finding: known(5), Steady: 1, Hurt: 1.5}
		}, "held", ""},
		"order":          {order, func(s *scene) { s.edge().Inversion = experiment.Inversion{Finding: known(5)} }, "held", ""},
		"inverted":       {order, func(s *scene) { s.edge().Inversion = experiment.Inversion{Finding: known(5), Seen: true} }, "broken", ""},
		"order untested": {order, nothing, "unknown", ""},
		"outcome": {good, func(s *scene) {
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 5, "masked": 5})
		}, "held", "10 answers: 5 ok, 5 masked"},
		"outcome broken": {good, func(s *scene) {
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 9, "error": 1})
		}, "broken", "1 error"},
		"outcome tolerated": {nearly, func(s *scene) {
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 9, "error": 1})
		}, "held", ""},
		"outcome stuck": {good, func(s *scene) {
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 9})
			s.outcomes(experiment.StageRecovery, map[experiment.OutcomeClass]uint64{"ok": 9, "stuck": 1})
		}, "broken", "1 stuck"},
		"outcome of nobody": {good, nothing, "unknown", ""},
		"apart": {apart, func(s *scene) {
			s.outcomes(experiment.StageSteady, map[experiment.OutcomeClass]uint64{"ok": 9})
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 9})
		}, "held", ""},
		"not apart": {apart, func(s *scene) {
			s.outcomes(experiment.StageSteady, map[experiment.OutcomeClass]uint64{"ok": 9})
			s.outcomes(experiment.StageHurt, map[experiment.OutcomeClass]uint64{"ok": 5, "cascade": 4})
		}, "broken", "4 of 9"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			tt.seen(s)
			judgeScene(t, s, tt.want, tt.is, tt.why)
		})
	}
	for name, tt := range map[string]struct {
		rule experiment.ExpectBreaker
		seen experiment.Breaker
		is   string
	}{
		"opens in time":   {experiment.ExpectBreaker{OpensAfter: 5}, experiment.Breaker{Seen: true, OpensAfter: 5}, "held held"},
		"opens late":      {experiment.ExpectBreaker{OpensAfter: 5}, experiment.Breaker{Seen: true, OpensAfter: 9}, "held broken"},
		"opens between":   {experiment.ExpectBreaker{OpensAfter: 5}, experiment.Breaker{Seen: true, OpensBetween: []int{3, 5}}, "held held"},
		"opens about":     {experiment.ExpectBreaker{OpensAfter: 5}, experiment.Breaker{Seen: true, OpensBetween: []int{3, 7}}, "held unknown"},
		"opens beyond":    {experiment.ExpectBreaker{OpensAfter: 5}, experiment.Breaker{Seen: true, OpensBetween: []int{6, 9}}, "held broken"},
		"still open":      {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true, Spans: []experiment.BreakerSpan{{State: experiment.BreakerOpen, From: began, To: began.Add(25 * time.Second)}}}, "held broken"},
		"open, too early": {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true, Spans: []experiment.BreakerSpan{{State: experiment.BreakerOpen, From: began, To: began.Add(20500 * time.Millisecond)}}}, "held unknown"},
		"closes in time":  {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true, Closed: known(3), ClosedAfter: second}, "held held"},
		"closes late":     {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true, Closed: known(3), ClosedAfter: 2 * second}, "held broken"},
		"never closes":    {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true, Closed: known(3)}, "held broken"},
		"closing unknown": {experiment.ExpectBreaker{ClosesWithin: second}, experiment.Breaker{Seen: true}, "held unknown"},
		"probes":          {experiment.ExpectBreaker{Probes: 1}, experiment.Breaker{Seen: true, HalfOpen: known(3), Probes: 1}, "held held"},
		"many probes":     {experiment.ExpectBreaker{Probes: 1}, experiment.Breaker{Seen: true, HalfOpen: known(3), Probes: 4}, "held broken"},
		"no probes":       {experiment.ExpectBreaker{Probes: 1}, experiment.Breaker{Seen: true, HalfOpen: known(3)}, "held broken"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			s.edge().Breaker = tt.seen
			s.edge().Breaker.Finding = known(5)
			judgeScene(t, s, edge(experiment.Expectation{Breaker: &tt.rule}), tt.is, "")
		})
	}
}

func judgeScene(t *testing.T, s *scene, want experiment.Expectation, is, why string) {
	t.Helper()
	spec := &experiment.Spec{Expect: []experiment.Expectation{want}}
	view := ledger.Look(ledger.NewBook(s.exchanges), &s.run)
	got := expectations(view, spec)
	var standings []string
	var whys strings.Builder
	for _, r := range got {
		standings = append(standings, string(r.Result))
		whys.WriteString(r.Why)
		if r.Why == "" || r.Rule == "" || r.Of == "" {
			t.Errorf("says too little: %+v", r)
		}
	}
	if strings.Join(standings, " ") != is || !strings.Contains(whys.String(), why) {
		t.Errorf("%v: %s; want %s: %s", standings, whys.String(), is, why)
	}
	// What was lost may be what breaks it.
	s.run.Ledger = &experiment.LedgerSummary{Lost: 1, Why: "the disk is full"}
	for _, r := range expectations(view, spec) {
		if r.Result == experiment.Held {
			t.Errorf("held although an exchange was lost: %+v", r)
		}
	}
	s.run.Ledger = nil
}

func TestExpectationsInTheVerdict(t *testing.T) {
	for standing, outcome := range map[experiment.Standing]experiment.Outcome{
		experiment.Held: experiment.Passed, experiment.Broken: experiment.Failed, experiment.Untested: experiment.Inconclusive,
	} {
		r := &experiment.Run{Expectations: []experiment.ExpectationResult{{Expectation: "api -> auth", Rule: "at most 2 retries", Result: standing, Why: "Three were seen."}}}
		if v := Verdict(r); v.Outcome != outcome || standing != experiment.Held && !strings.Contains(v.Reasons[0], "at most 2 retries") {
			t.Errorf("%s: %+v", standing, v)
		}
	}
}
