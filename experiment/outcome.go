package experiment

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// OutcomeClass is what a user was given.
type OutcomeClass string

// The classes, the best first.
const (
	// OutcomeOK: as in the steady stage, and nothing failed on the way to it.
	OutcomeOK OutcomeClass = "ok"
	// OutcomeMasked: as in the steady stage, although something on the way failed.
	OutcomeMasked OutcomeClass = "masked"
	// OutcomeDegraded: a good answer that declares itself to be less.
	OutcomeDegraded OutcomeClass = "degraded"
	// OutcomeSlow: a good answer, later than users should wait.
	OutcomeSlow OutcomeClass = "slow"
	// OutcomeError: an answer that says that it is an error, or none.
	OutcomeError OutcomeClass = "error"
	// OutcomeCorrupt: a 2xx whose body is not what it should be.
	OutcomeCorrupt OutcomeClass = "corrupt"
	// OutcomeCascade: an error, or a slow answer, of a flow that does not need what was hurt.
	OutcomeCascade OutcomeClass = "cascade"
	// OutcomeStuck: an error, or a slow answer, long after the lift.
	OutcomeStuck OutcomeClass = "stuck"
)

// OutcomeClasses are all of them, the best first, each with its meaning.
func OutcomeClasses() []struct {
	Class   OutcomeClass
	Meaning string
} {
	type c = struct {
		Class   OutcomeClass
		Meaning string
	}
	return []c{
		{OutcomeOK, "an answer as before, and nothing failed on the way to it"},
		{OutcomeMasked, "an answer as before, although something on the way to it failed: a retry or a fallback saved it"},
		{OutcomeDegraded, "a good answer that says itself that it is less than usual"},
		{OutcomeSlow, "a good answer that came later than users should wait"},
		{OutcomeError, "an error that says so, or no answer"},
		{OutcomeCorrupt, "silent corruption: status 2xx, but a body that is not what it should be"},
		{OutcomeCascade, "an error or a slow answer of a request that needs nothing of what was hurt"},
		{OutcomeStuck, "an error or a slow answer long after everything was put back"},
	}
}

// FlowOutcomes are the outcome classes of a flow's answers.
type FlowOutcomes struct {
	Flow string `json:"flow"`
	// Steady is what ok looks like, as the steady stage has shown it.
	Steady  SteadyAnswer    `json:"steady"`
	Windows []OutcomeWindow `json:"windows"`
	// Series is the classes second by second.
	Series []OutcomeSecond `json:"series,omitempty"`
	// Needs are the edges that its requests lead to, as the steady stage has shown.
	Needs []string `json:"needs,omitempty"`
	// Joined says how requests and edges were put together: trace, or statistics.
	Joined string `json:"joined,omitempty"`
}

// SteadyAnswer is what was learned before anything was hurt.
type SteadyAnswer struct {
	Finding
	Statuses []int    `json:"statuses,omitempty"`
	Types    []string `json:"types,omitempty"`
	// Shapes are the shapes of JSON bodies.
	Shapes []string `json:"shapes,omitempty"`
	// Same: every steady body was the same, byte for byte.
	Same bool `json:"same,omitempty"`
	// Sizes, smallest and largest.
	SizeMin uint64 `json:"sizeMin,omitempty"`
	SizeMax uint64 `json:"sizeMax,omitempty"`
	// Slow is the latency from which an answer counts as slow.
	Slow fault.Duration `json:"slow,omitempty"`
}

// OutcomeWindow counts the classes in one stage or step.
type OutcomeWindow struct {
	Stage  Stage                     `json:"stage"`
	Step   string                    `json:"step,omitempty"`
	Counts map[OutcomeClass]uint64   `json:"counts"`
	Shown  map[OutcomeClass][]uint64 `json:"shown,omitempty"` // numbers of some of them in the ledger
}

// OutcomeSecond counts the classes of one second, by intended start.
type OutcomeSecond struct {
	Time   time.Time               `json:"time"`
	Counts map[OutcomeClass]uint32 `json:"counts"`
}

// RecoveryPart is one thing that has to come back after the lift.
type RecoveryPart struct {
	// What: gates, breaker, attempts, goodput.
	What string `json:"what"`
	// Of is the flow or edge.
	Of string `json:"of,omitempty"`
	// Took is the time from the lift; nil if it never came back.
	Took   *fault.Duration `json:"took,omitempty"`
	Result Result          `json:"result"`
	Why    string          `json:"why"`
}

// RecoveryShape names how a system came back.
type RecoveryShape string

// The shapes.
const (
	RecoveryUnknown     RecoveryShape = ""
	RecoveryHealed      RecoveryShape = "healed"
	RecoveryLate        RecoveryShape = "healed-late"
	RecoveryBreakerOpen RecoveryShape = "breaker-stays-open"
	RecoveryRetryStorm  RecoveryShape = "retry-storm" // metastable: attempts stay up, goodput down
	RecoveryBroken      RecoveryShape = "stays-broken"
)
