package ledger

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// queryNames are what a query may ask for.
type queryNames struct {
	edges, flows, classes, stages, steps []string
	calls                                int
	recorded                             bool // stages and steps are known
}

// lineFilter is a query that makes sense. Every part that was asked for must fit.
type lineFilter struct {
	parts []func(*experiment.LedgerLine) bool
	calls map[int]bool // instead, if it is not nil
}

func (f *lineFilter) fits(l *experiment.LedgerLine) bool {
	if f.calls != nil {
		return l.Call != nil && f.calls[l.Call.No]
	}
	for _, p := range f.parts {
		if !p(l) {
			return false
		}
	}
	return true
}

// compileQuery finds everything that is wrong with a query.
func compileQuery(q experiment.LedgerQuery, known queryNames) (*lineFilter, experiment.Problems) {
	c := &queryCompiler{known: known}
	c.name("edge", q.Edge, known.edges, func(l *experiment.LedgerLine) string { return l.Edge })
	c.name("flow", q.Flow, known.flows, func(l *experiment.LedgerLine) string { return l.Flow })
	if known.recorded {
		c.name("stage", q.Stage, known.stages, func(l *experiment.LedgerLine) string { return string(l.Stage) })
		c.name("step", q.Step, known.steps, func(l *experiment.LedgerLine) string { return l.Step })
	} else if q.Stage != "" || q.Step != "" {
		c.wrong(map[bool]string{true: "stage", false: "step"}[q.Stage != ""], "is not known: the run left a ledger and no record, so it was killed")
	}
	if q.Method != "" {
		c.part(func(l *experiment.LedgerLine) bool { return strings.EqualFold(l.Method, q.Method) })
	}
	if q.Path != "" {
		if re, err := fault.CompilePath(q.Path); err != nil {
			c.wrong("path", "must be a glob such as /users/* or /users/**, not %q: %v", q.Path, err)
		} else {
			c.part(func(l *experiment.LedgerLine) bool { return l.Method != "" && re.MatchString(l.Path) })
		}
	}
	c.outcome(q.Outcome)
	if q.Failed {
		c.part(func(l *experiment.LedgerLine) bool { return l.Failed })
	}
	if q.Hurt {
		c.part(func(l *experiment.LedgerLine) bool { return len(l.Faults) > 0 })
	}
	c.numbers(q.No)
	c.call(q.Call)
	c.trace(q.Trace)
	c.times(q.Since, q.Until)
	if q.Limit < 0 {
		c.wrong("limit", "must be at least 1, not %d", q.Limit)
	}
	return &c.lineFilter, c.problems
}

type queryCompiler struct {
	lineFilter
	known    queryNames
	problems experiment.Problems
}

func (c *queryCompiler) part(fits func(*experiment.LedgerLine) bool) { c.parts = append(c.parts, fits) }

func (c *queryCompiler) wrong(field, format string, args ...any) {
	c.problems = append(c.problems, experiment.Problem{Path: field, Message: fmt.Sprintf(format, args...)})
}

// name asks for one of those that there are.
func (c *queryCompiler) name(field, want string, known []string, of func(*experiment.LedgerLine) string) {
	if want == "" {
		return
	}
	known = slices.Clone(known)
	slices.Sort(known)
	known = slices.Compact(known)
	switch {
	case slices.Contains(known, want):
		c.part(func(l *experiment.LedgerLine) bool { return of(l) == want })
	case len(known) == 0:
		c.wrong(field, "is %q, and the ledger has none", want)
	default:
		c.wrong(field, "must be one of %s, not %q", strings.Join(known, ", "), want)
	}
}

var (
	statusWord = regexp.MustCompile(`^[1-5]([0-9]{2}|xx)$`)
	grpcWord   = regexp.MustCompile(`^grpc[ -]?([0-9]{1,3})$`)
	classWords = []string{"timeout", "reset", "refused", "closed", "dns", "truncated", "overrun", "other", "ended"}
)

func (c *queryCompiler) outcome(text string) {
	if text == "" {
		return
	}
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		grpc := grpcWord.FindStringSubmatch(word)
		switch {
		case grpc != nil:
			word = "grpc " + grpc[1]
		case statusWord.MatchString(word), slices.Contains(classWords, word), slices.Contains(c.known.classes, word):
		default:
			c.wrong("outcome", "must be a status such as 503, a class such as 5xx, grpc 14, or one of %s, not %q", strings.Join(classWords, ", "), word)
			return
		}
		words = append(words, word)
	}
	c.part(func(l *experiment.LedgerLine) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			family, ok := strings.CutSuffix(word, "xx")
			return l.Outcome == word || ok && len(l.Outcome) == 3 && strings.HasPrefix(l.Outcome, family)
		})
	})
}

// numbers asks for exchanges by number: 12,15-20.
func (c *queryCompiler) numbers(text string) {
	if text == "" {
		return
	}
	type span struct{ from, to uint64 }
	var spans []span
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimPrefix(strings.TrimSpace(word), "#")
		a, b, isRange := strings.Cut(word, "-")
		if !isRange {
			b = a
		}
		from, err := strconv.ParseUint(strings.TrimSpace(a), 10, 64)
		to, err2 := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(b), "#")), 10, 64)
		if err != nil || err2 != nil || from == 0 || to < from {
			c.wrong("no", "must be numbers of exchanges from 1 and ranges of them, such as 12,15-20, not %q", word)
			return
		}
		spans = append(spans, span{from, to})
	}
	c.part(func(l *experiment.LedgerLine) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.from <= l.No && l.No <= s.to })
	})
}

func (c *queryCompiler) call(n int) {
	switch {
	case n == 0:
	case n < 0 || n > c.known.calls && c.known.calls > 0:
		c.wrong("call", "must be from 1 to %d, not %d", c.known.calls, n)
	case c.known.calls == 0:
		c.wrong("call", "is %d, and the ledger has no calls", n)
	default:
		c.part(func(l *experiment.LedgerLine) bool { return l.Call != nil && l.Call.No == n })
	}
}

var traceWord = regexp.MustCompile(`^[0-9a-f]{4,32}$`)

func (c *queryCompiler) trace(text string) {
	if text == "" {
		return
	}
	text = strings.ToLower(text)
	if !traceWord.MatchString(text) {
		c.wrong("trace", "must be a trace id of 32 hexadecimal digits, or the first 4 of them at least, not %q", text)
		return
	}
	c.part(func(l *experiment.LedgerLine) bool { return strings.HasPrefix(l.TraceID.String(), text) })
}

func (c *queryCompiler) times(since, until string) {
	parse := func(field, text string) (d fault.Duration, ok bool) {
		if text == "" {
			return 0, false
		}
		if err := d.UnmarshalText([]byte(text)); err != nil {
			c.wrong(field, "must be how long after the start of the run, such as 12.5s or 1m30s, not %q", text)
			return 0, false
		}
		return d, true
	}
	from, hasFrom := parse("since", since)
	to, hasTo := parse("until", until)
	if hasFrom && hasTo && to <= from {
		c.wrong("until", "must be later than since, %s", from)
	}
	if hasFrom {
		c.part(func(l *experiment.LedgerLine) bool { return l.Offset >= from })
	}
	if hasTo {
		c.part(func(l *experiment.LedgerLine) bool { return l.Offset < to })
	}
}
