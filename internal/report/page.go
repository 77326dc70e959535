package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// page is all that the HTML template shows, in words and places.
type page struct {
	Run       *experiment.Run
	Verdict   chip
	Lead      string
	More      []string
	Graceful  graceful
	Working   working
	Outage    outage
	Aside     string // what a reader of the verdict should not miss
	Weak      weaknesses
	Graph     *graph
	Callers   []*callerView
	Outcomes  []outcomeTable
	Meanings  []class
	Expect    []expectRow
	Remarks   []string
	Keys      []keyRow
	HurtTitle string
	Hurt      []hurtRow
	Timelines []timeline
	Gates     []gateRow
	Broken    string // "2 of 12 broken", in words
	Probes    []probeRow
	Flows     []flowView
	Steps     []stepView
	Facts     []labelled
	Took      string
	Started   string
	Repeat    string
}

// chip is a result in a word with its tone.
type chip struct {
	Word string
	Tone tone
}

type labelled struct{ Label, Text string }

// figure is one measured value in the first screen.
type figure struct {
	Value, Rule, Where string
	Tone               tone
}

// keyRow holds a flow's success and p99 before, during and after.
type keyRow struct {
	Flow, Request string
	Columns       []keyColumn
}

type keyColumn struct {
	Stage        string
	Success, P99 figure
}

type gateRow struct {
	experiment.GateResult
	Window, Shown, Count string
	chip
}

type probeRow struct {
	experiment.ProbeResult
	chip
	Good, Bad string // path data of the strip
	Failures  []string
	Label     string
}

type flowView struct {
	experiment.FlowResult
	Rows []flowRow
}

type flowRow struct {
	Window, Requests, Success         string
	P50, P90, P95, P99, P999, Max, At string
	Statuses                          []labelled
}

type stepView struct {
	experiment.PlanStep
	Title string
	Edges []reachView
}

type reachView struct {
	experiment.Reach
	chip
}

func newPage(r *experiment.Run) page {
	p := page{Run: r, Remarks: remarks(r), Repeat: repeatCommand(r), Timelines: timelines(r)}
	p.Verdict.Word, p.Verdict.Tone = verdictWord(r.Verdict)
	why := reasons(r)
	p.Lead, p.More = why[0], why[1:]
	p.HurtTitle = "hurt"
	if n := hurtWindows(r); n > 1 {
		p.HurtTitle = "hurt, worst step"
	}
	for _, f := range r.Flows {
		p.Keys = append(p.Keys, keyOf(r, f, p.HurtTitle))
		p.Flows = append(p.Flows, flowOf(f))
	}
	a := axisOf(r)
	p.Hurt = hurtOf(r, a)
	p.judged(r, a)
	p.Gates, p.Broken = gatesOf(r.Gates)
	for _, b := range r.Probes {
		p.Probes = append(p.Probes, probeOf(b, a))
	}
	for i, s := range r.Plan.Steps {
		p.Steps = append(p.Steps, stepOf(i, s))
	}
	if d := elapsed(r); d > 0 {
		p.Took = dur(d)
	}
	if !r.Started.IsZero() {
		p.Started = r.Started.UTC().Format("2 January 2006, 15:04:05 UTC")
	}
	p.Facts = facts(r, p)
	return p
}

// judged fills in what the judge found. Exchanges that lanes show can be linked to, so
// lanes come first.
func (p *page) judged(r *experiment.Run, a timeAxis) {
	drawn := map[uint64]bool{}
	p.Callers = callersOf(r, a, drawn)
	p.Expect = expectOf(r, drawn)
	p.Graceful = gracefulOf(r)
	p.Weak = weaknessesOf(r, drawn)
	p.Working = workingOf(r, p.Expect, p.Weak.Rows)
	p.Outage = outageOf(r, p.Hurt)
	p.Outcomes = outcomeTables(r, drawn)
	p.Meanings = classes()
	p.Aside = aside(r)
	p.Graph = graphOf(r)
}

func hurtWindows(r *experiment.Run) int {
	n := 0
	for _, w := range r.Windows {
		if w.Stage == experiment.StageHurt {
			n++
		}
	}
	return n
}

// keyOf sums a flow up. Of several steps the worst is shown, and named.
func keyOf(r *experiment.Run, f experiment.FlowResult, hurtTitle string) keyRow {
	row := keyRow{Flow: f.Name, Request: f.Request}
	for _, stage := range []experiment.Stage{experiment.StageSteady, experiment.StageHurt, experiment.StageRecovery} {
		c := keyColumn{Stage: string(stage), Success: figure{Value: noData, Tone: toneNone}, P99: figure{Value: noData, Tone: toneNone}}
		if stage == experiment.StageHurt {
			c.Stage = hurtTitle
		}
		var low, high *experiment.FlowWindow
		for i := range f.Windows {
			w := &f.Windows[i]
			if w.Stage != stage || w.Requests == 0 {
				continue
			}
			if low == nil || share(w) < share(low) {
				low = w
			}
			if high == nil || w.P99 > high.P99 {
				high = w
			}
		}
		if low != nil {
			c.Success = gated(r, f.Name, "success", low, percent(low.Successes, low.Requests))
			if low.Successes == low.Requests { // then no step is worse than another
				c.Success.Where = ""
			}
			c.P99 = gated(r, f.Name, "p99", high, latency(high.P99, high.Requests))
		}
		row.Columns = append(row.Columns, c)
	}
	return row
}

func share(w *experiment.FlowWindow) float64 { return float64(w.Successes) / float64(w.Requests) }

// gated is a figure with the rule it was judged by in that window, if any: the
// broken one, if one is broken.
func gated(r *experiment.Run, flow, name string, w *experiment.FlowWindow, value string) figure {
	fig := figure{Value: value, Tone: toneNone}
	if hurtWindows(r) > 1 && w.Stage == experiment.StageHurt {
		fig.Where = w.Step
	}
	for _, g := range r.Gates {
		if g.Of != flow || g.Figure != name || g.Stage != w.Stage || g.Step != w.Step {
			continue
		}
		if fig.Tone == toneBad {
			break
		}
		fig.Rule = g.Rule
		_, fig.Tone = gateWord(g.Result)
	}
	return fig
}

// gatesOf puts what did not hold first, and counts.
func gatesOf(gates []experiment.GateResult) ([]gateRow, string) {
	var rows []gateRow
	n := map[tone]int{}
	for _, g := range gates {
		row := gateRow{GateResult: g, Window: window(g.Stage, g.Step), Shown: value(g.Value), Count: count(g.Samples)}
		row.Word, row.Tone = gateWord(g.Result)
		n[row.Tone]++
		rows = append(rows, row)
	}
	rank := map[tone]int{toneBad: 0, toneWarn: 1, toneGood: 2}
	slices.SortStableFunc(rows, func(x, y gateRow) int { return cmp.Compare(rank[x.Tone], rank[y.Tone]) })
	return rows, tally(n, "broken", noData, "held")
}

// maxDetails is how many failures of a probe are told in words.
const maxDetails = 5

func probeOf(b experiment.ProbeResult, a timeAxis) probeRow {
	row := probeRow{ProbeResult: b}
	row.Word, row.Tone = probeWord(b.Result)
	const places = 500
	good, bad := map[int]bool{}, map[int]bool{}
	more := 0
	for _, s := range b.Points {
		at := int(a.at(s.Time) * places / 100)
		if s.OK {
			good[at] = true
			continue
		}
		bad[at] = true
		if len(row.Failures) == maxDetails {
			more++
			continue
		}
		row.Failures = append(row.Failures, fmt.Sprintf("%s (%s): %s", dur(s.Time.Sub(a.from).Round(100*time.Millisecond)), s.Stage, value(s.Detail)))
	}
	if more > 0 {
		row.Failures = append(row.Failures, fmt.Sprintf("and %d more", more))
	}
	var g, x strings.Builder
	for at := range places + 1 {
		pos := coord(float64(at) * plotWidth / places)
		switch { // a failure hides the successes of its place, never the other way round
		case bad[at]:
			x.WriteString("M" + pos + " 0V24")
		case good[at]:
			g.WriteString("M" + pos + " 9V15")
		}
	}
	row.Good, row.Bad = g.String(), x.String()
	row.Label = fmt.Sprintf("%s over the run: %d of %d failed", b.Probe, b.Failed, b.Taken)
	return row
}

func flowOf(f experiment.FlowResult) flowView {
	v := flowView{FlowResult: f}
	for _, w := range f.Windows {
		n := w.Requests
		row := flowRow{Window: window(w.Stage, w.Step), Requests: count(n), Success: percent(w.Successes, n),
			P50: latency(w.P50, n), P90: latency(w.P90, n), P95: latency(w.P95, n), P99: latency(w.P99, n),
			P999: latency(w.P999, n), Max: latency(w.Max, n), At: latency(w.ServiceP99, n)}
		for _, s := range sortedStatuses(w.Statuses) {
			row.Statuses = append(row.Statuses, labelled{s, count(w.Statuses[s])})
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// sortedStatuses orders by number, the most frequent first.
func sortedStatuses(statuses map[string]uint64) []string {
	names := make([]string, 0, len(statuses))
	for s := range statuses {
		names = append(names, s)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(statuses[y], statuses[x]), cmp.Compare(x, y))
	})
	return names
}

func stepOf(i int, s experiment.PlanStep) stepView {
	v := stepView{PlanStep: s, Title: fmt.Sprintf("Step %d", i+1)}
	if s.Name != "" {
		v.Title += ": " + s.Name
	}
	for _, e := range s.Reach {
		v.Edges = append(v.Edges, reachView{e, chip{e.State, reachTone(e.State)}})
	}
	return v
}

func facts(r *experiment.Run, p page) []labelled {
	var all []labelled
	add := func(label, text string) {
		if text != "" {
			all = append(all, labelled{label, text})
		}
	}
	add("Run", r.ID)
	add("Started", p.Started)
	add("Took", p.Took)
	if r.Stage != experiment.StageDone {
		add("Stage", string(r.Stage))
	}
	add("Topology", r.Topology)
	add("Environment", r.Environ)
	add("Started by", r.Actor)
	add("Seed", fmt.Sprint(r.Seed))
	version := r.Version.Chaosctl
	if r.Version.Commit != "" {
		version += " (" + r.Version.Commit + ")"
	}
	add("chaosctl", version)
	add("Go", r.Version.Go)
	if r.Version.OS != "" {
		add("Machine", r.Version.OS+"/"+r.Version.Arch)
	}
	if r.Verdict != nil {
		add("Exit code", fmt.Sprint(r.Verdict.Exit))
	}
	return all
}
