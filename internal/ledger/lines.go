package ledger

import (
	"fmt"
	"strconv"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Lines hands the exchanges of a ledger file that fit a query to each, in the order of
// their numbers, until each returns an error, which it returns. A line is valid until
// each returns. r is the record of the run; nil if it has none. What is wrong with the
// query is experiment.Problems, each with the name of the query's field as its path.
func Lines(path string, r *experiment.Run, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	info, err := Peek(path)
	if err != nil {
		return err
	}
	if r == nil {
		r = &experiment.Run{ID: info.Run, Experiment: info.Experiment, Started: info.Started}
	}
	t := &lineTeller{run: r}
	known, err := t.group(path)
	if err != nil {
		return err
	}
	f, problems := compileQuery(q, known)
	if len(problems) > 0 {
		return problems
	}
	if q.Calls {
		if f.calls, err = t.callsThatFit(path, f, q.Limit); err != nil {
			return err
		}
		q.Limit = 0
	}
	told := 0
	err = Scan(path, func(x *experiment.Exchange) error {
		l := t.line(x)
		if !f.fits(l) {
			return nil
		}
		if err := each(l); err != nil {
			return err
		}
		if told++; told == q.Limit {
			return errEnough
		}
		return nil
	})
	if err == errEnough {
		return nil
	}
	return err
}

var errEnough = fmt.Errorf("enough")

// lineTeller says what a run knows about its exchanges.
type lineTeller struct {
	run   *experiment.Run
	calls []experiment.LedgerCall // without Attempt
	of    map[uint64]callPlace
	out   experiment.LedgerLine
	call  experiment.LedgerCall
}

// callPlace of an exchange among the calls.
type callPlace struct{ call, attempt int32 }

// group finds the calls, and what names there are.
func (t *lineTeller) group(path string) (queryNames, error) {
	b, err := Load(path, 0, t.run.Windows...)
	if err != nil {
		return queryNames{}, err
	}
	v := Look(b, t.run)
	t.of = make(map[uint64]callPlace, len(b.Entries))
	t.calls = make([]experiment.LedgerCall, len(v.Calls))
	for i, c := range v.Calls {
		t.calls[i] = experiment.LedgerCall{No: i + 1, Of: len(c.Attempts), By: c.By, Sure: c.Sure}
		for k, e := range c.Attempts {
			t.of[b.Entries[e].No] = callPlace{int32(i), int32(k + 1)}
		}
	}
	n := queryNames{flows: b.Flows, classes: b.Classes, calls: len(t.calls), recorded: len(t.run.Windows) > 0}
	for _, e := range b.Edges {
		n.edges = append(n.edges, e.Name)
	}
	for _, e := range t.run.Edges {
		n.edges = append(n.edges, e.Name)
	}
	for _, w := range t.run.Windows {
		n.stages = append(n.stages, string(w.Stage))
		if w.Step != "" {
			n.steps = append(n.steps, w.Step)
		}
	}
	return n, nil
}

// callsThatFit are the calls of which an attempt fits, at most limit.
func (t *lineTeller) callsThatFit(path string, f *lineFilter, limit int) (map[int]bool, error) {
	calls := map[int]bool{}
	err := Scan(path, func(x *experiment.Exchange) error {
		if l := t.line(x); l.Call != nil && !calls[l.Call.No] && f.fits(l) {
			calls[l.Call.No] = true
		}
		if limit > 0 && len(calls) == limit {
			return errEnough
		}
		return nil
	})
	if err == errEnough {
		err = nil
	}
	return calls, err
}

// line is valid until the next call.
func (t *lineTeller) line(x *experiment.Exchange) *experiment.LedgerLine {
	l := &t.out
	*l = experiment.LedgerLine{
		Exchange: *x, Offset: fault.Duration(x.Start.Sub(t.run.Started.Round(0)).Round(time.Microsecond)), Took: fault.Duration(x.End.Sub(x.Start)),
	}
	l.Outcome, l.Failed = outcomeOf(x)
	for _, w := range t.run.Windows {
		if !x.Start.Before(w.Start.Round(0)) && (w.End.IsZero() || x.Start.Before(w.End.Round(0))) {
			l.Stage, l.Step = w.Stage, w.Step
		}
	}
	if p, ok := t.of[x.No]; ok {
		t.call = t.calls[p.call]
		t.call.Attempt = int(p.attempt)
		l.Call = &t.call
	}
	return l
}

// outcomeOf is how an exchange ended, in a word, and whether that is a failure.
func outcomeOf(x *experiment.Exchange) (word string, failed bool) {
	if x.Flow != "" {
		if x.Class != "" {
			return x.Class, !x.OK
		}
		return strconv.Itoa(x.Status), !x.OK
	}
	e := Entry{Status: int16(min(max(x.Status, 0), 999)), GRPC: NoGRPC, Cut: x.Cut, Flow: -1, Route: -1}
	if x.Method != "" {
		e.Route = 0 // which one does not matter
	}
	if x.GRPC != nil {
		e.GRPC = int16(min(max(*x.GRPC, -1), 999))
	}
	if x.EndedBy == experiment.EndedByCaller {
		e.EndedBy = Caller
	}
	return e.Outcome(), e.Failed()
}
