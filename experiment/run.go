package experiment

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Result is three-valued; what was not measured is unknown, never a pass.
type Result string

// The results of gates, probes and recovery.
const (
	Pass    Result = "pass"
	Fail    Result = "fail"
	Unknown Result = "unknown"
)

// Outcome is the result of a run.
type Outcome string

// The outcomes of a run.
const (
	Passed       Outcome = "pass"
	Failed       Outcome = "fail"
	Inconclusive Outcome = "inconclusive"
	Aborted      Outcome = "aborted"
)

// Exit codes, shared by all commands; DESIGN 3 says which one goes first.
const (
	ExitOK           = 0
	ExitError        = 1
	ExitInput        = 2
	ExitBroken       = 3
	ExitAborted      = 4
	ExitStuck        = 5
	ExitInconclusive = 6
)

// Verdict is the answer of a run.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Exit is the exit code of `chaosctl run`.
	Exit int `json:"exit"`
	// Reasons are sentences, the most important first. A pass has one, too.
	Reasons []string `json:"reasons"`
}

// Run is the record of one execution of an experiment: all that a report needs.
type Run struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Run
	ID         string    `json:"id"`
	Experiment string    `json:"experiment"`
	Hypothesis string    `json:"hypothesis,omitempty"`
	Topology   string    `json:"topology"`
	Environ    string    `json:"environment,omitempty"`
	Actor      string    `json:"actor,omitempty"`
	Seed       uint64    `json:"seed"`
	Version    Version   `json:"version"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`
	// Stage it is in; done at the end.
	Stage      Stage           `json:"stage"`
	Verdict    *Verdict        `json:"verdict,omitempty"` // nil while it runs
	Plan       Plan            `json:"plan"`
	Windows    []Window        `json:"windows"`
	Gates      []GateResult    `json:"gates"`
	Probes     []ProbeResult   `json:"probes"`
	Injections []Injection     `json:"injections"`
	Recovery   *RecoveryResult `json:"recovery,omitempty"`
	Aborted    string          `json:"aborted,omitempty"` // why it was stopped
	Flows      []FlowResult    `json:"flows"`
	Edges      []EdgeStatus    `json:"edges"`
	// What the judge found in the ledger; nil and empty where a run has none.
	Ledger       *LedgerSummary      `json:"ledger,omitempty"`
	Behaviour    []EdgeBehaviour     `json:"behaviour,omitempty"`
	Outcomes     []FlowOutcomes      `json:"outcomes,omitempty"`
	Expectations []ExpectationResult `json:"expectations,omitempty"`
	Weaknesses   []Weakness          `json:"weaknesses,omitempty"`
	Lanes        []Lane              `json:"lanes,omitempty"`
	Notes        []string            `json:"notes,omitempty"`      // what a reader should know
	Incomplete   []string            `json:"incomplete,omitempty"` // why it could not go through all stages, in sentences
	Stuck        []string            `json:"stuck,omitempty"`      // what could not be rolled back
	Document     string              `json:"document,omitempty"`   // the experiment as given, secrets unexpanded
}

// RunSummary is a run in a list.
type RunSummary struct {
	ID         string    `json:"id"`
	Experiment string    `json:"experiment"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`
	Stage      Stage     `json:"stage"`
	Verdict    *Verdict  `json:"verdict,omitempty"`
}

// Summary is the run's entry in a list.
func (r *Run) Summary() RunSummary {
	return RunSummary{r.ID, r.Experiment, r.Started, r.Ended, r.Stage, r.Verdict}
}

// Version says what made a record.
type Version struct {
	Chaosctl string `json:"chaosctl"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Plan is what a run will do, before it does it.
type Plan struct {
	Experiment  string         `json:"experiment"`
	Topology    string         `json:"topology"`
	Environment string         `json:"environment,omitempty"`
	Seed        uint64         `json:"seed"`
	Steps       []PlanStep     `json:"steps"`
	Longest     fault.Duration `json:"longest" doc:"the whole run, at most"`
	Traffic     []string       `json:"traffic" doc:"the flows, in words"`
	Gates       []string       `json:"gates" doc:"the gates, in words"`
	Probes      []string       `json:"probes"`
	Expect      []string       `json:"expect,omitempty" doc:"the expectations, in words"`
	Abort       []string       `json:"abort"`
	Recovery    string         `json:"recovery"`
	Warnings    []string       `json:"warnings,omitempty"`
}

// PlanStep is one step of a plan.
type PlanStep struct {
	Name    string         `json:"name"`
	For     fault.Duration `json:"for"`
	Changes []PlanChange   `json:"changes"`
	// Reach says for each edge who can still talk to whom.
	Reach []Reach `json:"reach"`
}

// PlanChange is one effect to be.
type PlanChange struct {
	Fault   string `json:"fault"`
	Kind    string `json:"kind"`
	Where   string `json:"where"`
	Touches string `json:"touches"`
	Undo    string `json:"undo"`
}

// Reach is an edge during a step.
type Reach struct {
	Edge  string `json:"edge"`
	State string `json:"state" doc:"open, hurt or cut"`
	Why   string `json:"why,omitempty"`
}

// Window is a stretch of a run; gates are judged over one.
type Window struct {
	Stage Stage     `json:"stage"`
	Step  string    `json:"step,omitempty"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

// Title is the stage, with the step if there is one.
func (w Window) Title() string {
	if w.Step != "" {
		return string(w.Stage) + " (" + w.Step + ")"
	}
	return string(w.Stage)
}

// GateResult is one figure of a gate in one window.
type GateResult struct {
	Gate    string `json:"gate"`
	Of      string `json:"of"`
	Stage   Stage  `json:"stage"`
	Step    string `json:"step,omitempty"`
	Figure  string `json:"figure"`          // success, p99, ...
	Rule    string `json:"rule"`            // ">= 99.5%"
	Value   string `json:"value,omitempty"` // "97.2%", "412ms"; empty if unknown
	Samples uint64 `json:"samples"`
	Result  Result `json:"result"`
	Why     string `json:"why"` // one sentence
}

// ProbeResult is what a probe measured over a run.
type ProbeResult struct {
	Probe  string        `json:"probe"`
	What   string        `json:"what"` // http GET http://..., in words
	Mode   ProbeMode     `json:"mode"`
	Taken  int           `json:"taken"`
	Failed int           `json:"failed"`
	Result Result        `json:"result"`
	Why    string        `json:"why"`
	Points []ProbeSample `json:"points,omitempty"` // at most 1000, evenly thinned
}

// ProbeSample is one measurement.
type ProbeSample struct {
	Time   time.Time      `json:"time"`
	Stage  Stage          `json:"stage"`
	OK     bool           `json:"ok"`
	Took   fault.Duration `json:"took"`
	Detail string         `json:"detail,omitempty"`
}

// RecoveryResult is what happened after the lift.
type RecoveryResult struct {
	Lift   time.Time      `json:"lift"`
	Within fault.Duration `json:"within"`
	Hold   fault.Duration `json:"hold"`
	// Took is the time to recover; nil if it never did.
	Took   *fault.Duration `json:"took,omitempty"`
	Result Result          `json:"result"`
	Why    string          `json:"why"`
	// Shape names how the system came back, Parts what had to come back.
	Shape RecoveryShape  `json:"shape,omitempty"`
	Parts []RecoveryPart `json:"parts,omitempty"`
}

// FlowResult is a flow over a whole run.
type FlowResult struct {
	Name     string        `json:"name"`
	Request  string        `json:"request"` // "GET api-service /checkout"
	Rate     string        `json:"rate"`
	Windows  []FlowWindow  `json:"windows"`
	Series   []SeriesPoint `json:"series"`   // a point a second
	Overruns uint64        `json:"overruns"` // could not be sent in time
}

// FlowWindow sums a flow over one window.
type FlowWindow struct {
	Stage     Stage             `json:"stage"`
	Step      string            `json:"step,omitempty"`
	Requests  uint64            `json:"requests"`
	Successes uint64            `json:"successes"`
	Overruns  uint64            `json:"overruns"`
	Statuses  map[string]uint64 `json:"statuses"` // "200", "503", "timeout", "refused", ...
	P50       fault.Duration    `json:"p50"`      // from the intended start
	P90       fault.Duration    `json:"p90"`
	P95       fault.Duration    `json:"p95"`
	P99       fault.Duration    `json:"p99"`
	P999      fault.Duration    `json:"p999"`
	Max       fault.Duration    `json:"max"`
	// ServiceP99 counts from the actual send; far below P99, the generator lagged
	// or requests queued behind a stall.
	ServiceP99 fault.Duration `json:"serviceP99"`
}

// SeriesPoint is one second of a flow, by intended start.
type SeriesPoint struct {
	Time     time.Time `json:"time"`
	Requests uint32    `json:"requests"`
	Failures uint32    `json:"failures"`
	P50      float64   `json:"p50Ms"`
	P99      float64   `json:"p99Ms"`
}
