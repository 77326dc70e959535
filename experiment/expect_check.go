package experiment

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Validate checks what an expectation says by itself.
func (e *Expectation) Validate() error {
	var errs []error
	if e.Name != "" {
		errs = append(errs, at("name", checkTitle(e.Name)))
	}
	switch {
	case e.Edge == "" && e.Traffic == "":
		errs = append(errs, strict.Fieldf("", "says of nobody what is expected; name an `edge` (caller -> callee) or a flow (`traffic`)"))
	case e.Edge != "" && e.Traffic != "":
		errs = append(errs, strict.Fieldf("", "is about an edge and about traffic at once; make an expectation of each"))
	}
	if e.Edge != "" {
		if _, _, ok := fault.SplitEdge(e.Edge); !ok {
			errs = append(errs, strict.Fieldf("edge", "must be an edge such as api-service -> auth-service, not %q", strict.Clip(e.Edge)))
		}
		errs = append(errs, e.only("edge", e.ofTraffic()))
	}
	if e.Traffic != "" {
		errs = append(errs, e.only("traffic", e.ofEdge()))
	}
	if len(e.ofEdge())+len(e.ofTraffic()) == 0 {
		example := "`outcome: [ok, masked]` or `bulkhead: unaffected`"
		if e.Edge != "" {
			example = "`retries: {atMost: 2}`, `timeout: {atMost: 1s}`, `breaker: {}` or `fallback: {}`"
		}
		errs = append(errs, strict.Fieldf("", "expects nothing; give for example %s", example))
	}
	return errors.Join(append(errs, e.checkWords())...)
}

// checkWords refuses words that no rule knows.
func (e *Expectation) checkWords() error {
	errs := []error{oneWord("timeoutInversion", e.Inversion, "forbidden"), oneWord("bulkhead", e.Bulkhead, "unaffected")}
	var classes []OutcomeClass
	for _, c := range OutcomeClasses() {
		classes = append(classes, c.Class)
	}
	for i, c := range e.Outcome {
		path := fmt.Sprintf("outcome[%d]", i)
		errs = append(errs, at(path, among("outcome class", c, classes...)))
		if slices.Contains(e.Outcome[:min(i, len(classes))], c) {
			errs = append(errs, strict.Fieldf(path, "`%s` stands twice", strict.Clip(string(c))))
		}
	}
	if e.Tolerate != 0 && len(e.Outcome) == 0 {
		errs = append(errs, strict.Fieldf("tolerate", "goes with `outcome`, and there is none"))
	}
	return errors.Join(errs...)
}

func oneWord(path, is, word string) error {
	if is == "" {
		return nil
	}
	return at(path, among("word for this", is, word))
}

// only refuses rules that are not for what the expectation is about.
func (e *Expectation) only(about string, others []string) error {
	var errs []error
	for _, o := range others {
		errs = append(errs, strict.Fieldf(o, "does not go with `%s`", about))
	}
	return errors.Join(errs...)
}

// ofEdge and ofTraffic are the rules that are given.
func (e *Expectation) ofEdge() []string {
	return given([]string{"timeout", "retries", "breaker", "fallback", "amplification", "timeoutInversion"},
		e.Timeout != nil, e.Retries != nil, e.Breaker != nil, e.Fallback != nil, e.Amplification != nil, e.Inversion != "")
}

func (e *Expectation) ofTraffic() []string {
	return given([]string{"outcome", "bulkhead"}, len(e.Outcome) > 0, e.Bulkhead != "")
}

func given(names []string, is ...bool) []string {
	var all []string
	for i, n := range names {
		if is[i] {
			all = append(all, n)
		}
	}
	return all
}

// Validate checks that there is a rule, and that the rules leave room.
func (t *ExpectTimeout) Validate() error {
	var errs []error
	if *t == (ExpectTimeout{}) {
		errs = append(errs, strict.Fieldf("", "has no rule; give `atMost`, `atLeast` or `total`, for example atMost: 1s"))
	}
	if t.AtMost != 0 && t.AtLeast > t.AtMost {
		errs = append(errs, strict.Fieldf("atLeast", "must not be more than atMost (%s)", t.AtMost))
	}
	if t.Total != 0 && t.AtLeast > t.Total {
		errs = append(errs, strict.Fieldf("atLeast", "must not be more than total (%s)", t.Total))
	}
	return errors.Join(errs...)
}

// maxRetries is the largest number of retries that can be asked for.
const maxRetries = 1000

// Validate checks that there is a rule, and that the rules leave room.
func (r *ExpectRetries) Validate() error {
	var errs []error
	for _, n := range []struct {
		path string
		n    *int
	}{{"atMost", r.AtMost}, {"atLeast", r.AtLeast}} {
		if n.n != nil && (*n.n < 0 || *n.n > maxRetries) {
			errs = append(errs, strict.Fieldf(n.path, "must be a number of retries from 0 to %d, not %d", maxRetries, *n.n))
		}
	}
	if r.AtMost != nil && r.AtLeast != nil && *r.AtLeast > *r.AtMost {
		errs = append(errs, strict.Fieldf("atLeast", "must not be more than atMost (%d)", *r.AtMost))
	}
	if r.Backoff != "" {
		errs = append(errs, at("backoff", among("kind of back-off", r.Backoff, SpacingNone, SpacingFixed, SpacingLinear, SpacingExponential)))
	}
	if r.AtMost != nil && *r.AtMost == 0 && (r.Backoff != "" || r.Jitter != nil || r.Wait != 0) {
		errs = append(errs, strict.Fieldf("atMost", "forbids retries (0), so that nothing can be said of their waits; leave `backoff`, `jitter` and `wait` out"))
	}
	errs = append(errs, oneWord("retryAfter", r.RetryAfter, "obeyed"), oneWord("unsafe", r.Unsafe, "forbidden"))
	if r.AtMost == nil && r.AtLeast == nil && r.Backoff == "" && r.Jitter == nil && r.Wait == 0 && len(r.NotOn) == 0 && r.RetryAfter == "" && r.Unsafe == "" {
		errs = append(errs, strict.Fieldf("", "has no rule; give for example atMost: 2"))
	}
	return errors.Join(errs...)
}

// UnmarshalText reads a word.
func (w *OutcomeWord) UnmarshalText(b []byte) error {
	s := string(b)
	switch n, err := strconv.Atoi(s); {
	case s == "4xx", s == "5xx", s == "reset", s == "timeout", err == nil && n >= 100 && n <= 599:
		*w = OutcomeWord(s)
		return nil
	}
	return fmt.Errorf("must be a status such as 404, 4xx, 5xx, reset or timeout, not %q", strict.Clip(s))
}

// MarshalText writes the word.
func (w OutcomeWord) MarshalText() ([]byte, error) { return []byte(w), nil }

// Fits tells whether an attempt's outcome, as the ledger words it, is one that the
// word names: 404 is 4xx.
func (w OutcomeWord) Fits(outcome string) bool {
	class, isClass := strings.CutSuffix(string(w), "xx")
	return string(w) == outcome || isClass && len(outcome) == 3 && strings.HasPrefix(outcome, class)
}

// Validate checks the shares.
func (a *ExpectAmplification) Validate() error {
	var errs []error
	if a.AtMost == 0 && a.EndToEnd == 0 {
		errs = append(errs, strict.Fieldf("", "has no rule; give `atMost` or `endToEnd`, for example atMost: 1.5"))
	}
	if a.AtMost != 0 && !(a.AtMost >= 1) || math.IsInf(a.AtMost, 0) {
		errs = append(errs, strict.Fieldf("atMost", "must be 1 or more: a call has at least one attempt"))
	}
	if a.EndToEnd < 0 || math.IsNaN(a.EndToEnd) || math.IsInf(a.EndToEnd, 0) {
		errs = append(errs, strict.Fieldf("endToEnd", "must be more than 0, for example 3"))
	}
	return errors.Join(errs...)
}

// checkExpected returns what an expectation names that the topology does not have.
func (g ground) checkExpected(e *Expectation, path string) []error {
	from, to, ok := splitEdge(e.Edge, g.edges)
	if !ok {
		return nil
	}
	i := slices.IndexFunc(g.edges, func(at Edge) bool { return at.From == from && at.To == to })
	name := fault.EdgeName(from, to)
	switch {
	case i < 0:
		return []error{strict.Fieldf(path, "there is no edge %q%s", strict.Clip(name), strict.Suggest(name, g.names()))}
	case !g.relayed[name]:
		return []error{strict.Fieldf(path, "`%s` has no `listen`: without a relay nothing is seen of what its caller does", name)}
	case !g.spec.EdgeProtocol(g.edges[i]).SeesRequests():
		return []error{strict.Fieldf(path, "`%s` is %s: what a caller does is read from requests; give `%s` the protocol http", name, g.spec.EdgeProtocol(g.edges[i]), to)}
	}
	return nil
}
