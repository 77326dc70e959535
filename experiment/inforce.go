package experiment

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Injection is what one command or one step has put in force: one or more
// faults under one id, one owner and one lease.
type Injection struct {
	ID    string    `json:"id"`
	Owner string    `json:"owner" doc:"who may lift it: cli, api, run/<id>"`
	Actor string    `json:"actor,omitempty" doc:"who asked for it"`
	Since time.Time `json:"since"`
	// Until is the end of the lease.
	Until time.Time      `json:"until,omitzero"`
	Seed  uint64         `json:"seed"`
	State InjectionState `json:"state"`
	Armed []Armed        `json:"faults"`
	// Problem says why State is stuck.
	Problem string `json:"problem,omitempty"`
}

// InjectionState is what is known of an injection.
type InjectionState string

// The states. Stuck: it could not be taken out.
const (
	InForce InjectionState = "in-force"
	Lifted  InjectionState = "lifted"
	Expired InjectionState = "expired"
	Stuck   InjectionState = "stuck"
)

// Armed is one fault at one place.
type Armed struct {
	Fault   fault.Fault   `json:"fault"`
	Where   string        `json:"where" doc:"the edge, process or resolver"`
	Touches string        `json:"touches" doc:"what is hurt, in words"`
	Undo    string        `json:"undo" doc:"what takes it out, in words"`
	Receipt fault.Receipt `json:"receipt"`
}

// Receipt sums what all its faults did.
func (i Injection) Receipt() fault.Receipt {
	var sum fault.Receipt
	for _, a := range i.Armed {
		sum = sum.Add(a.Receipt)
	}
	return sum
}

// ReceiptOf sums what one of its faults, named by Fault.Title, did over all its
// places.
func (i Injection) ReceiptOf(title string) fault.Receipt {
	var sum fault.Receipt
	for _, a := range i.Armed {
		if a.Fault.Title() == title {
			sum = sum.Add(a.Receipt)
		}
	}
	return sum
}

// InjectRequest asks for faults to be put in force.
type InjectRequest struct {
	Faults []fault.Fault  `json:"faults"`
	For    fault.Duration `json:"for,omitempty" doc:"the lease; 10m by default" strict:"positive"`
	Seed   *uint64        `json:"seed,omitempty" doc:"makes the draws repeatable; chosen when absent"`
	// AllowProduction permits to hurt a topology whose environment is production.
	AllowProduction bool `json:"allowProduction,omitempty"`
	// AllowIrreversible permits kinds that nothing can undo.
	AllowIrreversible bool   `json:"allowIrreversible,omitempty"`
	Owner             string `json:"-"`
	Actor             string `json:"actor,omitempty" doc:"who asks, for the audit log"`
}

// DefaultLease is that of an injection without a duration of its own.
const DefaultLease = 10 * time.Minute

// EdgeStatus is an edge as it is served.
type EdgeStatus struct {
	Name      string   `json:"name"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Protocol  Protocol `json:"protocol"`
	Listen    string   `json:"listen,omitempty" doc:"the address the caller should call"`
	Upstream  string   `json:"upstream"`
	Open      int      `json:"open" doc:"connections open now; sessions, on UDP edges"`
	Accepted  uint64   `json:"accepted" doc:"connections accepted so far; sessions, on UDP edges"`
	Exchanges uint64   `json:"exchanges" doc:"requests seen so far, on HTTP edges; datagrams from callers, on UDP edges"`
	BytesIn   uint64   `json:"bytesIn" doc:"bytes from callers"`
	BytesOut  uint64   `json:"bytesOut" doc:"bytes to callers"`
	// Dropped and Unreachable are about the network below UDP edges, not about faults.
	Dropped     uint64   `json:"dropped,omitempty" doc:"datagrams that the relay had to drop by itself, on UDP edges: no room, or nobody there"`
	Unreachable uint64   `json:"unreachable,omitempty" doc:"ICMP messages that the callee cannot be reached, on UDP edges"`
	Faults      []string `json:"faults,omitempty" doc:"ids of the injections in force on it"`
	// Asked is what callers have asked for by request headers; nil where they may not.
	Asked *Asked `json:"asked,omitempty" doc:"what callers asked for by request headers (clientFaults)"`
}

// ResolverStatus is the topology's DNS resolver as it is served.
type ResolverStatus struct {
	Listen    string   `json:"listen" doc:"where it answers by UDP and TCP; callers should be pointed at it"`
	Upstreams []string `json:"upstreams" doc:"who answers in truth"`
	Queries   uint64   `json:"queries" doc:"queries seen so far"`
	// Unanswered queries got SERVFAIL because no upstream answered.
	Unanswered uint64 `json:"unanswered" doc:"queries that no upstream answered, so far"`
	// Problem is why the last of them was not answered.
	Problem string `json:"problem,omitempty" doc:"why the last query that no upstream answered was not answered"`
	// Lost queries came while too many were under way.
	Lost   uint64   `json:"lost" doc:"queries that were dropped because too many were under way, so far"`
	Faults []string `json:"faults,omitempty" doc:"ids of the injections in force on it"`
}

// Status is everything in force.
type Status struct {
	Topology    string       `json:"topology"`
	Environment string       `json:"environment,omitempty"`
	Version     string       `json:"version"`
	Since       time.Time    `json:"since"`
	Now         time.Time    `json:"now"`
	Edges       []EdgeStatus `json:"edges"`
	// Resolver is nil without one in the topology.
	Resolver   *ResolverStatus `json:"resolver,omitempty" doc:"the DNS resolver, if the topology has one"`
	Injections []Injection     `json:"injections"`
	Runs       []RunSummary    `json:"runs,omitempty" doc:"runs that are under way"`
	// Debts are changes that nobody owns any more and could not be taken out.
	Debts []string `json:"debts,omitempty"`
}

// HaltResult is what halt did.
type HaltResult struct {
	Lifted  []string `json:"lifted"`
	Aborted []string `json:"aborted" doc:"runs"`
	Stuck   []string `json:"stuck,omitempty"`
}

// Event is something that happened, as /v1/events streams it.
type Event struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type" doc:"injected, lifted, expired, stuck, halted, run-started, run-stage, run-progress, run-ended, recovered"`
	ID      string    `json:"id,omitempty" doc:"of the injection or run"`
	Message string    `json:"message,omitempty"`
	// Progress is set on run-stage and run-progress.
	Progress *Progress `json:"progress,omitempty"`
}

// Progress is a run as it goes.
type Progress struct {
	Run       string         `json:"run"`
	Stage     Stage          `json:"stage"`
	Step      string         `json:"step,omitempty"`
	Elapsed   fault.Duration `json:"elapsed" doc:"in this stage"`
	Remaining fault.Duration `json:"remaining" doc:"in this stage, at most"`
	Flows     []FlowNow      `json:"flows,omitempty"`
	Faults    []string       `json:"faults,omitempty" doc:"in force, in words"`
}

// FlowNow is the last second of a flow.
type FlowNow struct {
	Name   string  `json:"name"`
	Rate   float64 `json:"rate" doc:"answers per second"`
	Errors float64 `json:"errors" doc:"share of failures, 0 to 1"`
	P50    float64 `json:"p50Ms"`
	P99    float64 `json:"p99Ms"`
}

// Connection is a live connection of an edge.
type Connection struct {
	// ID is unique in a process and never reused.
	ID       uint64    `json:"id" doc:"unique while the server runs"`
	Edge     string    `json:"edge" doc:"caller -> callee"`
	Client   string    `json:"client" doc:"the caller's address"`
	Upstream string    `json:"upstream,omitempty" doc:"the callee's address; absent until it is connected"`
	Since    time.Time `json:"since" doc:"when it was accepted"`
	Age      float64   `json:"ageSeconds" doc:"how long it has been open"`
	BytesIn  uint64    `json:"bytesIn" doc:"bytes from the caller"`
	BytesOut uint64    `json:"bytesOut" doc:"bytes to the caller"`
	State    string    `json:"state" doc:"connecting, open, half-closed, waiting or held"`
	Faults   []string  `json:"faults,omitempty" doc:"ids of the injections it was drawn for"`
}
