package experiment

// WeaknessKind names a weakness of a system.
type WeaknessKind string

// The weaknesses that the judge knows.
const (
	RetriesEndless       WeaknessKind = "retries-without-cap"
	RetriesAtOnce        WeaknessKind = "retries-without-delay"
	RetriesFixed         WeaknessKind = "retries-at-fixed-delay"
	RetriesInStep        WeaknessKind = "retries-without-jitter"
	RetryAfterIgnored    WeaknessKind = "retry-after-ignored"
	RetriesUnsafe        WeaknessKind = "retries-unsafe-method"
	RetriesFinal         WeaknessKind = "retries-final-answer"
	RetriesAtLayers      WeaknessKind = "retries-at-several-layers"
	NoTimeout            WeaknessKind = "no-timeout"
	TimeoutInversion     WeaknessKind = "timeout-inversion"
	BreakerNeverCloses   WeaknessKind = "breaker-never-closes"
	BreakerWithoutProbes WeaknessKind = "breaker-without-half-open"
	FallbackToSame       WeaknessKind = "fallback-to-same-callee"
	HealthIgnored        WeaknessKind = "health-check-ignored"
	GarbagePassedOn      WeaknessKind = "garbage-passed-on"
	NoBulkhead           WeaknessKind = "no-bulkhead"
	StaysBroken          WeaknessKind = "stays-broken"
)

// Weakness is one that was found.
type Weakness struct {
	Kind WeaknessKind `json:"kind"`
	// Edge or Flow it was seen on.
	Edge string `json:"edge,omitempty"`
	Flow string `json:"flow,omitempty"`
	// Sentence says what was seen, with figures, to somebody who does not know the tool.
	Sentence   string   `json:"sentence"`
	Confidence float64  `json:"confidence"`
	Samples    int      `json:"samples"`
	Evidence   []uint64 `json:"evidence,omitempty"`
}

// WeaknessInfo explains a kind of weakness.
type WeaknessInfo struct {
	Kind WeaknessKind `json:"kind"`
	// Title in a few words; Risk is what it leads to; Remedy is what to do; Needs is what
	// must have been seen to tell.
	Title, Risk, Remedy, Needs string
}

// Weaknesses are all kinds that the judge knows.
func Weaknesses() []WeaknessInfo {
	return []WeaknessInfo{
		{RetriesEndless, "Retries without an end", "One failed call becomes load without limit, and keeps a failing service down.", "Give up after two or three attempts.", "one call with 10 attempts or more"},
		{RetriesAtOnce, "Retries without a wait", "All attempts are spent within the same moment of failure, and hit the callee when it is weakest.", "Wait before each retry, longer each time, with jitter.", "5 calls with two retries or more"},
		{RetriesFixed, "Retries at a fixed distance", "The callee gets the same load again and again, in waves, and no time to recover.", "Double the wait each time, and add jitter.", "5 calls with two retries or more"},
		{RetriesInStep, "Back-off without jitter", "Callers that failed together retry together: the callee is hit by waves.", "Add a random part to every wait.", "10 calls with two retries or more"},
		{RetryAfterIgnored, "Retry-After is ignored", "The callee said when to come back; coming earlier prolongs its overload.", "Wait at least as long as Retry-After says.", "5 answers with Retry-After that were followed by another attempt"},
		{RetriesUnsafe, "Retries of what must not be done twice", "The callee may have done the work although its answer was lost: the retry does it again.", "Send an idempotency key, or do not retry such calls.", "3 retries of a POST or PATCH without a key"},
		{RetriesFinal, "Retries of final answers", "A 400, 401, 403, 404, 409 or 422 will not change by asking again: such retries are pure load.", "Retry only what may pass: 429, 502, 503, 504 and lost connections.", "5 attempts that ended so"},
		{RetriesAtLayers, "Retries at several layers", "Attempts multiply from layer to layer: one failure at the bottom becomes many times the load.", "Retry at one layer, the nearest to the failure, and use a retry budget.", "5 failed requests of users"},
		{NoTimeout, "No timeout", "A callee that hangs holds a caller's threads and memory until it hangs, too.", "Set a time limit on every call.", "3 calls that waited 5 s or more"},
		{TimeoutInversion, "Timeouts in the wrong order", "The callee works on for a caller who has gone: work for nobody, in the middle of an overload.", "Make each timeout, all retries together, shorter than the one above it, or pass the deadline on.", "3 calls that were given up above while they waited below"},
		{BreakerNeverCloses, "Breaker that never closes", "The failure is over, but its caller goes on as if it were not.", "Probe after a while (half-open) and close upon success.", "a breaker seen open, and 10 requests of users after the lift that should have closed it"},
		{BreakerWithoutProbes, "Breaker without half-open", "After each pause the full load hits the failing callee at once.", "Let one probe through, and close only upon its success.", "two openings"},
		{FallbackToSame, "Fallback that calls who has failed", "It fails when it is needed: the same callee is asked again, another way.", "Fall back to something that does not need the callee.", "5 failed calls"},
		{HealthIgnored, "Health check whose answer is ignored", "The check says that the callee is ill, and it is called on.", "Judge the status of the check, and call somebody else while it fails.", "3 failed checks, and 10 calls after them"},
		{GarbagePassedOn, "Garbage passed on", "Users are told that all is well, and given a broken answer.", "Check what a callee answers before using it.", "1 answer that differs in shape from all steady ones"},
		{NoBulkhead, "No bulkhead", "One slow callee takes down routes that do not need it.", "Give each callee its own bounded pool of connections or workers.", "10 requests of a flow that does not need what was hurt"},
		{StaysBroken, "Stays broken after the lift", "The trigger is gone and the overload keeps itself up (metastable): only a restart or less load ends it.", "Bound queues and retries, drop what nobody waits for any more, and shed load.", "10 requests in the second half of the recovery stage"},
	}
}

// InfoOf explains a kind; the zero value if there is none of that name.
func (k WeaknessKind) InfoOf() WeaknessInfo {
	for _, w := range Weaknesses() {
		if w.Kind == k {
			return w
		}
	}
	return WeaknessInfo{Kind: k, Title: string(k)}
}
