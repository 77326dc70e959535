package ledger

import (
	"fmt"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// figures says how the exchanges of an edge were put together to calls, and sums them up
// over the windows of the run.
func (v *View) figures(edge int32, b *experiment.EdgeBehaviour) {
	b.Windows = v.windows(edge)
	g := &b.Grouping
	g.By = map[experiment.Keying]uint64{}
	for c := range v.Calls {
		if v.Calls[c].Edge == edge {
			g.Calls++
			g.By[v.Calls[c].By]++
		}
	}
	var attempts, guessed uint64
	var right float64
	bytes := true
	for i := range v.Entries {
		if e := &v.Entries[i]; e.Edge == edge && e.Flow < 0 {
			attempts++
			right += float64(v.right[i])
			bytes = bytes && e.Route < 0
			if by := v.Calls[v.CallOf[i]].By; by == experiment.ByBody || by == experiment.Unkeyed {
				guessed++
			}
		}
	}
	if attempts == 0 {
		g.Why = "no exchange was seen"
		return
	}
	g.Sure = right / float64(attempts)
	g.Why = groupingWords(g, attempts, guessed, bytes)
	if v.Alone[edge] != "" && v.Edges[edge].From != experiment.Users {
		g.Why += "; " + v.Alone[edge]
	}
}

// groupingWords is the sentence.
func groupingWords(g *experiment.Grouping, attempts, guessed uint64, bytes bool) string {
	if bytes {
		return "connections are not put together: each is a call of one attempt"
	}
	names := map[experiment.Keying]string{
		experiment.ByIdempotency: "idempotency key", experiment.ByRequestID: "request id", experiment.ByTrace: "W3C trace id",
	}
	var by []string
	for _, k := range []experiment.Keying{experiment.ByIdempotency, experiment.ByRequestID, experiment.ByTrace} {
		if g.By[k] > 0 {
			by = append(by, names[k])
		}
	}
	statistics := fmt.Sprintf("no id is passed on: %d attempts were put together by caller, method, path and body, and by their times; about %.0f %% of them are right", guessed, 100*g.Sure)
	switch {
	case guessed == 0 && g.Sure > 0.999:
		return "grouped by " + strings.Join(by, " and ") + ": exact"
	case guessed == 0:
		return fmt.Sprintf("grouped by %s, and by their times where calls above overlap: about %.0f %% of %d attempts are right", strings.Join(by, " and "), 100*g.Sure, attempts)
	case len(by) == 0:
		return statistics
	}
	return fmt.Sprintf("%d of %d attempts were grouped by %s; on the others %s", attempts-guessed, attempts, strings.Join(by, " and "), statistics)
}

// windows sums an edge up over the stages and steps.
func (v *View) windows(edge int32) []experiment.EdgeWindow {
	all := make([]experiment.EdgeWindow, len(v.Spans))
	calls, tried := make([]uint64, len(all)), make([]uint64, len(all))
	for i := range v.Entries {
		e := &v.Entries[i]
		s := v.spanOf(e.Start)
		if e.Edge != edge || e.Flow >= 0 || s < 0 {
			continue
		}
		w := &all[s]
		w.Exchanges++
		if e.Failed() {
			w.Failed++
		}
		if e.Hurt {
			w.Hurt++
		}
	}
	for c := range v.Calls {
		call := &v.Calls[c]
		if s := v.spanOf(v.Entries[call.Attempts[0]].Start); call.Edge == edge && s >= 0 {
			calls[s]++
			tried[s] += uint64(len(call.Attempts))
		}
	}
	for s := range all {
		w := &all[s]
		w.Stage, w.Step, w.Calls = v.Spans[s].Stage, v.Spans[s].Step, calls[s]
		if calls[s] > 0 {
			w.Attempts = float64(tried[s]) / float64(calls[s])
		}
		if d := min(v.Spans[s].To, v.end()) - v.Spans[s].From; d > 0 {
			w.Rate = float64(w.Exchanges) / d.Seconds()
		}
	}
	return all
}

// end is the latest start.
func (v *View) end() time.Duration {
	if len(v.Entries) == 0 {
		return 0
	}
	return v.Entries[len(v.Entries)-1].Start
}

// spanOf is the number of the window that holds an instant, -1 if none does.
func (v *View) spanOf(d time.Duration) int {
	for s := range v.Spans {
		if d >= v.Spans[s].From && d < v.Spans[s].To {
			return s
		}
	}
	return -1
}
