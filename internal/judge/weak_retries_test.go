package judge

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// habits are how a caller of the tests tries again.
type habits struct {
	attempts int
	wait     func(i int, r *rand.Rand) time.Duration
	method   string
	change   func(i int, x *experiment.Exchange) // of attempt i
	calls    int
	hang     time.Duration // how long an attempt takes
	good     bool          // the last attempt succeeds
}

// weaknessesOf are those of a caller that calls every 100 ms while all fails.
func (h habits) weaknessesOf(seed uint64) []experiment.Weakness {
	r := rand.New(rand.NewPCG(seed, 1))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	noise := func() time.Duration {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		if r.IntN(50) == 0 {
			d += 20 * time.Millisecond
		}
		return d
	}
	if h.calls == 0 {
		h.calls = 25
	}
	var all []experiment.Exchange
	var last time.Time
	for c := range h.calls {
		at := base.Add(time.Second + time.Duration(c)*100*time.Millisecond + noise())
		for i := range h.attempts {
			took := h.hang + time.Duration(r.IntN(20))*time.Millisecond
			x := experiment.Exchange{Edge: "api-service -> payment-service", Method: "GET", Path: "/pay", Status: 503, Start: at, LastIn: at, FirstByte: at.Add(took), End: at.Add(took),
				Key: experiment.Digest{byte(c), 1}, Keyed: experiment.ByTrace, TraceID: experiment.Digest{byte(c), 1}, EndedBy: experiment.EndedByCallee, Faults: []string{"f"}}
			if h.method != "" {
				x.Method = h.method
			}
			if h.change != nil {
				h.change(i, &x)
			}
			if h.good && i == h.attempts-1 {
				x.Status, x.Cut = 200, false
			}
			all = append(all, x)
			if h.wait != nil {
				at = x.End.Add(h.wait(i, r))
			} else {
				at = x.End
			}
			at = at.Add(noise())
			if x.End.After(last) {
				last = x.End
			}
		}
	}
	lift := last.Add(time.Second)
	run := &experiment.Run{Windows: []experiment.Window{
		{Stage: experiment.StageSteady, Start: base, End: base.Add(time.Second)},
		{Stage: experiment.StageHurt, Step: "fail", Start: base.Add(time.Second), End: lift},
		{Stage: experiment.StageRecovery, Start: lift, End: lift.Add(time.Minute)},
	}}
	v := ledger.Look(ledger.NewBook(all), run)
	run.Behaviour = v.Behaviours()
	return append(weakRetries(v), weakTimeouts(v)...)
}

func every(d time.Duration) func(int, *rand.Rand) time.Duration {
	return func(int, *rand.Rand) time.Duration { return d }
}

func doubling(d time.Duration) func(int, *rand.Rand) time.Duration {
	return func(i int, _ *rand.Rand) time.Duration { return min(d<<i, 2*time.Second) }
}

// jittering waits at least half of what doubles.
func jittering(d time.Duration) func(int, *rand.Rand) time.Duration {
	return func(i int, r *rand.Rand) time.Duration {
		most := min(d<<i, 2*time.Second)
		return most/2 + time.Duration(r.Float64()*float64(most/2))
	}
}

func status(code int) func(int, *experiment.Exchange) {
	return func(_ int, x *experiment.Exchange) { x.Status = code }
}

func lost(_ int, x *experiment.Exchange) {
	x.Status, x.Cut, x.EndedBy = 0, true, experiment.EndedByCallee
}

func givenUp(_ int, x *experiment.Exchange) {
	x.Status, x.Cut, x.EndedBy = 0, true, experiment.EndedByCaller
}

func TestRetriesAreNamedByWhatIsWrongWithThem(t *testing.T) {
	seeds := uint64(6)
	if raceOn {
		seeds = 1
	}
	good := jittering(100 * time.Millisecond)
	asking := func(_ int, x *experiment.Exchange) { x.Status, x.RetryAfter = 429, fault.Duration(time.Second) }
	code := func(n int) func(int, *experiment.Exchange) {
		return func(_ int, x *experiment.Exchange) { x.Status, x.GRPC = 200, &n }
	}
	for _, tc := range []struct {
		name   string
		habits habits
		want   string // kinds
		says   string // in the first sentence
	}{
		{"sound", habits{attempts: 3, wait: good}, "", ""},
		{"sound, full jitter", habits{attempts: 4, wait: func(i int, r *rand.Rand) time.Duration {
			return time.Duration(r.Float64() * float64(100*time.Millisecond<<i))
		}}, "", ""},
		{"no retries", habits{attempts: 1}, "", ""},
		{"one retry at once", habits{attempts: 2}, "", ""},
		{"at once", habits{attempts: 3}, "retries-without-delay", "After a failure api-service asks payment-service again at once"},
		{"at once, few calls", habits{attempts: 3, calls: 4}, "", ""},
		{"fixed", habits{attempts: 3, wait: every(100 * time.Millisecond)}, "retries-at-fixed-delay", " after each failure, always the same"},
		{"in step", habits{attempts: 4, wait: doubling(50 * time.Millisecond)}, "retries-without-jitter", "api-service waits longer before each retry of payment-service, but always the same times ("},
		{"in step, few calls", habits{attempts: 4, wait: doubling(50 * time.Millisecond), calls: 8}, "", ""},
		{"endless at once", habits{attempts: 40, good: true}, "retries-without-cap retries-without-delay", "api-service tries the same call to payment-service without an end while it fails: 25 calls had 10 attempts or more, up to 40"},
		{"endless, else sound", habits{attempts: 14, wait: good, good: true}, "retries-without-cap", "up to 14"},
		{"nine, and then it went well", habits{attempts: 9, wait: good, good: true}, "", ""},
		{"Retry-After ignored", habits{attempts: 3, wait: good, change: asking}, "retry-after-ignored", "payment-service told api-service to come back after 1s (Retry-After), and 50 times of 50 it was back sooner"},
		{"Retry-After obeyed", habits{attempts: 3, wait: every(time.Second), change: asking}, "", ""},
		{"POST whose answer is lost", habits{attempts: 3, wait: good, method: "POST", change: lost}, "retries-unsafe-method", "api-service sent the same POST to payment-service again 50 times after losing the connection"},
		{"POST after a timeout", habits{attempts: 3, wait: good, method: "POST", change: givenUp, hang: time.Second}, "retries-unsafe-method", "after hanging up on it"},
		{"POST that was not taken", habits{attempts: 3, wait: good, method: "POST", change: status(429)}, "", ""},
		{"POST with a key", habits{attempts: 3, wait: good, method: "POST", change: func(i int, x *experiment.Exchange) {
			lost(i, x)
			x.Idempotent, x.Keyed = "key", experiment.ByIdempotency
		}}, "", ""},
		{"GET whose answer is lost", habits{attempts: 3, wait: good, change: lost}, "", ""},
		{"unavailable, by gRPC", habits{attempts: 3, wait: good, method: "POST", change: code(14)}, "", ""},
		{"Bad Request", habits{attempts: 3, wait: good, change: status(400)}, "retries-final-answer", "payment-service answered 400 (Bad Request) to api-service, and was asked the same again 50 times of 50"},
		{"invalid argument, by gRPC", habits{attempts: 3, wait: good, method: "POST", change: code(3)}, "retries-final-answer", "grpc 3 (invalid argument)"},
		{"Bad Request, once", habits{attempts: 1, change: status(400)}, "", ""},
		{"a login is renewed", habits{attempts: 2, wait: good, change: status(401), good: true}, "", ""},
		{"no timeout", habits{attempts: 1, hang: 6 * time.Second}, "no-timeout", "While payment-service did not answer, api-service waited for it 5s or longer on 25 calls"},
		{"a timeout", habits{attempts: 1, hang: time.Second, change: givenUp}, "", ""},
		{"seen too short", habits{attempts: 1, hang: 4 * time.Second}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range seeds {
				found := tc.habits.weaknessesOf(seed)
				var kinds []string
				for _, w := range found {
					kinds = append(kinds, string(w.Kind))
					if w.Edge == "" || w.Samples == 0 || w.Confidence < 0.5 || w.Confidence > 1 || len(w.Evidence) == 0 || len(w.Evidence) > experiment.MaxEvidence || !strings.HasSuffix(w.Sentence, ".") {
						t.Errorf("seed %d: %+v", seed, w)
					}
				}
				slices.Sort(kinds)
				if got := strings.Join(kinds, " "); got != tc.want {
					t.Fatalf("seed %d: named %q, not %q: %+v", seed, got, tc.want, found)
				}
				if len(found) > 0 && !strings.Contains(found[0].Sentence, tc.says) {
					t.Fatalf("seed %d: says %q, not %q", seed, found[0].Sentence, tc.says)
				}
			}
		})
	}
}
