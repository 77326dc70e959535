package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
)

// ledgerFlags are those of `ledger`.
type ledgerFlags struct {
	query       experiment.LedgerQuery
	route       string
	call, limit numberFlag
}

func (a *app) ledgerCommand() *cobra.Command {
	var f ledgerFlags
	cmd := &cobra.Command{
		Use:   "ledger RUN",
		Short: "Show what callers did in a run: every exchange, or every call",
		Long: `Shows the exchanges of a run, in the order in which they ended: each attempt that an
edge saw, and each request of the traffic as its users saw it. RUN is an id, the
beginning of one, or "last". Ledgers are read from the state folder, or from a
server that was named with --server or CHAOSCTL_SERVER.

CALL says which attempt of which call an exchange is, and BY what the attempts were
grouped by: an idempotency key, a request id, a trace, or the body and the times of
requests that look the same, with the probability that they belong together.

With -o json, one JSON object a line. All filters that are given must fit.`,
		Example: `  chaosctl ledger last --hurt
  chaosctl ledger last --edge 'api-service -> auth-service' --outcome 5xx,timeout
  chaosctl ledger last --no 12,15-20
  chaosctl ledger last --calls --failed --stage hurt --limit 20
  chaosctl ledger last --route 'GET /users/*' --since 10s --until 12.5s -o json`,
		Args:              arguments(1, 1, "one run: its id, the beginning of it, or last"),
		ValidArgsFunction: a.completeRuns,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.ledger(cmd.Context(), args[0], &f) },
	}
	f.register(cmd)
	a.remote.register(cmd, "no server: the state folder")
	a.registerState(cmd)
	a.completeLedger(cmd)
	return cmd
}

func (f *ledgerFlags) register(cmd *cobra.Command) {
	fs, q := cmd.Flags(), &f.query
	fs.StringVar(&q.Edge, "edge", "", "only those of one edge: `'caller -> callee'`")
	fs.StringVar(&q.Flow, "flow", "", "only requests of one `flow` of the traffic, as its users saw them")
	fs.StringVar(&f.route, "route", "", "only one route: `'GET /users/*'`, or its path alone")
	fs.StringVar(&q.Path, "path", "", "only paths that fit a `glob`: * stops at a slash, ** does not")
	fs.StringVar(&q.Method, "method", "", "only one `method`")
	fs.StringVar(&q.Outcome, "outcome", "", "only those that ended so: `503`, 5xx, timeout, reset, 'grpc 14'; several with commas")
	fs.BoolVar(&q.Failed, "failed", false, "only those that failed: no whole answer, 429, 5xx; of the traffic, no success")
	fs.BoolVar(&q.Hurt, "hurt", false, "only those that a fault was applied to")
	fs.StringVar(&q.Stage, "stage", "", "only those that began in one `stage`")
	fs.StringVar(&q.Step, "step", "", "only those that began in one `step`")
	fs.StringVar(&q.No, "no", "", "only these `numbers`, as evidence in reports gives them: 12,15-20")
	fs.Var(&f.call, "call", "only the attempts of one call, by its number `N`")
	fs.StringVar(&q.Trace, "trace", "", "only those of one trace: its `id` or the beginning of it")
	fs.StringVar(&q.Since, "since", "", "only those that began this long after the run did, or later: `12.5s`")
	fs.StringVar(&q.Until, "until", "", "only those that began less than this long after the run did: `1m30s`")
	fs.Var(&f.limit, "limit", "at most `N` of them")
	fs.BoolVar(&q.Calls, "calls", false, "a line for each call that has an exchange which fits: its attempts and the waits between them")
}

// numberFlag is a whole number from 1, or not given.
type numberFlag struct{ n int }

func (f *numberFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return fmt.Errorf("must be a whole number from 1, not %q", s)
	}
	f.n = n
	return nil
}

func (f *numberFlag) String() string { return strconv.Itoa(f.n) }
func (f *numberFlag) Type() string   { return "N" }

// check makes one query of all flags.
func (f *ledgerFlags) check() (experiment.LedgerQuery, error) {
	q := f.query
	q.Call, q.Limit = f.call.n, f.limit.n
	if f.route != "" {
		method, path, both := strings.Cut(strings.TrimSpace(f.route), " ")
		if !both {
			method, path = "", method
		}
		switch {
		case q.Path != "":
			return q, badInput("", "--route and --path both say a path; leave one out")
		case both && q.Method != "":
			return q, badInput("", "--route and --method both say a method; leave one out")
		case both:
			q.Method = method
		}
		q.Path = strings.TrimSpace(path)
		if !strings.ContainsAny(q.Path[:min(1, len(q.Path))], "/*~") {
			return q, badInput("for example: --route 'GET /users/*'", "--route must be a method and a path, or a path alone, not %q", f.route)
		}
	}
	return q, nil
}

// ledger shows what fits. It holds no more than a few hundred lines at a time.
func (a *app) ledger(ctx context.Context, word string, f *ledgerFlags) error {
	q, err := f.check()
	if err != nil {
		return err
	}
	src, err := a.records()
	if err != nil {
		return err
	}
	id, record, err := a.findLedger(ctx, src, word)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(a.env.Stdout, 64<<10)
	var p ledgerPrinter
	switch {
	case a.json():
		p = newJSONLines(out, q.Calls)
	case q.Calls:
		p = &callTable{table: newTable(out, a.style(a.env.Stdout), callHead), open: map[int]*openCall{}}
	default:
		p = &lineTable{newTable(out, a.style(a.env.Stdout), lineHead)}
	}
	n := 0
	err = src.ledger(ctx, id, record, q, func(l *experiment.LedgerLine) error {
		n++
		if err := ctx.Err(); err != nil {
			return err
		}
		return p.add(l)
	})
	if err == nil {
		err = p.end()
	}
	if ferr := out.Flush(); err == nil { // else it is the same, or comes of it
		err = ferr
	}
	if err != nil {
		if errors.Is(err, syscall.EPIPE) {
			return nil // whoever read it has had enough
		}
		return flagProblems(err)
	}
	if n == 0 && !a.json() {
		a.printf("no exchange fits\n")
	}
	a.noteLedger(id, record)
	return nil
}

// noteLedger says what the ledger lacks.
func (a *app) noteLedger(id string, r *experiment.Run) {
	switch {
	case r == nil:
		a.say("note: run %s has no record, its process was killed: the ledger may lack its end, and stages are not known", id)
	case r.Stage != experiment.StageDone:
		a.say("note: the run goes on; this is what was written so far")
	case r.Ledger != nil:
		s := r.Ledger
		if s.Why != "" {
			a.say("note: %s", s.Why)
		}
		if all := s.Exchanges + s.Requests; s.Judged < all {
			why := "" // what was said above may be the reason
			if s.Why == "" {
				why = "; there was no room for more"
			}
			a.say("note: %d of %d exchanges were grouped into calls%s", s.Judged, all, why)
		}
	}
}

// findLedger finds a run as `report` does; one that was killed has a ledger but no
// record.
func (a *app) findLedger(ctx context.Context, src records, word string) (id string, r *experiment.Run, err error) {
	if strings.TrimSpace(word) == "" {
		return "", nil, badInput("`chaosctl report` lists them", "the id of the run is empty")
	}
	r, err = a.findRecord(ctx, src, word)
	if err == nil {
		return r.ID, r, nil
	}
	stored, local := src.(storedRecords)
	e, known := experiment.AsError(err)
	if !local || !known || e.Code != experiment.NotFound || !strings.HasPrefix(word, "r-") {
		return "", nil, err
	}
	fits, gerr := filepath.Glob(filepath.Join(stored.dir, "runs", "r-*.ledger"))
	if gerr != nil {
		return "", nil, err
	}
	for i, path := range fits {
		fits[i] = strings.TrimSuffix(filepath.Base(path), ".ledger")
	}
	fits = slices.DeleteFunc(fits, func(id string) bool { return !strings.HasPrefix(id, word) })
	switch len(fits) {
	case 0:
		return "", nil, err
	case 1:
		return fits[0], nil, nil
	}
	return "", nil, badInput("", "%q fits several runs: %s", word, strings.Join(fits, ", "))
}

func (s storedRecords) ledger(_ context.Context, id string, r *experiment.Run, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	return engine.LedgerLines(s.dir, id, r, q, each)
}

func (r remoteRecords) ledger(ctx context.Context, id string, _ *experiment.Run, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	return r.a.remoteError(r.c.Ledger(ctx, id, q, each))
}

// flagProblems names the flags where a query's fields are at fault.
func flagProblems(err error) error {
	e, ok := experiment.AsError(err)
	if !ok || e.Code != experiment.BadInput || len(e.Problems) == 0 {
		return err
	}
	var errs []error
	for _, p := range e.Problems {
		field := strings.TrimPrefix(p.Path, "query.")
		errs = append(errs, badInput("", "--%s %s", field, p.Message))
	}
	return merge(errs)
}

// jsonLines prints lines, or calls, as one JSON object each.
type jsonLines struct {
	enc   *json.Encoder
	calls map[int]*openCall // nil without
}

func newJSONLines(w *bufio.Writer, calls bool) *jsonLines {
	j := &jsonLines{enc: json.NewEncoder(w)}
	j.enc.SetEscapeHTML(false)
	if calls {
		j.calls = map[int]*openCall{}
	}
	return j
}

func (j *jsonLines) add(l *experiment.LedgerLine) error {
	if j.calls == nil {
		return j.enc.Encode(l)
	}
	if c := gather(j.calls, l); c != nil {
		return j.enc.Encode(c)
	}
	return nil
}

func (j *jsonLines) end() error {
	for _, c := range left(j.calls) {
		if err := j.enc.Encode(c); err != nil {
			return err
		}
	}
	return nil
}

// completeLedger offers what the run on the line has.
func (a *app) completeLedger(cmd *cobra.Command) {
	of := func(pick func(*experiment.Run) []string) cobra.CompletionFunc {
		return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			src, err := a.records()
			if err != nil || len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
			defer cancel()
			r, err := a.findRecord(ctx, src, args[0])
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			list := pick(r)
			slices.Sort(list)
			return slices.Compact(list), cobra.ShellCompDirectiveNoFileComp
		}
	}
	_ = cmd.RegisterFlagCompletionFunc("edge", of(func(r *experiment.Run) (list []string) {
		for _, e := range r.Edges {
			list = append(list, e.Name)
		}
		return list
	}))
	_ = cmd.RegisterFlagCompletionFunc("flow", of(func(r *experiment.Run) (list []string) {
		for _, f := range r.Flows {
			list = append(list, f.Name)
		}
		return list
	}))
	_ = cmd.RegisterFlagCompletionFunc("step", of(func(r *experiment.Run) (list []string) {
		for _, w := range r.Windows {
			if w.Step != "" {
				list = append(list, w.Step)
			}
		}
		return list
	}))
	_ = cmd.RegisterFlagCompletionFunc("stage", of(func(r *experiment.Run) (list []string) {
		for _, w := range r.Windows {
			list = append(list, string(w.Stage))
		}
		return list
	}))
	_ = cmd.RegisterFlagCompletionFunc("outcome", fixed("4xx", "5xx", "timeout", "reset", "refused", "closed", "truncated", "overrun"))
	_ = cmd.RegisterFlagCompletionFunc("method", fixed("GET", "POST", "PUT", "PATCH", "DELETE"))
}
