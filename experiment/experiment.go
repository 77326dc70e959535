package experiment

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Experiment is traffic, steps that hurt, and rules on what must hold.
type Experiment struct {
	APIVersion string `json:"apiVersion" doc:"chaosctl.dev/v1alpha1"`
	Kind       string `json:"kind" doc:"Experiment"`
	Metadata   Meta   `json:"metadata" doc:"the name, and what Kubernetes keeps about it"`
	Spec       Spec   `json:"spec" doc:"the experiment itself"`
}

// Spec is the content of an Experiment.
type Spec struct {
	// TopologyRef is a file beside the experiment, or the name of the server's topology.
	TopologyRef string `json:"topologyRef,omitempty" doc:"a topology's file, relative to this one, or its name on a server"`
	// Topology inline instead.
	Topology   *TopologySpec `json:"topology,omitempty" doc:"the topology itself, instead of topologyRef"`
	Hypothesis string        `json:"hypothesis,omitempty" doc:"what should stay true, in one sentence"`
	// Seed of every random draw; chosen and recorded when absent.
	Seed    *uint64 `json:"seed,omitempty" doc:"makes every random draw repeatable; chosen and recorded when absent"`
	Traffic []Flow  `json:"traffic,omitempty" doc:"synthetic users"`
	Gates   []Gate  `json:"gates,omitempty" doc:"rules on what users get; judged in every stage"`
	Probes  []Probe `json:"probes,omitempty" doc:"measurements beside the traffic"`
	Steady  Steady  `json:"steady,omitzero" doc:"the stage before anything is hurt"`
	Steps   []Step  `json:"steps" doc:"what is hurt, in sequence"`
	// Expect are rules on what callers do while they are hurt.
	Expect   []Expectation `json:"expect,omitempty" doc:"what callers must do while they are hurt, and what users must be given"`
	Abort    []Abort       `json:"abort,omitempty" doc:"when to stop at once"`
	Recovery Recovery      `json:"recovery,omitzero" doc:"the stage after the lift"`
}

// Steady is the stage in which gates must hold before anything is hurt.
type Steady struct {
	// For is its length; 10s by default.
	For fault.Duration `json:"for,omitempty" doc:"its length; 10s by default" strict:"positive"`
}

// Flow is one kind of synthetic user: an open-loop schedule of requests.
type Flow struct {
	Name    string   `json:"name" doc:"what gates call it"`
	Service string   `json:"service" doc:"the service that is called, through the edge users -> service"`
	HTTP    *Request `json:"http" doc:"the request"`
	// Rate of intended starts.
	Rate PerTime `json:"rate" doc:"requests per time, for example 50/s or 600/m"`
	// Timeout of one request; 10s by default.
	Timeout fault.Duration `json:"timeout,omitempty" doc:"of one request; 10s by default" strict:"positive"`
	// Status that counts as success, instead of all below 400.
	Status []int `json:"status,omitempty" doc:"the statuses that count as success; all below 400 by default"`
	// MaxInFlight bounds concurrent requests; one that cannot be sent in time
	// counts as a failure. 1000 by default.
	MaxInFlight int `json:"maxInFlight,omitempty" doc:"concurrent requests at most; 1000 by default. A request that cannot be sent in time counts as failed" strict:"positive"`
	// Degraded is how its answers say that they are less than usual.
	Degraded *Degraded `json:"degraded,omitempty" doc:"how its answers say that they are less than usual, beside the ways that are known anyway"`
}

// Request is an HTTP request. Headers and Body may hold ${env:NAME}, which is
// filled in at run time and never stored.
type Request struct {
	Method  string            `json:"method,omitempty" doc:"GET by default"`
	Path    string            `json:"path" doc:"path and query"`
	Headers map[string]string `json:"headers,omitempty" doc:"header fields; values may hold ${env:NAME}" env:"expanded"`
	Body    string            `json:"body,omitempty" doc:"the body; may hold ${env:NAME}" env:"expanded"`
}

// Stage is a part of a run.
type Stage string

// The stages in their order.
const (
	StageCheck    Stage = "check"
	StageSteady   Stage = "steady"
	StageInject   Stage = "inject"
	StageHurt     Stage = "hurt"
	StageLift     Stage = "lift"
	StageRecovery Stage = "recovery"
	StageJudge    Stage = "judge"
	StageDone     Stage = "done"
)

// Gate is a rule over the requests of a flow. Exactly one rule per figure; all
// given figures must hold. Each is judged once per stage (in hurt: per step).
type Gate struct {
	Name string `json:"name" doc:"what reports call it"`
	Of   string `json:"of" doc:"the flow"`
	// Success is a rule on the share of successes, ">= 99.5%".
	Success *ShareRule `json:"success,omitempty" doc:"rule on the share of successes, for example >= 99.5%"`
	// P50 to P999 are rules on latency from the intended start.
	P50  *TimeRule `json:"p50,omitempty" doc:"rule on the median latency, for example <= 100ms"`
	P90  *TimeRule `json:"p90,omitempty" doc:"the same on the 90th percentile"`
	P95  *TimeRule `json:"p95,omitempty" doc:"the same on the 95th percentile"`
	P99  *TimeRule `json:"p99,omitempty" doc:"the same on the 99th percentile, for example <= 300ms"`
	P999 *TimeRule `json:"p999,omitempty" doc:"the same on the 99.9th percentile"`
	// During limits it to some stages; steady, hurt and recovery by default.
	During []Stage `json:"during,omitempty" doc:"the stages it is judged in; all three by default" enum:"steady,hurt,recovery"`
}

// Probe is a measurement. Exactly one of HTTP, TCP, GRPC, Command, Prometheus.
type Probe struct {
	Name       string           `json:"name" doc:"what reports call it"`
	HTTP       *HTTPProbe       `json:"http,omitempty" doc:"asks a URL"`
	TCP        *TCPProbe        `json:"tcp,omitempty" doc:"connects to an address"`
	GRPC       *GRPCProbe       `json:"grpc,omitempty" doc:"the standard gRPC health service"`
	Command    *CommandProbe    `json:"command,omitempty" doc:"runs a program; exit code 0 passes"`
	Prometheus *PrometheusProbe `json:"prometheus,omitempty" doc:"asks a PromQL query for a number"`
	// Mode says when it is taken; continuous by default.
	Mode ProbeMode `json:"mode,omitempty" doc:"when it is taken; continuous by default" enum:"start,end,edge,continuous,during-fault"`
	// Every is the interval of the repeated modes; 1s by default.
	Every fault.Duration `json:"every,omitempty" doc:"interval of continuous and during-fault; 1s by default" strict:"positive"`
	// Timeout of one measurement; 2s by default.
	Timeout fault.Duration `json:"timeout,omitempty" doc:"of one measurement; 2s by default" strict:"positive"`
	// Tolerate is the share of measurements that may fail; none by default.
	Tolerate fault.Share `json:"tolerate,omitempty" doc:"the share of measurements that may fail; none by default"`
}

// ProbeMode says when a probe is taken.
type ProbeMode string

// The modes: once before anything is hurt, once after recovery, both, all the
// time, only while faults are in force.
const (
	AtStart     ProbeMode = "start"
	AtEnd       ProbeMode = "end"
	AtEdges     ProbeMode = "edge"
	Continuous  ProbeMode = "continuous"
	DuringFault ProbeMode = "during-fault"
)

// HTTPProbe asks a URL.
type HTTPProbe struct {
	URL     string            `json:"url" doc:"what is asked, http or https"`
	Method  string            `json:"method,omitempty" doc:"GET by default"`
	Headers map[string]string `json:"headers,omitempty" doc:"header fields; values may hold ${env:NAME}" env:"expanded"`
	Body    string            `json:"body,omitempty" doc:"the body; may hold ${env:NAME}" env:"expanded"`
	// Status expected; any below 400 if 0.
	Status int `json:"status,omitempty" doc:"the status expected; any below 400 by default" strict:"positive"`
	// Contains must stand in the first 64 KiB of the body.
	Contains string `json:"contains,omitempty" doc:"text that must stand in the body"`
}

// TCPProbe connects to an address.
type TCPProbe struct {
	Address string `json:"address" doc:"host:port"`
}

// GRPCProbe asks the standard health service.
type GRPCProbe struct {
	Address string `json:"address" doc:"host:port"`
	Service string `json:"service,omitempty" doc:"the service asked for; the whole server by default"`
}

// CommandProbe runs a program; exit code 0 passes. No shell is involved.
type CommandProbe struct {
	Argv []string `json:"argv" doc:"program and arguments; no shell is involved"`
}

// PrometheusProbe asks a PromQL query for one number.
type PrometheusProbe struct {
	URL   string `json:"url" doc:"the server, for example http://127.0.0.1:9090"`
	Query string `json:"query" doc:"a PromQL query that yields one number"`
	// Value is a rule on the number, "< 0.01".
	Value NumberRule `json:"value" doc:"rule on the number, for example < 0.01"`
}

// Step is a time in which some faults are in force.
type Step struct {
	Name string `json:"name,omitempty" doc:"what reports call it; its number by default"`
	// For is how long it lasts.
	For    fault.Duration `json:"for" doc:"how long it lasts"`
	Faults []fault.Fault  `json:"faults" doc:"what is in force meanwhile"`
}

// Abort is a rule that ends a run when it holds over its whole window.
type Abort struct {
	Of      string     `json:"of" doc:"the flow"`
	Success *ShareRule `json:"success,omitempty" doc:"for example < 50%"`
	P99     *TimeRule  `json:"p99,omitempty" doc:"for example > 5s"`
	// For is the sliding window; 5s by default.
	For fault.Duration `json:"for,omitempty" doc:"the sliding window; 5s by default" strict:"positive"`
}

// Recovery is the stage after the lift.
type Recovery struct {
	// Within is the deadline by which gates hold again; 30s by default.
	Within fault.Duration `json:"within,omitempty" doc:"the deadline by which all gates hold again; 30s by default" strict:"positive"`
	// Hold is how long they must then hold; 5s by default.
	Hold fault.Duration `json:"hold,omitempty" doc:"how long they must then hold; 5s by default" strict:"positive"`
}

// Defaults of DESIGN 3.
const (
	DefaultSteady      = 10 * time.Second
	DefaultTimeout     = 10 * time.Second
	DefaultWithin      = 30 * time.Second
	DefaultHold        = 5 * time.Second
	DefaultAbortWindow = 5 * time.Second
	DefaultInFlight    = 1000
	DefaultProbeEvery  = time.Second
	DefaultProbeTime   = 2 * time.Second
)
