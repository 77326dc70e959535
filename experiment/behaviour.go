package experiment

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Finding is what every inference says of itself. One that is not Known holds no
// figure; Why says what was missing.
type Finding struct {
	Known bool `json:"known"`
	// Confidence that it is so, from 0 to 1.
	Confidence float64 `json:"confidence,omitempty"`
	// Samples it rests on: calls, gaps or exchanges, as its sentence says.
	Samples int `json:"samples"`
	// Why is one sentence: what was seen, or what was missing.
	Why string `json:"why,omitempty"`
	// Evidence are numbers of exchanges in the ledger that show it, a few.
	Evidence []uint64 `json:"evidence,omitempty"`
}

// MaxEvidence is how many exchanges a finding names at most.
const MaxEvidence = 12

// EdgeBehaviour is what the caller of an edge was seen to do.
type EdgeBehaviour struct {
	Edge     string       `json:"edge"`
	Grouping Grouping     `json:"grouping"`
	Windows  []EdgeWindow `json:"windows"`

	Tries         Tries         `json:"tries"`
	Spacing       Spacing       `json:"spacing"`
	Timeout       Timeout       `json:"timeout"`
	Retried       []Retried     `json:"retried,omitempty"` // by outcome of the attempt before
	RetryAfter    RetryAfter    `json:"retryAfter"`
	Breaker       Breaker       `json:"breaker"`
	Amplification Amplification `json:"amplification"`
	Inversion     Inversion     `json:"inversion"`
	Fallback      Fallback      `json:"fallback"`
	HealthCheck   HealthCheck   `json:"healthCheck"`
}

// Grouping says how attempts were put together to calls.
type Grouping struct {
	Calls uint64 `json:"calls"`
	// By counts the calls by what grouped them; body means by statistics.
	By map[Keying]uint64 `json:"by"`
	// Sure is the expected share of attempts that were given to the right call: 1 for
	// ids, an estimate for statistics.
	Sure float64 `json:"sure"`
	Why  string  `json:"why"`
}

// EdgeWindow sums an edge over one stage or step.
type EdgeWindow struct {
	Stage     Stage  `json:"stage"`
	Step      string `json:"step,omitempty"`
	Exchanges uint64 `json:"exchanges"`
	Calls     uint64 `json:"calls"`
	Failed    uint64 `json:"failed"` // exchanges
	Hurt      uint64 `json:"hurt"`   // exchanges that a fault was applied to
	// Attempts per call; 0 without calls.
	Attempts float64 `json:"attemptsPerCall"`
	// Rate of exchanges per second.
	Rate float64 `json:"rate"`
}

// Tries is how often one call is attempted at most.
type Tries struct {
	Finding
	// Most is the number of attempts after which the caller gives up.
	Most int `json:"most,omitempty"`
	// Endless: no end was seen; Most is how many there were.
	Endless bool `json:"endless,omitempty"`
	// Counts is how many failed calls had so many attempts; index 0 is one attempt.
	Counts []uint64 `json:"counts,omitempty"`
}

// SpacingKind is how waits between attempts grow.
type SpacingKind string

// The kinds.
const (
	SpacingNone        SpacingKind = "none"
	SpacingFixed       SpacingKind = "fixed"
	SpacingLinear      SpacingKind = "linear"
	SpacingExponential SpacingKind = "exponential"
)

// Spacing is the waits from the end of a failed attempt to the start of the next.
type Spacing struct {
	Finding
	Kind SpacingKind `json:"kind,omitempty"`
	// Jitter: the waits are spread on purpose. Spread is (p90-p10)/median of a wait.
	Jitter bool    `json:"jitter,omitempty"`
	Spread float64 `json:"spread,omitempty"`
	// Base is the first wait that is one (the middle of it, with jitter), Factor what
	// each is multiplied with (exponential), Step what each grows by (linear), Cap the
	// longest.
	Base   fault.Duration `json:"base,omitempty"`
	Factor float64        `json:"factor,omitempty"`
	Step   fault.Duration `json:"step,omitempty"`
	Cap    fault.Duration `json:"cap,omitempty"`
	// FirstAtOnce: the first retry comes without a wait, and the kind is that of the others.
	FirstAtOnce bool `json:"firstAtOnce,omitempty"`
	// Waits are the medians of the first, second, ... wait.
	Waits []fault.Duration `json:"waits,omitempty"`
}

// Timeout is when the caller hangs up.
type Timeout struct {
	Finding
	// PerTry is the time limit of one attempt; 0 with None.
	PerTry fault.Duration `json:"perTry,omitempty"`
	// None: the caller did not hang up; AtLeast is how long it was seen to wait.
	None    bool           `json:"none,omitempty"`
	AtLeast fault.Duration `json:"atLeast,omitempty"`
	// Total is the time limit of the whole call, all attempts; 0 if none was seen.
	Total fault.Duration `json:"total,omitempty"`
}

// Retried is what happens after attempts with one outcome.
type Retried struct {
	// Outcome in a word: 503, reset, timeout, grpc 14.
	Outcome string `json:"outcome"`
	// Method of the attempts, as it decides whether a retry is safe.
	Method  string `json:"method,omitempty"`
	Ended   uint64 `json:"ended"`   // attempts that ended so, and were not the last that the caller makes
	Retried uint64 `json:"retried"` // of them, were followed by another
	// Keyed: these attempts carried an idempotency key.
	Keyed    bool     `json:"keyed,omitempty"`
	Evidence []uint64 `json:"evidence,omitempty"`
}

// RetryAfter is whether the header is obeyed.
type RetryAfter struct {
	Finding
	// Asked answers that were followed by another attempt; Obeyed of them waited long enough.
	Asked  uint64 `json:"asked,omitempty"`
	Obeyed uint64 `json:"obeyed,omitempty"`
	// Wait asked for and waited, medians.
	Wanted fault.Duration `json:"wanted,omitempty"`
	Waited fault.Duration `json:"waited,omitempty"`
}

// Breaker is a circuit breaker as it can be seen from outside: a caller that does not
// call although it is asked to.
type Breaker struct {
	Finding
	// Seen: it opened at least once. Known and not Seen: there was reason to open, and
	// the caller went on calling.
	Seen bool `json:"seen,omitempty"`
	// OpensAfter is how many failures in a row preceded the opening; ShareBefore is the
	// share of failures among the exchanges just before it.
	OpensAfter int `json:"opensAfter,omitempty"`
	// Unit is what OpensAfter counts: calls, or attempts where retries stand within the
	// breaker.
	Unit        string  `json:"unit,omitempty"`
	ShareBefore float64 `json:"shareBefore,omitempty"`
	// OpensBetween are the fewest and the most failures in a row that it may open after,
	// where OpensAfter cannot be told because several ended at nearly the same time.
	OpensBetween []int `json:"opensBetween,omitempty"`
	// OpenFor is how long it stays open, the median.
	OpenFor fault.Duration `json:"openFor,omitempty"`
	// HalfOpen: it closes or opens again upon a few probes; Probes is how many at a time.
	HalfOpen Finding `json:"halfOpen"`
	Probes   int     `json:"probes,omitempty"`
	// Closed says whether it closed after the lift, and ClosedAfter how long that took.
	Closed      Finding        `json:"closed"`
	ClosedAfter fault.Duration `json:"closedAfter,omitempty"`
	// Spans are its states over the run, for drawing.
	Spans []BreakerSpan `json:"spans,omitempty"`
}

// BreakerSpan is a stretch in one state.
type BreakerSpan struct {
	State BreakerState `json:"state"`
	From  time.Time    `json:"from"`
	To    time.Time    `json:"to"`
}

// BreakerState is a state of a breaker.
type BreakerState string

// The states.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half-open"
)

// Amplification is attempts per call.
type Amplification struct {
	Finding
	Steady float64 `json:"steady,omitempty"`
	// Hurt is the largest of the steps.
	Hurt float64 `json:"hurt,omitempty"`
	// EndToEnd is exchanges of this edge per request of the users, in the same step,
	// SteadyEndToEnd before.
	EndToEnd       float64 `json:"endToEnd,omitempty"`
	SteadyEndToEnd float64 `json:"steadyEndToEnd,omitempty"`
	// Layers are the edges from the users to this one that were seen to multiply, with
	// their factors.
	Layers []Layer `json:"layers,omitempty"`
}

// Layer is one edge that multiplies calls.
type Layer struct {
	Edge   string  `json:"edge"`
	Factor float64 `json:"factor"`
}

// Inversion is a callee that goes on waiting after its caller has hung up: the caller
// of this edge is given up by its own caller first.
type Inversion struct {
	Finding
	Seen bool `json:"seen,omitempty"`
	// Above is the edge by which the caller of this one is called, Outer the time after
	// which it is hung up there, Inner how long it waits here, all attempts.
	Above string         `json:"above,omitempty"`
	Outer fault.Duration `json:"outer,omitempty"`
	Inner fault.Duration `json:"inner,omitempty"`
	// InnerAtLeast: Inner is how long it was seen to wait; the end was not.
	InnerAtLeast bool `json:"innerAtLeast,omitempty"`
}

// Fallback is an answer that was given although the edge failed.
type Fallback struct {
	Finding
	Seen bool `json:"seen,omitempty"`
	// Answered of Failed calls of the caller were good although the edge failed them.
	Answered uint64 `json:"answered,omitempty"`
	Failed   uint64 `json:"failed,omitempty"`
	// Cost is how much longer such an answer took than a steady one, the median.
	Cost fault.Duration `json:"cost,omitempty"`
	// To is the edge and route that was called instead, if one was seen; SameCallee tells
	// whether that is who had failed.
	To         string `json:"to,omitempty"`
	SameCallee bool   `json:"sameCallee,omitempty"`
}

// HealthCheck is a caller that asks a callee for its health, by itself, again and again.
type HealthCheck struct {
	Finding
	Seen bool `json:"seen,omitempty"`
	// Path that is asked, every so often.
	Path  string         `json:"path,omitempty"`
	Every fault.Duration `json:"every,omitempty"`
	// Ignored: it failed, and calls went on to the same callee.
	Ignored bool `json:"ignored,omitempty"`
}

// Lane is what is drawn of an edge: some of its calls with their attempts, to scale.
type Lane struct {
	Edge  string     `json:"edge"`
	Calls []LaneCall `json:"calls"`
	// Of is how many calls there were to choose from.
	Of uint64 `json:"of"`
}

// LaneCall is one call.
type LaneCall struct {
	By       Keying    `json:"by"`
	Stage    Stage     `json:"stage"`
	Step     string    `json:"step,omitempty"`
	Attempts []LaneTry `json:"attempts"`
	// More attempts were made than are listed.
	More int `json:"more,omitempty"`
}

// LaneTry is one attempt.
type LaneTry struct {
	No      uint64    `json:"no"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Outcome string    `json:"outcome"` // in a word: 200, 503, timeout, reset
	Failed  bool      `json:"failed,omitempty"`
	Hurt    bool      `json:"hurt,omitempty"`
}
