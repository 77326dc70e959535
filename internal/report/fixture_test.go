package report

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// start is when all fixtures began.
var start = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// passing is a run in which a shop survives two steps.
func passing() *experiment.Run {
	r := base("shop-survives-slow-auth", "Checkout answers from its cache within 300 ms while auth-service is slow, and nobody sees an error.")
	r.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(10 * time.Second)},
		{Stage: experiment.StageHurt, Step: "auth is slow", Start: at(10200 * time.Millisecond), End: at(30 * time.Second)},
		{Stage: experiment.StageHurt, Step: "db is cut off", Start: at(30200 * time.Millisecond), End: at(45 * time.Second)},
		{Stage: experiment.StageRecovery, Start: at(45200 * time.Millisecond), End: at(52 * time.Second)},
	}
	r.Ended = at(52300 * time.Millisecond)
	r.Flows = []experiment.FlowResult{
		flow(1, "checkout", "GET api-service /checkout", 50, r.Windows, []shape{{0, 9, 28}, {0, 62, 211}, {0.004, 71, 248}, {0, 10, 31}}, nil),
		flow(2, "browse", "GET api-service /catalog?page=1", 20, r.Windows, []shape{{0, 4, 12}, {0, 4, 13}, {0, 5, 14}, {0, 4, 12}}, nil),
	}
	r.Gates = gates(r, map[string]string{"checkout success": ">= 99%", "checkout p99": "<= 300ms", "browse success": ">= 99.5%"})
	took := fault.Duration(1240 * time.Millisecond)
	r.Recovery = &experiment.RecoveryResult{Lift: at(45100 * time.Millisecond), Within: fault.Duration(10 * time.Second), Hold: fault.Duration(5 * time.Second),
		Took: &took, Result: experiment.Pass, Why: "All gates held again 1.24s after the lift, within the 10s allowed, and went on for 5s."}
	r.Probes = []experiment.ProbeResult{probe("alive", "http GET http://127.0.0.1:8080/healthz", experiment.Continuous, 52, nil), probe("db answers", "tcp 127.0.0.1:5432", experiment.AtEdges, 2, nil)}
	r.Injections = []experiment.Injection{
		injection("f-2k8d", 10100*time.Millisecond, latency500(), "delays answers by 500ms, give or take 50ms", fault.Receipt{Unit: fault.Exchange, Matched: 968, Injected: 968}),
		injection("f-9m1q", 30100*time.Millisecond, partition(), "holds all bytes in both directions", fault.Receipt{Unit: fault.Connection, Matched: 14, Injected: 14}),
	}
	r.Verdict = &experiment.Verdict{Outcome: experiment.Passed, Exit: experiment.ExitOK, Reasons: []string{
		"All 12 gates held in every stage, and the shop was back 1.24s after the lift.",
		"Both faults hit what they were meant to hit: 968 exchanges and 14 connections."}}
	return r
}

// failing is a run that breaks gates, recovers late and fails a probe.
func failing() *experiment.Run {
	r := base("checkout-without-timeout", "Checkout answers within 300 ms while auth-service is slow.")
	r.Plan.Steps, r.Notes = r.Plan.Steps[:1], nil
	r.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(10 * time.Second)},
		{Stage: experiment.StageHurt, Step: "auth is slow", Start: at(10200 * time.Millisecond), End: at(30 * time.Second)},
		{Stage: experiment.StageRecovery, Start: at(30200 * time.Millisecond), End: at(42 * time.Second)},
	}
	r.Ended = at(42300 * time.Millisecond)
	r.Flows = []experiment.FlowResult{flow(3, "checkout", "GET api-service /checkout", 50, r.Windows, []shape{{0, 9, 28}, {0.062, 540, 1830}, {0.01, 14, 95}}, map[string]float64{"503": .7, "timeout": .3})}
	r.Flows[0].Overruns = 11
	r.Gates = gates(r, map[string]string{"checkout success": ">= 99.5%", "checkout p99": "<= 300ms"})
	r.Gates = append(r.Gates, experiment.GateResult{Gate: "tail", Of: "checkout", Stage: experiment.StageSteady, Figure: "p999", Rule: "<= 1s", Samples: 500,
		Result: experiment.Unknown, Why: "p99.9 of checkout in steady is not known: it needs 1000 requests, there were 500."})
	took := fault.Duration(8700 * time.Millisecond)
	r.Recovery = &experiment.RecoveryResult{Lift: at(30100 * time.Millisecond), Within: fault.Duration(5 * time.Second), Hold: fault.Duration(5 * time.Second),
		Took: &took, Result: experiment.Fail, Why: "The gates held again 8.7s after the lift; 5s were allowed."}
	r.Probes = []experiment.ProbeResult{probe("alive", "http GET http://127.0.0.1:8080/healthz", experiment.Continuous, 42, map[int]string{17: "503 Service Unavailable", 18: "503 Service Unavailable", 19: "no answer in 2s", 25: "503 Service Unavailable"})}
	r.Injections = []experiment.Injection{injection("f-2k8d", 10100*time.Millisecond, latency500(), "delays answers by 500ms, give or take 50ms", fault.Receipt{Unit: fault.Exchange, Matched: 1204, Injected: 962, Skipped: 242})}
	r.Verdict = &experiment.Verdict{Outcome: experiment.Failed, Exit: experiment.ExitBroken, Reasons: []string{
		"Gate speed broke in hurt (auth is slow): p99 of checkout was 1.83s, the rule is <= 300ms.",
		"Gate availability broke in hurt (auth is slow): 95.1% of checkout succeeded, the rule is >= 99.5%.",
		"Recovery took 8.7s; 5s were allowed.", "Probe alive failed 4 of 42 times."}}
	return r
}

// aborted is a run that was stopped in its second step, could not roll
// everything back, and has gaps.
func aborted() *experiment.Run {
	r := failing()
	r.Experiment, r.Hypothesis = "auth-process-freezes", ""
	r.Windows = r.Windows[:2]
	r.Windows[1].End = at(16 * time.Second)
	r.Windows = append(r.Windows, experiment.Window{Stage: experiment.StageLift, Start: at(16 * time.Second), End: at(17500 * time.Millisecond)})
	r.Ended = at(17600 * time.Millisecond)
	f := &r.Flows[0]
	f.Series, f.Windows, f.Overruns = append(f.Series[:5:5], f.Series[8:16]...), f.Windows[:2], 0
	for i := range f.Series[10:] {
		p := &f.Series[10+i]
		p.Failures, p.P50, p.P99 = p.Requests, 0, 0
	}
	r.Gates, r.Recovery, r.Probes[0].Points = r.Gates[:1], nil, r.Probes[0].Points[:17]
	r.Probes[0].Taken, r.Probes[0].Failed, r.Probes[0].Result, r.Probes[0].Why = 17, 0, experiment.Unknown, "The run ended before the probe was through."
	r.Injections = []experiment.Injection{injection("f-5p0z", 10100*time.Millisecond, fault.Fault{Name: "freeze", Kind: "proc.pause", Target: fault.Target{Service: "auth-service"}, Params: pauseParams()},
		"stops auth-service (pid 812)", fault.Receipt{Unit: fault.OneProcess, Matched: 1, Injected: 1})}
	r.Injections[0].State, r.Injections[0].Problem = experiment.Stuck, "resume pid 812: operation not permitted"
	r.Aborted = "Success of checkout stayed below 50% for 5s (it was 0%)."
	r.Stuck = []string{"proc.pause on auth-service (pid 812): resume: operation not permitted"}
	r.Notes = []string{"The server was asked to stop while the run was in stage hurt."}
	r.Incomplete = []string{"The stage recovery was not reached."}
	r.Verdict = &experiment.Verdict{Outcome: experiment.Aborted, Exit: experiment.ExitStuck, Reasons: []string{
		"A fault could not be rolled back: auth-service (pid 812) is still stopped.", "The run was aborted in hurt (auth is slow): success of checkout stayed below 50% for 5s."}}
	return r
}

// inconclusive is a run whose fault hit nothing.
func inconclusive() *experiment.Run {
	r := passing()
	r.Experiment, r.Hypothesis = "nobody-calls-auth", "Browsing does not need auth-service."
	r.Injections[0].Armed[0].Receipt = fault.Receipt{Unit: fault.Exchange}
	r.Verdict = &experiment.Verdict{Outcome: experiment.Inconclusive, Exit: experiment.ExitInconclusive, Reasons: []string{
		"Fault net.latency on api-service -> auth-service hit nothing: no request passed that edge in 19.8s, so the run proves nothing."}}
	return r
}

func variants() map[string]*experiment.Run {
	all := map[string]*experiment.Run{"pass": passing(), "fail": failing(), "aborted": aborted(), "inconclusive": inconclusive()}
	maps.Copy(all, judgedVariants())
	return all
}

func base(name, hypothesis string) *experiment.Run {
	return &experiment.Run{
		APIVersion: experiment.APIVersion, Kind: "Run", ID: "r-20261121-093000-7f3a", Experiment: name, Hypothesis: hypothesis,
		Topology: "shop", Environ: "development", Actor: "mira@laptop", Seed: 7, Stage: experiment.StageDone, Started: start,
		Version: experiment.Version{Chaosctl: "0.1.0", Commit: "f834aed", Go: "go1.26.8", OS: "linux", Arch: "amd64"},
		Plan:    plan(name),
		Edges: []experiment.EdgeStatus{
			{Name: "users -> api-service", From: "users", To: "api-service", Protocol: experiment.HTTP, Upstream: "127.0.0.1:8080", Accepted: 50, Exchanges: 3640, BytesIn: 812_345, BytesOut: 4_200_111},
			{Name: "api-service -> auth-service", From: "api-service", To: "auth-service", Protocol: experiment.HTTP, Listen: "127.0.0.1:19001", Upstream: "127.0.0.1:9001", Accepted: 22, Exchanges: 2600, BytesIn: 402_345, BytesOut: 900_111},
			{Name: "api-service -> db-service", From: "api-service", To: "db-service", Protocol: experiment.TCP, Listen: "127.0.0.1:15432", Upstream: "127.0.0.1:5432", Accepted: 14, BytesIn: 92_345, BytesOut: 1_200_111},
		},
		Notes:    []string{"On a relay, a partition holds the bytes and lets them go on at the heal, so connect timeouts were not exercised."},
		Document: "apiVersion: chaosctl.dev/v1alpha1\nkind: Experiment\nmetadata: {name: " + name + "}\nspec:\n  topologyRef: topology.yaml\n  seed: 7\n  traffic:\n    - {name: checkout, service: api-service, http: {path: /checkout}, rate: 50/s}\n",
	}
}

func plan(name string) experiment.Plan {
	return experiment.Plan{
		Experiment: name, Topology: "shop", Environment: "development", Seed: 7, Longest: fault.Duration(time.Minute + 5*time.Second),
		Traffic: []string{"checkout: GET api-service /checkout, 50/s"},
		Gates:   []string{"availability of checkout: success >= 99.5% in steady, hurt and recovery", "speed of checkout: p99 <= 300ms in steady, hurt and recovery"},
		Probes:  []string{"alive: http GET http://127.0.0.1:8080/healthz, all the time, every 1s"}, Abort: []string{"success of checkout < 50% for 5s"},
		Recovery: "all gates hold again within 10s of the lift, for 5s",
		Warnings: []string{"auth-service has no health path, so preflight does not check it."},
		Steps: []experiment.PlanStep{
			{Name: "auth is slow", For: fault.Duration(20 * time.Second),
				Changes: []experiment.PlanChange{{Fault: "net.latency", Kind: "net.latency", Where: "api-service -> auth-service", Touches: "answers on api-service -> auth-service, later by 500ms", Undo: "the relay drops the effect"}},
				Reach:   []experiment.Reach{{Edge: "users -> api-service", State: "open"}, {Edge: "api-service -> auth-service", State: "hurt", Why: "net.latency"}, {Edge: "api-service -> db-service", State: "open"}}},
			{Name: "db is cut off", For: fault.Duration(15 * time.Second),
				Changes: []experiment.PlanChange{{Fault: "cut", Kind: "net.partition", Where: "api-service -> db-service", Touches: "all bytes on api-service -> db-service are held", Undo: "the relay lets them go on"}},
				Reach:   []experiment.Reach{{Edge: "users -> api-service", State: "open"}, {Edge: "api-service -> auth-service", State: "open"}, {Edge: "api-service -> db-service", State: "cut", Why: "net.partition"}}},
		},
	}
}

// shape is how a flow behaves in a window: share of errors, p50 and p99 in ms.
type shape struct{ errors, p50, p99 float64 }

func flow(seed uint64, name, request string, rate int, windows []experiment.Window, shapes []shape, failures map[string]float64) experiment.FlowResult {
	rnd := rand.New(rand.NewPCG(seed, 1))
	f := experiment.FlowResult{Name: name, Request: request, Rate: fmt.Sprintf("%d/s", rate)}
	if failures == nil {
		failures = map[string]float64{"503": 1}
	}
	last := windows[len(windows)-1].End
	sums := make([]experiment.FlowWindow, len(windows))
	for t := start; t.Before(last); t = t.Add(time.Second) {
		i := 0
		for i < len(windows)-1 && !t.Before(windows[i].End) {
			i++
		}
		s := shapes[i]
		p := experiment.SeriesPoint{Time: t, Requests: uint32(rate), P50: math.Round(s.p50*(.85+.3*rnd.Float64())*100) / 100, P99: math.Round(s.p99*(.7+.4*rnd.Float64())*100) / 100}
		for range rate {
			if rnd.Float64() < s.errors {
				p.Failures++
			}
		}
		f.Series = append(f.Series, p)
		sums[i].Requests += uint64(p.Requests)
		sums[i].Successes += uint64(p.Requests - p.Failures)
	}
	for i, w := range windows {
		s := shapes[i]
		d := func(v float64) fault.Duration { return fault.Duration(v * float64(time.Millisecond)) }
		sums[i].Stage, sums[i].Step = w.Stage, w.Step
		sums[i].P50, sums[i].P90, sums[i].P95, sums[i].P99, sums[i].P999 = d(s.p50), d(s.p50*1.6), d(s.p99*.7), d(s.p99), d(s.p99*1.3)
		sums[i].Max, sums[i].ServiceP99 = d(s.p99*1.5), d(s.p99*.98)
		bad := sums[i].Requests - sums[i].Successes
		sums[i].Statuses = map[string]uint64{"200": sums[i].Successes}
		for k, part := range failures {
			if n := uint64(math.Round(float64(bad) * part)); n > 0 {
				sums[i].Statuses[k] = n
			}
		}
	}
	f.Windows = sums
	return f
}

// gates judges rules ("flow figure" -> rule) over all windows of a run.
func gates(r *experiment.Run, rules map[string]string) []experiment.GateResult {
	var all []experiment.GateResult
	for _, f := range r.Flows {
		for _, figure := range []string{"success", "p99"} {
			rule, ok := rules[f.Name+" "+figure]
			if !ok {
				continue
			}
			for _, w := range f.Windows {
				g := experiment.GateResult{Gate: map[string]string{"success": "availability", "p99": "speed"}[figure], Of: f.Name, Stage: w.Stage, Step: w.Step, Figure: figure, Rule: rule, Samples: w.Requests, Result: experiment.Fail}
				held := false
				if figure == "success" {
					var s experiment.ShareRule
					_ = s.UnmarshalText([]byte(rule))
					g.Value, held = percent(w.Successes, w.Requests), s.Holds(float64(w.Successes)/float64(w.Requests))
				} else {
					var s experiment.TimeRule
					_ = s.UnmarshalText([]byte(rule))
					g.Value, held = dur(w.P99.Std()), s.Holds(w.P99.Std())
				}
				verb := "broke"
				if held {
					g.Result, verb = experiment.Pass, "held"
				}
				g.Why = fmt.Sprintf("Gate %s %s in %s: %s of %s was %s, the rule is %s.", g.Gate, verb, window(w.Stage, w.Step), figure, f.Name, g.Value, rule)
				all = append(all, g)
			}
		}
	}
	return all
}

func probe(name, what string, mode experiment.ProbeMode, n int, failures map[int]string) experiment.ProbeResult {
	p := experiment.ProbeResult{Probe: name, What: what, Mode: mode, Taken: n, Failed: len(failures), Result: experiment.Pass, Why: fmt.Sprintf("All %d measurements passed.", n)}
	if len(failures) > 0 {
		p.Result, p.Why = experiment.Fail, fmt.Sprintf("%d of %d measurements failed; none may.", len(failures), n)
	}
	for i := range n {
		d := time.Duration(i) * time.Second
		if mode == experiment.AtEdges {
			d = time.Duration(i) * 51 * time.Second
		}
		detail, bad := failures[i]
		p.Points = append(p.Points, experiment.ProbeSample{Time: at(d), Stage: experiment.StageHurt, OK: !bad, Took: fault.Duration(3 * time.Millisecond), Detail: detail})
	}
	return p
}

func injection(id string, since time.Duration, f fault.Fault, touches string, receipt fault.Receipt) experiment.Injection {
	where := "api-service -> auth-service"
	switch f.Kind {
	case "net.partition":
		where = "api-service -> db-service"
	case "proc.pause":
		where = "auth-service (pid 812)"
	}
	return experiment.Injection{ID: id, Owner: "run/r-20261121-093000-7f3a", Actor: "mira@laptop", Since: at(since), Until: at(since + 50*time.Second), Seed: 7, State: experiment.Lifted,
		Armed: []experiment.Armed{{Fault: f, Where: where, Touches: touches, Undo: "the relay drops the effect", Receipt: receipt}}}
}

func latency500() fault.Fault {
	return fault.Fault{Name: "net.latency", Kind: "net.latency", Target: fault.Target{Service: "auth-service"}, Share: 0.8,
		Params: &fault.Latency{Delay: fault.Duration(500 * time.Millisecond), Jitter: fault.Duration(50 * time.Millisecond), Distribution: fault.Uniform, Direction: fault.Response}}
}

func partition() fault.Fault {
	return fault.Fault{Name: "cut", Kind: "net.partition", Target: fault.Target{From: []string{"api-service"}, To: []string{"db-service"}},
		Params: &fault.Partition{Direction: fault.CutBoth, Mode: fault.CutDrop}}
}

func pauseParams() fault.Params {
	k, err := fault.Lookup("proc.pause")
	if err != nil {
		return nil
	}
	return k.New()
}

// hours is a run of three hours with a peak of one second in it.
func hours(t testing.TB) *experiment.Run {
	t.Helper()
	r := failing()
	r.Windows = []experiment.Window{
		{Stage: experiment.StageSteady, Start: at(0), End: at(time.Hour)},
		{Stage: experiment.StageHurt, Step: "auth is slow", Start: at(time.Hour), End: at(2 * time.Hour)},
		{Stage: experiment.StageRecovery, Start: at(2 * time.Hour), End: at(3 * time.Hour)},
	}
	r.Flows[0] = flow(4, "checkout", "GET api-service /checkout", 5, r.Windows, []shape{{0, 9, 28}, {0.01, 30, 90}, {0, 9, 28}}, nil)
	r.Flows[0].Series[5000].P99 = 4321
	r.Flows[0].Series[5001].Failures = 5
	r.Flows[0].Series[1500].Requests = 1
	r.Gates = gates(r, map[string]string{"checkout success": ">= 99.5%", "checkout p99": "<= 300ms"})
	r.Recovery.Lift, r.Ended = at(2*time.Hour), at(3*time.Hour)
	return r
}
