package experiment

import "github.com/chaosctl/chaosctl/fault"

// Expectation is a rule over the ledger: what the caller of an edge must do while it
// is hurt, or what users must be given. Exactly one of Edge and Traffic.
type Expectation struct {
	// Name is what reports call it; its words by default.
	Name string `json:"name,omitempty" doc:"what reports call it; its own words by default"`
	// Edge, "caller -> callee", whose caller is meant.
	Edge string `json:"edge,omitempty" doc:"the edge whose caller is meant, caller -> callee"`
	// Traffic is the flow whose users are meant.
	Traffic string `json:"traffic,omitempty" doc:"the flow whose users are meant"`

	Timeout       *ExpectTimeout       `json:"timeout,omitempty" doc:"edge: when the caller hangs up"`
	Retries       *ExpectRetries       `json:"retries,omitempty" doc:"edge: how the caller tries again"`
	Breaker       *ExpectBreaker       `json:"breaker,omitempty" doc:"edge: a circuit breaker"`
	Fallback      *ExpectFallback      `json:"fallback,omitempty" doc:"edge: the caller answers well although this edge fails"`
	Amplification *ExpectAmplification `json:"amplification,omitempty" doc:"edge: attempts per call"`
	// Inversion: forbidden is the only value.
	Inversion string `json:"timeoutInversion,omitempty" doc:"edge: forbidden: its caller must not go on waiting here after it was given up itself" enum:"forbidden"`

	// Outcome are the classes that users may be given while something is hurt.
	Outcome []OutcomeClass `json:"outcome,omitempty" doc:"traffic: the outcome classes that users may be given while something is hurt" enum:"ok,masked,degraded,slow,error,corrupt,cascade,stuck"`
	// Tolerate is the share of answers that may be of another class; none by default.
	Tolerate fault.Share `json:"tolerate,omitempty" doc:"traffic: the share of answers that may be of another class; none by default"`
	// Bulkhead: unaffected is the only value.
	Bulkhead string `json:"bulkhead,omitempty" doc:"traffic: unaffected: this flow needs nothing of what is hurt, and must not notice" enum:"unaffected"`
}

// ExpectTimeout are rules on when a caller hangs up.
type ExpectTimeout struct {
	AtMost  fault.Duration `json:"atMost,omitempty" doc:"of one attempt, at most" strict:"positive"`
	AtLeast fault.Duration `json:"atLeast,omitempty" doc:"of one attempt, at least" strict:"positive"`
	// Total of the whole call, all attempts.
	Total fault.Duration `json:"total,omitempty" doc:"of the whole call, all attempts and waits, at most" strict:"positive"`
}

// ExpectRetries are rules on attempts after the first.
type ExpectRetries struct {
	// AtMost and AtLeast count retries, the first attempt not included.
	AtMost  *int `json:"atMost,omitempty" doc:"retries after the first attempt, at most; 0 forbids them"`
	AtLeast *int `json:"atLeast,omitempty" doc:"retries after the first attempt, at least"`
	// Backoff is how waits grow.
	Backoff SpacingKind `json:"backoff,omitempty" doc:"how the waits grow" enum:"none,fixed,linear,exponential"`
	Jitter  *bool       `json:"jitter,omitempty" doc:"whether waits are spread"`
	// Wait is the first wait, at least.
	Wait fault.Duration `json:"wait,omitempty" doc:"the first wait that is one, at least" strict:"positive"`
	// NotOn are outcomes after which there must be no retry: statuses, 4xx.
	NotOn []OutcomeWord `json:"notOn,omitempty" doc:"outcomes after which it must not try again: a status, 4xx, 5xx, reset, timeout"`
	// RetryAfter: obeyed is the only value.
	RetryAfter string `json:"retryAfter,omitempty" doc:"obeyed: it waits at least as long as the callee asks" enum:"obeyed"`
	// Unsafe: forbidden is the only value.
	Unsafe string `json:"unsafe,omitempty" doc:"forbidden: it does not try POST and PATCH again without an idempotency key" enum:"forbidden"`
}

// OutcomeWord names outcomes of attempts: a status, 4xx, 5xx, reset or timeout.
type OutcomeWord string

// ExpectBreaker are rules on a circuit breaker.
type ExpectBreaker struct {
	// OpensAfter failures in a row, at most.
	OpensAfter int `json:"opensAfter,omitempty" doc:"it opens after so many failures in a row, at most" strict:"positive"`
	// ClosesWithin the lift.
	ClosesWithin fault.Duration `json:"closesWithin,omitempty" doc:"it closes within this time after the lift" strict:"positive"`
	// Probes at a time while half-open, at most.
	Probes int `json:"probes,omitempty" doc:"half-open, it lets so many probes through at a time, at most" strict:"positive"`
}

// ExpectFallback are rules on answers given although the edge failed.
type ExpectFallback struct {
	// Cost is how much longer such an answer may take than a steady one.
	Cost fault.Duration `json:"cost,omitempty" doc:"how much longer such an answer may take than a steady one" strict:"positive"`
	// Share of the failed calls that are to be answered so; all by default.
	Share fault.Share `json:"share,omitempty" doc:"the share of failed calls that must be answered so; all by default"`
}

// ExpectAmplification are rules on attempts per call.
type ExpectAmplification struct {
	// AtMost attempts per call on this edge.
	AtMost float64 `json:"atMost,omitempty" doc:"attempts per call on this edge, at most"`
	// EndToEnd is exchanges of this edge per request of the users, at most.
	EndToEnd float64 `json:"endToEnd,omitempty" doc:"exchanges on this edge per request of the users, at most"`
}

// Standing is the result of an expectation.
type Standing string

// The standings. Unknown: it was not put to the test, or too little was seen.
const (
	Held     Standing = "held"
	Broken   Standing = "broken"
	Untested Standing = "unknown"
)

// ExpectationResult is the result of one rule of an expectation.
type ExpectationResult struct {
	// Expectation is its name; Of its edge or flow; Rule what it says, in words.
	Expectation string   `json:"expectation"`
	Of          string   `json:"of"`
	Rule        string   `json:"rule"`
	Result      Standing `json:"result"`
	// Why is one sentence.
	Why        string   `json:"why"`
	Confidence float64  `json:"confidence,omitempty"`
	Evidence   []uint64 `json:"evidence,omitempty"`
}
