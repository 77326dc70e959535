package experiment

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
)

// Rule is one rule of an expectation.
type Rule struct {
	// Field is its path in the expectation: retries.atMost.
	Field string
	// Words say it to a reader: "at most 2 retries".
	Words string
}

// Of is the edge, as it is written everywhere, or the flow.
func (e *Expectation) Of() string {
	if e.Traffic != "" {
		return e.Traffic
	}
	if from, to, ok := fault.SplitEdge(e.Edge); ok {
		return fault.EdgeName(from, to)
	}
	return e.Edge
}

// Title is its name, else what it is about.
func (e *Expectation) Title() string {
	if e.Name != "" {
		return e.Name
	}
	return e.Of()
}

// Rules are the rules that are given, in the order of the documentation.
func (e *Expectation) Rules() []Rule {
	var all []Rule
	add := func(is bool, field, format string, args ...any) {
		if is {
			all = append(all, Rule{field, fmt.Sprintf(format, args...)})
		}
	}
	if t := e.Timeout; t != nil {
		add(t.AtMost != 0, "timeout.atMost", "hangs up after %s at most", t.AtMost)
		add(t.AtLeast != 0, "timeout.atLeast", "does not hang up before %s", t.AtLeast)
		add(t.Total != 0, "timeout.total", "a call takes %s at most, all attempts together", t.Total)
	}
	if r := e.Retries; r != nil {
		add(r.AtMost != nil, "retries.atMost", "%s", atMostRetries(r.AtMost))
		add(r.AtLeast != nil, "retries.atLeast", "at least %s", retryCount(r.AtLeast))
		add(r.Backoff == SpacingNone, "retries.backoff", "tries again at once")
		add(r.Backoff != "" && r.Backoff != SpacingNone, "retries.backoff", "%s waits between attempts", r.Backoff)
		add(r.Jitter != nil && *r.Jitter, "retries.jitter", "waits with jitter")
		add(r.Jitter != nil && !*r.Jitter, "retries.jitter", "waits without jitter")
		add(r.Wait != 0, "retries.wait", "waits %s at least before it tries again", r.Wait)
		add(len(r.NotOn) > 0, "retries.notOn", "does not try again after %s", joined(r.NotOn, ", "))
		add(r.RetryAfter != "", "retries.retryAfter", "waits as long as Retry-After asks")
		add(r.Unsafe != "", "retries.unsafe", "does not try POST or PATCH again without an idempotency key")
	}
	if b := e.Breaker; b != nil {
		add(true, "breaker", "has a circuit breaker")
		add(b.OpensAfter != 0, "breaker.opensAfter", "its breaker opens after %d failures at most", b.OpensAfter)
		add(b.ClosesWithin != 0, "breaker.closesWithin", "its breaker closes within %s of the lift", b.ClosesWithin)
		add(b.Probes != 0, "breaker.probes", "its breaker lets %d at most through at a time while half-open", b.Probes)
	}
	if f := e.Fallback; f != nil {
		add(true, "fallback", "answers well although the edge fails%s", shareWords(f.Share))
		add(f.Cost != 0, "fallback.cost", "its fallback costs %s at most", f.Cost)
	}
	if a := e.Amplification; a != nil {
		add(a.AtMost != 0, "amplification.atMost", "at most %s attempts per call", trim(a.AtMost))
		add(a.EndToEnd != 0, "amplification.endToEnd", "at most %s exchanges per request of the users", trim(a.EndToEnd))
	}
	add(e.Inversion != "", "timeoutInversion", "does not go on waiting once it was given up itself")
	if len(e.Outcome) > 0 {
		but := ""
		if e.Tolerate != 0 {
			but = fmt.Sprintf(", but for %s%%", trim(e.Tolerate.Of()*100))
		}
		add(true, "outcome", "users get %s%s", joined(e.Outcome, " or "), but)
	}
	add(e.Bulkhead != "", "bulkhead", "users do not notice what is hurt elsewhere")
	return all
}

func joined[T ~string](words []T, between string) string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return strings.Join(all, between)
}

func atMostRetries(n *int) string {
	if n != nil && *n == 0 {
		return "no retries"
	}
	return "at most " + retryCount(n)
}

func retryCount(n *int) string {
	switch {
	case n == nil:
		return ""
	case *n == 1:
		return "1 retry"
	}
	return strconv.Itoa(*n) + " retries"
}

func shareWords(s fault.Share) string {
	if s == 0 {
		return ""
	}
	return fmt.Sprintf(", at least %s%% of the time", trim(s.Of()*100))
}

// trim is a number with three digits after the point at most.
func trim(f float64) string {
	s := strconv.FormatFloat(f, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
