package report

import (
	"fmt"
	"math"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const ms = fault.Duration(time.Millisecond)

func found(confidence float64, samples int, why string, evidence ...uint64) experiment.Finding {
	return experiment.Finding{Known: true, Confidence: confidence, Samples: samples, Why: why, Evidence: evidence}
}

func missing(why string) experiment.Finding { return experiment.Finding{Why: why} }

func edgeWindows(r *experiment.Run, rate float64, figures ...[3]float64) []experiment.EdgeWindow {
	var all []experiment.EdgeWindow
	for i, w := range r.Windows {
		f := figures[min(i, len(figures)-1)] // attempts per call, share failed, share hurt
		s := w.End.Sub(w.Start).Seconds()
		calls := uint64(rate * s)
		n := uint64(rate * s * f[0])
		all = append(all, experiment.EdgeWindow{Stage: w.Stage, Step: w.Step, Exchanges: n, Calls: calls, Failed: uint64(float64(n) * f[1]), Hurt: uint64(float64(n) * f[2]), Attempts: f[0], Rate: rate * f[0]})
	}
	return all
}

type counts = map[experiment.OutcomeClass]uint64

func flowOutcomes(r *experiment.Run, flow string, figures ...counts) experiment.FlowOutcomes {
	f := experiment.FlowOutcomes{Flow: flow, Joined: "trace", Needs: []string{"api-service -> auth-service"},
		Steady: experiment.SteadyAnswer{Finding: found(1, 500, "Learned from 500 answers: status 200, application/json, 412 to 430 bytes; slow is more than 90ms.", 3, 9), Statuses: []int{200}, Types: []string{"application/json"}}}
	for i, w := range r.Windows {
		if i < len(figures) {
			f.Windows = append(f.Windows, experiment.OutcomeWindow{Stage: w.Stage, Step: w.Step, Counts: figures[i], Shown: map[experiment.OutcomeClass][]uint64{experiment.OutcomeError: {801, 802}}})
		}
	}
	return f
}

// lane makes calls: each a list of (wait before, length, outcome) of attempts.
type attempt struct {
	wait, took int
	outcome    string
}

func laneCall2(stage experiment.Stage, step string, from time.Duration, no uint64, tries ...attempt) experiment.LaneCall {
	c := experiment.LaneCall{By: experiment.ByTrace, Stage: stage, Step: step}
	t := at(from)
	for i, x := range tries {
		t = t.Add(time.Duration(x.wait) * time.Millisecond)
		end := t.Add(time.Duration(x.took) * time.Millisecond)
		c.Attempts = append(c.Attempts, experiment.LaneTry{No: no + uint64(i), Start: t, End: end, Outcome: x.outcome, Failed: x.outcome != "200", Hurt: stage == experiment.StageHurt && x.outcome != "200"})
		t = end
	}
	return c
}

func breakerSpans() []experiment.BreakerSpan {
	var all []experiment.BreakerSpan
	add := func(s experiment.BreakerState, from, to time.Duration) {
		all = append(all, experiment.BreakerSpan{State: s, From: at(from), To: at(to)})
	}
	add(experiment.BreakerClosed, 0, 11*time.Second)
	for t := 11 * time.Second; t < 30*time.Second; t += 5 * time.Second {
		add(experiment.BreakerOpen, t, t+4600*time.Millisecond)
		add(experiment.BreakerHalfOpen, t+4600*time.Millisecond, t+5*time.Second)
	}
	add(experiment.BreakerClosed, 31*time.Second, 42*time.Second)
	return all
}

// authBehaviour is a caller with retries, a time limit and a breaker.
func authBehaviour(r *experiment.Run) experiment.EdgeBehaviour {
	return experiment.EdgeBehaviour{
		Edge:     "api-service -> auth-service",
		Grouping: experiment.Grouping{Calls: 1480, By: map[experiment.Keying]uint64{experiment.ByTrace: 1480}, Sure: 1, Why: "All 1,480 calls carry a trace id, so every attempt is with the right call."},
		Windows:  edgeWindows(r, 50, [3]float64{1, 0, 0}, [3]float64{2.4, .71, .8}, [3]float64{1.05, 0.002, 0}),
		Tries:    experiment.Tries{Finding: found(.99, 412, "412 calls failed; 398 of them had 3 attempts.", 1204, 1205, 1206), Most: 3, Counts: []uint64{4, 10, 398}},
		Spacing: experiment.Spacing{Finding: found(.96, 796, "The first wait was 100ms, the second 203ms in the middle, and both are spread.", 1204, 1205), Kind: experiment.SpacingExponential, Jitter: true, Spread: .5,
			Base: 100 * ms, Factor: 2, Waits: []fault.Duration{100 * ms, 203 * ms}},
		Timeout:       experiment.Timeout{Finding: found(.98, 377, "377 attempts were hung up on after 1s, give or take 4ms.", 1300), PerTry: 1000 * ms, Total: 3400 * ms},
		Retried:       []experiment.Retried{{Outcome: "503", Method: "GET", Ended: 410, Retried: 398, Evidence: []uint64{1204}}, {Outcome: "404", Method: "GET", Ended: 5}},
		RetryAfter:    experiment.RetryAfter{Finding: missing("No answer carried Retry-After.")},
		Breaker:       experiment.Breaker{Finding: found(.93, 4, "It stopped calling 4 times although it was asked to.", 1310, 1311), Seen: true, OpensAfter: 5, ShareBefore: .9, OpenFor: 4600 * ms, HalfOpen: found(.9, 4, "One call passed before it opened again.", 1400), Probes: 1, Closed: found(.95, 1, "It called as before from 0.8s after the lift."), ClosedAfter: 812 * ms, Spans: breakerSpans()},
		Amplification: experiment.Amplification{Finding: found(1, 1480, "Attempts per call."), Steady: 1, Hurt: 2.4, EndToEnd: 2.4, SteadyEndToEnd: 1, Layers: []experiment.Layer{{Edge: "api-service -> auth-service", Factor: 2.4}}},
		Inversion:     experiment.Inversion{Finding: found(.9, 40, "Its callers wait longer than it does.")},
		Fallback:      experiment.Fallback{Finding: found(.97, 412, "398 of 412 calls that failed were answered well.", 1204), Seen: true, Answered: 398, Failed: 412, Cost: 1320 * ms},
		HealthCheck:   experiment.HealthCheck{Finding: missing("No path was asked at even intervals.")},
	}
}

func userBehaviour(r *experiment.Run, failed float64) experiment.EdgeBehaviour {
	return experiment.EdgeBehaviour{Edge: "users -> api-service", Windows: edgeWindows(r, 50, [3]float64{1, 0, 0}, [3]float64{1, failed, 0}, [3]float64{1, 0, 0}),
		Grouping: experiment.Grouping{Calls: 2100, By: map[experiment.Keying]uint64{experiment.ByTrace: 2100}, Sure: 1, Why: "Every call carries a trace id."},
		Tries:    experiment.Tries{Finding: found(1, 60, "No failed request was sent again."), Most: 1}, Timeout: experiment.Timeout{Finding: missing("No request took 5s or more.")}}
}

func dbBehaviour(r *experiment.Run) experiment.EdgeBehaviour {
	return experiment.EdgeBehaviour{Edge: "api-service -> db-service", Windows: []experiment.EdgeWindow{{Stage: experiment.StageSteady, Exchanges: 14, Rate: 1.4}, {Stage: experiment.StageHurt, Step: "auth is slow", Exchanges: 0}}}
}

func authLane() experiment.Lane {
	const step = "auth is slow"
	return experiment.Lane{Edge: "api-service -> auth-service", Of: 1480, Calls: []experiment.LaneCall{
		laneCall2(experiment.StageSteady, "", 2*time.Second, 101, attempt{0, 14, "200"}),
		laneCall2(experiment.StageHurt, step, 10400*time.Millisecond, 1204, attempt{0, 12, "503"}, attempt{100, 11, "503"}, attempt{203, 14, "200"}),
		laneCall2(experiment.StageHurt, step, 12*time.Second, 1300, attempt{0, 1001, "timeout"}, attempt{88, 1003, "timeout"}, attempt{231, 1000, "timeout"}),
		laneCall2(experiment.StageHurt, step, 15*time.Second, 1310, attempt{0, 520, "200"}),
		laneCall2(experiment.StageHurt, step, 15600*time.Millisecond, 1400, attempt{0, 1002, "timeout"}, attempt{112, 300, "reset"}),
		laneCall2(experiment.StageRecovery, "", 30900*time.Millisecond, 1801, attempt{0, 13, "503"}, attempt{96, 15, "200"}),
	}}
}

func after(d fault.Duration) *fault.Duration { return &d }

// judgedBroken is a run in which callers do some things right and some wrong.
func judgedBroken() *experiment.Run {
	r := failing()
	r.Experiment = "checkout-judged"
	r.Ledger = &experiment.LedgerSummary{Exchanges: 5_321, Requests: 2_100, Judged: 7_421, Bytes: 1_234_567}
	r.Behaviour = []experiment.EdgeBehaviour{userBehaviour(r, .062), authBehaviour(r), dbBehaviour(r)}
	r.Outcomes = []experiment.FlowOutcomes{flowOutcomes(r, "checkout", counts{experiment.OutcomeOK: 500},
		counts{experiment.OutcomeOK: 270, experiment.OutcomeMasked: 512, experiment.OutcomeSlow: 140, experiment.OutcomeError: 66, experiment.OutcomeDegraded: 12}, counts{experiment.OutcomeOK: 590, experiment.OutcomeError: 3, experiment.OutcomeStuck: 2})}
	r.Lanes = []experiment.Lane{authLane()}
	r.Weaknesses = []experiment.Weakness{
		{Kind: experiment.RetriesUnsafe, Edge: "api-service -> auth-service", Sentence: "api-service sent POST /session again 14 times without an idempotency key after the answer was lost.", Confidence: .93, Samples: 14, Evidence: []uint64{1300, 1301, 1302, 77, 78}},
		{Kind: experiment.TimeoutInversion, Edge: "api-service -> auth-service", Sentence: "api-service waits up to 3.4s for auth-service, but the users of api-service leave after 2s.", Confidence: .99, Samples: 40, Evidence: []uint64{1300}},
	}
	r.Expectations = []experiment.ExpectationResult{
		{Expectation: "retries at most 2", Of: "api-service -> auth-service", Rule: "at most 2 retries", Result: experiment.Held, Why: "412 failed calls had at most 3 attempts.", Confidence: .99, Evidence: []uint64{1204, 1205, 1206}},
		{Expectation: "hangs up in time", Of: "api-service -> auth-service", Rule: "an attempt takes at most 500ms", Result: experiment.Broken, Why: "It hung up after 1s.", Confidence: .98, Evidence: []uint64{1300, 1301}},
		{Expectation: "obeys Retry-After", Of: "api-service -> auth-service", Rule: "it waits as long as Retry-After says", Result: experiment.Untested, Why: "No answer carried Retry-After, so it was not put to the test."},
		{Expectation: "users get ok or masked", Of: "checkout", Rule: "users get ok or masked", Result: experiment.Broken, Why: "218 of 1,000 answers were neither.", Confidence: 1, Evidence: []uint64{801, 802}},
	}
	r.Plan.Expect = []string{"api-service -> auth-service: at most 2 retries", "checkout: users get ok or masked"}
	r.Recovery.Shape = experiment.RecoveryLate
	r.Recovery.Parts = []experiment.RecoveryPart{
		{What: "goodput", Of: "checkout", Took: after(700 * ms), Result: experiment.Pass, Why: "As many good answers as before 0.7s after the lift."},
		{What: "breaker", Of: "api-service -> auth-service", Took: after(812 * ms), Result: experiment.Pass, Why: "The breaker closed."},
		{What: "attempts", Of: "api-service -> auth-service", Result: experiment.Unknown, Why: "Too few calls."},
		{What: "gates", Took: after(8700 * ms), Result: experiment.Fail, Why: "5s were allowed."},
	}
	r.Verdict.Reasons = append([]string{"Expectation \"users get ok or masked\" broke: 218 of 1,000 answers were neither."}, r.Verdict.Reasons...)
	return r
}

// judgedWell is a run in which nothing is wrong.
func judgedWell() *experiment.Run {
	r := passing()
	r.Experiment = "checkout-judged-well"
	auth := authBehaviour(r)
	auth.Windows = edgeWindows(r, 50, [3]float64{1, 0, 0}, [3]float64{2.1, .62, .8}, [3]float64{1, 0, 0})
	r.Behaviour = []experiment.EdgeBehaviour{userBehaviour(r, 0), auth, dbBehaviour(r)}
	r.Outcomes = []experiment.FlowOutcomes{
		flowOutcomes(r, "checkout", counts{experiment.OutcomeOK: 500}, counts{experiment.OutcomeOK: 300, experiment.OutcomeMasked: 690}, counts{experiment.OutcomeOK: 740}, counts{experiment.OutcomeOK: 350}),
		flowOutcomes(r, "browse", counts{experiment.OutcomeOK: 200}, counts{experiment.OutcomeOK: 396}, counts{experiment.OutcomeOK: 300}, counts{experiment.OutcomeOK: 140}),
	}
	r.Expectations = judgedBroken().Expectations[:1]
	r.Recovery.Shape = experiment.RecoveryHealed
	r.Recovery.Parts = judgedBroken().Recovery.Parts[:2]
	r.Lanes = []experiment.Lane{authLane()}
	return r
}

// judgedUnknown is a run of which nothing could be told.
func judgedUnknown() *experiment.Run {
	r := inconclusive()
	why := missing("Only 2 calls failed; 5 are needed.")
	for _, e := range r.Edges {
		r.Behaviour = append(r.Behaviour, experiment.EdgeBehaviour{Edge: e.Name, Grouping: experiment.Grouping{Calls: 20, Why: "No call carried an id; 20 were put together by what they asked for, and 80% are expected to be right."}, Windows: edgeWindows(r, 2, [3]float64{1, 0, 0}, [3]float64{1, .1, .1}),
			Tries: experiment.Tries{Finding: why}, Spacing: experiment.Spacing{Finding: why}, Timeout: experiment.Timeout{Finding: why}, Breaker: experiment.Breaker{Finding: why}})
	}
	r.Outcomes = []experiment.FlowOutcomes{{Flow: "checkout"}}
	r.Expectations = []experiment.ExpectationResult{{Expectation: "a breaker", Of: "api-service -> auth-service", Rule: "a breaker opens after 5 failures", Result: experiment.Untested, Why: "Only 2 calls failed."}}
	r.Recovery = &experiment.RecoveryResult{Lift: at(30 * time.Second), Within: 5000 * ms, Result: experiment.Unknown, Parts: []experiment.RecoveryPart{{What: "gates", Result: experiment.Unknown, Why: "No data."}}}
	return r
}

// judgedHuge has figures as large as they can be.
func judgedHuge() *experiment.Run {
	r := judgedBroken()
	const most = math.MaxInt64
	for i := range r.Behaviour {
		b := &r.Behaviour[i]
		for j := range b.Windows {
			w := &b.Windows[j]
			w.Exchanges, w.Calls, w.Failed, w.Hurt, w.Attempts, w.Rate = math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, 1e300, 1e300
		}
		b.Tries.Most, b.Tries.Samples, b.Breaker.OpensAfter, b.Breaker.Probes = most, most, most, -1
		b.Spacing.Base, b.Spacing.Cap, b.Spacing.Factor, b.Spacing.Waits = most, -5, 1e300, []fault.Duration{most, most, -1, 0, most}
		b.Timeout.PerTry, b.Timeout.Total, b.Amplification.Hurt, b.Amplification.EndToEnd = most, most, 1e300, 1e300
		b.Fallback.Answered, b.Fallback.Failed, b.Breaker.ClosedAfter, b.Breaker.ShareBefore = math.MaxUint64, math.MaxUint64, most, 1e300
		b.Tries.Confidence, b.Spacing.Confidence = 1e300, -7
	}
	for i := range r.Outcomes {
		for j := range r.Outcomes[i].Windows {
			r.Outcomes[i].Windows[j].Counts = counts{experiment.OutcomeOK: math.MaxUint64, experiment.OutcomeError: math.MaxUint64, experiment.OutcomeStuck: 1, "new": math.MaxUint64 - 1}
		}
	}
	l := &r.Lanes[0]
	l.Of = 0
	l.Calls[1].Attempts[0].Start, l.Calls[1].Attempts[2].End = time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	l.Calls[2].Attempts[0].End = l.Calls[2].Attempts[0].Start.Add(-time.Hour)
	l.Calls[2].More = -3
	l.Calls[3].Attempts = nil
	l.Calls[4].More = most
	l.Calls[5].Attempts[0].No, l.Calls[5].Attempts[1].No = math.MaxUint64, 0
	b := &r.Behaviour[1].Breaker
	for i := range 500 {
		b.Spans = append(b.Spans, experiment.BreakerSpan{State: experiment.BreakerOpen, From: at(time.Duration(i) * time.Hour), To: at(time.Duration(i-3) * time.Hour)})
	}
	return r
}

// judgedMany has 30 edges in layers, with a circle and edges that skip layers.
func judgedMany() *experiment.Run {
	r := judgedBroken()
	add := func(from, to string, failed, hurt float64) {
		name := from + " -> " + to
		r.Edges = append(r.Edges, experiment.EdgeStatus{Name: name, From: from, To: to, Protocol: experiment.HTTP})
		b := authBehaviour(r)
		b.Edge, b.Windows = name, edgeWindows(r, 20, [3]float64{1, 0, 0}, [3]float64{1 + 2*failed, failed, hurt}, [3]float64{1, 0, 0})
		b.Breaker.Spans = nil
		r.Behaviour = append(r.Behaviour, b)
	}
	for i := range 9 {
		s := fmt.Sprintf("service-%d", i)
		add("api-service", s, float64(i%3)/4, 0)
		add(s, fmt.Sprintf("store-%d", i/3), float64(i%4)/5, float64(i%2))
	}
	add("store-1", "service-4", 0, 0)
	add("api-service", "store-2", .1, 0)
	add("users", "service-8", 0, 0)
	for i := range 5 {
		add(fmt.Sprintf("store-%d", i%3), "a-service-with-quite-a-long-name", float64(i)/9, 0)
		add("a-service-with-quite-a-long-name", fmt.Sprintf("leaf-%d", i), 0, 0)
	}
	return r
}

// judgedChain is five services in a row.
func judgedChain() *experiment.Run {
	r := judgedBroken()
	r.Edges, r.Behaviour = nil, nil
	names := []string{"users", "edge-gateway", "orders", "pricing", "stock", "warehouse-db"}
	for i := range names[1:] {
		name := names[i] + " -> " + names[i+1]
		r.Edges = append(r.Edges, experiment.EdgeStatus{Name: name, From: names[i], To: names[i+1], Protocol: experiment.HTTP})
		b := authBehaviour(r)
		f := float64(i) / 6
		b.Edge, b.Windows = name, edgeWindows(r, 20*float64(1+i*i), [3]float64{1, 0, 0}, [3]float64{1 + 2*f, f, float64(i / 4)}, [3]float64{1, 0, 0})
		r.Behaviour = append(r.Behaviour, b)
	}
	return r
}

func judgedVariants() map[string]*experiment.Run {
	return map[string]*experiment.Run{"judged": judgedBroken(), "judged-well": judgedWell(), "judged-unknown": judgedUnknown(), "judged-huge": judgedHuge(), "judged-many": judgedMany(), "judged-chain": judgedChain()}
}
