package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// What must have been seen before a weakness is named.
const (
	retriesInARow  = 2  // attempts after the first, at least, for waits to be a habit
	callsAtOnce    = 5  // calls with so many
	callsInStep    = 10 // the same, for waits that grow
	askedToWait    = 5  // answers with Retry-After that were followed by an attempt
	unsafeRetries  = 3
	finalAnswers   = 5
	endlessCalls   = 3   // without an end, if statistics told calls apart
	longEnough     = 40  // ms of the longest wait, from which the lack of jitter can be seen
	surelyObserved = 0.5 // confidence
	surelyGrouped  = 0.999
)

// finalOutcomes are the outcomes that do not change by asking again, with their meaning.
var finalOutcomes = map[string]string{
	"400": "Bad Request", "401": "Unauthorized", "403": "Forbidden", "404": "Not Found", "409": "Conflict", "422": "Unprocessable Content",
	"grpc 3": "invalid argument", "grpc 5": "not found", "grpc 6": "already exists", "grpc 7": "permission denied", "grpc 12": "unimplemented", "grpc 16": "unauthenticated",
}

// weakRetries names what is wrong with how callers try again.
//
// The end of retries, the waits between them, and what is retried are told apart: each
// has a remedy of its own. Of the waits one weakness is named at most: none at all, all the
// same, or growing in step.
func weakRetries(v *ledger.View) []experiment.Weakness {
	var all []experiment.Weakness
	for i := range v.Run.Behaviour {
		b := &v.Run.Behaviour[i]
		from, to, _ := strings.Cut(b.Edge, " -> ")
		if from == experiment.Users {
			continue
		}
		r := retrier{v: v, b: b, from: from, to: to}
		r.calls()
		for _, find := range []func() *experiment.Weakness{r.endless, r.waits, r.ignoresRetryAfter, r.unsafe, r.final} {
			if w := find(); w != nil {
				w.Edge = b.Edge
				w.Evidence = w.Evidence[:min(len(w.Evidence), experiment.MaxEvidence)]
				all = append(all, *w)
			}
		}
	}
	return all
}

// retrier is the caller of one edge.
type retrier struct {
	v        *ledger.View
	b        *experiment.EdgeBehaviour
	from, to string
	repeated int // calls with retriesInARow or more
}

func (r *retrier) calls() {
	edge := r.v.EdgeOf(r.b.Edge)
	for i := range r.v.Calls {
		if c := &r.v.Calls[i]; c.Edge == edge && len(c.Attempts) > retriesInARow {
			r.repeated++
		}
	}
}

func (r *retrier) found(k experiment.WeaknessKind, f experiment.Finding, format string, a ...any) *experiment.Weakness {
	if f.Confidence < surelyObserved {
		return nil
	}
	return &experiment.Weakness{Kind: k, Sentence: fmt.Sprintf(format, a...), Confidence: f.Confidence, Samples: f.Samples, Evidence: slices.Clone(f.Evidence)}
}

func (r *retrier) endless() *experiment.Weakness {
	t := &r.b.Tries
	if !t.Known || !t.Endless || r.b.Grouping.Sure < surelyGrouped && t.Samples < endlessCalls {
		return nil
	}
	return r.found(experiment.RetriesEndless, t.Finding, "%s tries the same call to %s without an end while it fails: %s.", r.from, r.to, t.Why)
}

// waits names what is wrong with the waits.
func (r *retrier) waits() *experiment.Weakness {
	s := &r.b.Spacing
	switch {
	case !s.Known || s.Jitter || r.repeated < callsAtOnce || !r.regular():
		return nil
	case s.Kind == experiment.SpacingNone:
		return r.found(experiment.RetriesAtOnce, s.Finding, "After a failure %s asks %s again at once, %s later and up to %d times in a row: %s were repeated so.",
			r.from, r.to, s.Waits[0], r.mostInARow(), callCount(r.repeated))
	case r.longest() < longEnough:
		return nil
	case s.Kind == experiment.SpacingFixed && s.FirstAtOnce:
		return r.found(experiment.RetriesFixed, s.Finding, "After a failure %s asks %s again at once, and then every %s, always the same: %s were repeated so.",
			r.from, r.to, s.Base, callCount(r.repeated))
	case s.Kind == experiment.SpacingFixed:
		return r.found(experiment.RetriesFixed, s.Finding, "%s asks %s again %s after each failure, always the same: %s were repeated so.",
			r.from, r.to, s.Base, callCount(r.repeated))
	case r.repeated < callsInStep:
		return nil
	}
	return r.found(experiment.RetriesInStep, s.Finding, "%s waits longer before each retry of %s, but always the same times (%s): calls that fail together come back together, as %s did.",
		r.from, r.to, durations(s), callCount(r.repeated))
}

// regular tells whether retries are what they seem. Calls that were told apart by
// statistics may be put together wrong, such as requests that wait for the same
// connection and follow each other at once; then their numbers of attempts differ.
func (r *retrier) regular() bool {
	if r.b.Grouping.Sure >= surelyGrouped {
		return true
	}
	t := &r.b.Tries
	if !t.Known || t.Endless {
		return t.Known
	}
	all := uint64(0)
	for _, n := range t.Counts {
		all += n
	}
	return t.Most > retriesInARow && t.Counts[t.Most-1]*5 >= all*3
}

func (r *retrier) mostInARow() int {
	if t := &r.b.Tries; t.Known && !t.Endless {
		return t.Most - 1
	}
	return max(len(r.b.Spacing.Waits), r.b.Tries.Most-1)
}

// longest is the longest wait, in ms.
func (r *retrier) longest() float64 {
	most := 0.0
	for _, w := range r.b.Spacing.Waits {
		most = max(most, float64(w.Std().Milliseconds()))
	}
	return most
}

// durations are the first waits in words.
func durations(s *experiment.Spacing) string {
	var words []string
	for _, w := range s.Waits[:min(len(s.Waits), 4)] {
		words = append(words, w.String())
	}
	return strings.Join(words, ", ")
}

func (r *retrier) ignoresRetryAfter() *experiment.Weakness {
	a := &r.b.RetryAfter
	if !a.Known || a.Asked < askedToWait || a.Obeyed*2 > a.Asked {
		return nil
	}
	return r.found(experiment.RetryAfterIgnored, a.Finding, "%s told %s to come back after %s (Retry-After), and %d times of %d it was back sooner, after %s.",
		r.to, r.from, a.Wanted, a.Asked-a.Obeyed, a.Asked, a.Waited)
}

// unsafe finds calls that are repeated although the callee may have done the work.
func (r *retrier) unsafe() *experiment.Weakness {
	edge := r.v.EdgeOf(r.b.Edge)
	f := experiment.Finding{Known: true}
	sum, method, after := 0.0, "", map[string]int{}
	for i := range r.v.Calls {
		c := &r.v.Calls[i]
		if c.Edge != edge || len(c.Attempts) < 2 || c.Sure < sureCall {
			continue
		}
		for k, a := range c.Attempts[:len(c.Attempts)-1] {
			e := &r.v.Entries[a]
			if e.Route < 0 || !mayBeDone(e, r.v.Routes[e.Route].Method) {
				continue
			}
			f.Samples++
			sum += c.Sure
			method = r.v.Routes[e.Route].Method
			after[e.Outcome()]++
			for _, no := range []uint64{e.No, r.v.Entries[c.Attempts[k+1]].No} {
				if len(f.Evidence) < experiment.MaxEvidence && !slices.Contains(f.Evidence, no) {
					f.Evidence = append(f.Evidence, no)
				}
			}
		}
	}
	// What comes by the clock, and what is asked for again anyway, is not in Retried.
	if f.Samples < unsafeRetries || !r.mostly(method) || !slices.ContainsFunc(r.b.Retried, func(o experiment.Retried) bool {
		return o.Method == method && !o.Keyed && o.Retried > 0
	}) {
		return nil
	}
	f.Confidence = sum / float64(f.Samples) * float64(f.Samples+1) / float64(f.Samples+2)
	return r.found(experiment.RetriesUnsafe, f, "%s sent the same %s to %s again %d times after %s, without an idempotency key, although %s may have done the work the first time.",
		r.from, method, r.to, f.Samples, endings(after), r.to)
}

// mostly tells whether what was repeated mostly is, or was put together by ids.
func (r *retrier) mostly(method string) bool {
	ended, again := uint64(0), uint64(0)
	for _, o := range r.b.Retried {
		if o.Method == method && !o.Keyed {
			ended, again = ended+o.Ended, again+o.Retried
		}
	}
	return r.b.Grouping.Sure >= surelyGrouped || again*2 >= ended
}

// mayBeDone tells whether the work of a request that must not be done twice may have
// been done. A 429, or an answer with Retry-After, says that it was not. What gRPC calls
// do is not known from their method.
func mayBeDone(e *ledger.Entry, method string) bool {
	switch {
	case method != "POST" && method != "PATCH", e.Idempotent, e.GRPC != ledger.NoGRPC, !e.Failed(), e.Status == 429, e.RetryAfter > 0:
		return false
	case e.Cut || e.Status == 0:
		return e.LastIn != ledger.Never
	}
	return true
}

// endings puts outcomes in words, the most frequent first.
func endings(n map[string]int) string {
	var all []string
	for o := range n {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b string) int {
		if n[a] != n[b] {
			return n[b] - n[a]
		}
		return strings.Compare(a, b)
	})
	for i, o := range all {
		switch o {
		case "timeout":
			all[i] = "hanging up on it"
		case "reset":
			all[i] = "losing the connection"
		default:
			all[i] = "the answer " + o
		}
	}
	return strings.Join(all[:min(len(all), 3)], ", ")
}

// final finds answers that are no reason to ask again. A 401 that the next attempt
// overcomes is a renewed login.
func (r *retrier) final() *experiment.Weakness {
	var worst *experiment.Retried
	for i := range r.b.Retried {
		o := &r.b.Retried[i]
		if finalOutcomes[o.Outcome] == "" || o.Ended < finalAnswers || o.Retried*2 <= o.Ended || r.overcome(o) {
			continue
		}
		if worst == nil || o.Retried > worst.Retried {
			worst = o
		}
	}
	if worst == nil {
		return nil
	}
	n := float64(worst.Ended)
	f := experiment.Finding{Known: true, Samples: int(worst.Ended), Confidence: cmp.Or(r.b.Grouping.Sure, sureCall) * (n + 1) / (n + 2), Evidence: worst.Evidence}
	return r.found(experiment.RetriesFinal, f, "%s answered %s (%s) to %s, and was asked the same again %d times of %d.",
		r.to, worst.Outcome, finalOutcomes[worst.Outcome], r.from, worst.Retried, worst.Ended)
}

// overcome tells whether most retries after an outcome were answered well.
func (r *retrier) overcome(o *experiment.Retried) bool {
	edge := r.v.EdgeOf(r.b.Edge)
	good, all := 0, 0
	for i := range r.v.Calls {
		c := &r.v.Calls[i]
		if c.Edge != edge {
			continue
		}
		for k, a := range c.Attempts[:max(0, len(c.Attempts)-1)] {
			if e := &r.v.Entries[a]; e.Outcome() == o.Outcome {
				all++
				if n := &r.v.Entries[c.Attempts[k+1]]; !n.Failed() && !n.Refused() {
					good++
				}
			}
		}
	}
	return (o.Outcome == "401" || o.Outcome == "grpc 16") && good*2 > all
}
