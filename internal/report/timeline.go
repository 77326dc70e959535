package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// timeline is what the page draws of one flow: stages, and three charts above
// one another that share the time axis.
type timeline struct {
	Name, Request, Rate string
	// Label says the charts in words, for those who do not see them.
	Label    string
	Segments []segment
	Shades   []span
	Marks    []mark
	MarkRows int
	Panels   []panel
	X        []tick
	Hits     []hit
	Overruns string
	// Thinned says how much time one place stands for, if more than one point.
	Thinned string
}

// span is a stretch of the time axis, in percent.
type span struct{ Left, Width string }

// segment is a stage, or a step of one, in the band above the charts.
type segment struct {
	span
	Label, Title string
	Hurt         bool
}

// mark is a moment: lift, recovered, deadline.
type mark struct {
	At, Label string
	Class     string
	Row       int
	Left      bool // the label stands left of its line
}

// panel is one chart.
type panel struct {
	Title, Class string
	Ticks        []yTick
	Area         string
	Bands, Lines []stroke
	Bounds       []bound
	Note         string
	Legend       []stroke
}

type yTick struct{ Top, Y, Label string }

type stroke struct{ Class, D, Label string }

// bound is where a gate draws the line, over the windows it is judged in.
type bound struct {
	X1, X2, Y, Top, Label string
	Below                 bool // the label has no room above the line
}

// hit is a place that tells its figures when pointed at.
type hit struct{ X, W, Title string }

// timelines draws every flow over the whole run.
func timelines(r *experiment.Run) []timeline {
	a := axisOf(r)
	var all []timeline
	for _, f := range r.Flows {
		all = append(all, flowTimeline(r, f, a))
	}
	if len(all) == 0 && (len(r.Windows) > 0 || r.Recovery != nil) {
		all = append(all, bare(r, a))
	}
	return all
}

// axisOf is the time from the first to the last thing of a run worth drawing.
func axisOf(r *experiment.Run) timeAxis {
	var a timeAxis
	cover := func(t time.Time) {
		if t.IsZero() {
			return
		}
		if a.from.IsZero() || t.Before(a.from) {
			a.from = t
		}
		if t.After(a.to) {
			a.to = t
		}
	}
	for _, w := range r.Windows {
		cover(w.Start)
		cover(w.End)
	}
	for _, f := range r.Flows {
		step := interval(f.Series)
		for _, p := range f.Series {
			cover(p.Time)
		}
		if n := len(f.Series); n > 0 && len(r.Windows) == 0 {
			cover(f.Series[n-1].Time.Add(step))
		}
	}
	if rec := r.Recovery; rec != nil {
		cover(rec.Lift)
		if rec.Took != nil {
			cover(rec.Lift.Add(rec.Took.Std()))
		}
	}
	if a.from.IsZero() {
		cover(r.Started)
		cover(r.Ended)
	}
	return a
}

// bare is a timeline without charts, for a run without traffic.
func bare(r *experiment.Run, a timeAxis) timeline {
	t := timeline{Name: "No synthetic traffic", X: a.ticks(6), Segments: segments(r, a), Shades: shades(r, a)}
	t.Marks, t.MarkRows = marks(r, a)
	t.Label = "Stages of the run: " + stagesInWords(r, a)
	return t
}

func flowTimeline(r *experiment.Run, f experiment.FlowResult, a timeAxis) timeline {
	t := bare(r, a)
	t.Name, t.Request, t.Rate = f.Name, f.Request, f.Rate
	if f.Overruns > 0 {
		t.Overruns = plural(f.Overruns, "request") + " could not be sent in time and " + wasWere(f.Overruns) + " counted as failed."
	}
	end := a.to
	if n := len(r.Windows); n > 0 {
		end = r.Windows[n-1].End
	}
	all := slots(f.Series, end, a)
	if len(all) == 0 {
		t.Label = "No second of " + f.Name + " was recorded."
		return t
	}
	if len(all) < len(f.Series) {
		t.Thinned = fmt.Sprintf("Each place stands for about %s; the line runs along its highest second, the tint down to its lowest.", dur((a.length() / maxSlots).Round(time.Second)))
	}
	t.Panels = []panel{ratePanel(all, a), errorPanel(r, f, all, a), latencyPanel(r, f, all, a)}
	t.Hits = hits(r, all, a)
	t.Label = inWords(r, f, all, a)
	return t
}

func wasWere(n uint64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// segments are the windows in the band above the charts.
func segments(r *experiment.Run, a timeAxis) []segment {
	var all []segment
	for _, w := range r.Windows {
		end := w.End
		if end.IsZero() {
			end = a.to
		}
		s := segment{span: between(a, w.Start, end), Label: string(w.Stage), Hurt: w.Stage == experiment.StageHurt}
		if w.Step != "" {
			s.Label = w.Step
		}
		s.Title = fmt.Sprintf("%s, %s to %s", w.Title(), dur(w.Start.Sub(a.from).Round(100*time.Millisecond)), dur(end.Sub(a.from).Round(100*time.Millisecond)))
		all = append(all, s)
	}
	return all
}

func between(a timeAxis, from, to time.Time) span {
	left, right := a.at(from), a.at(to)
	return span{place(left), place(max(right-left, 0.3))}
}

// shades are the times in which something was hurt: the hurt windows, else the
// times faults were in force.
func shades(r *experiment.Run, a timeAxis) []span {
	var all []span
	for _, w := range r.Windows {
		if w.Stage == experiment.StageHurt {
			end := w.End
			if end.IsZero() {
				end = a.to
			}
			all = append(all, between(a, w.Start, end))
		}
	}
	if len(all) > 0 {
		return all
	}
	for _, i := range r.Injections {
		end := a.to
		if r.Recovery != nil && r.Recovery.Lift.After(i.Since) {
			end = r.Recovery.Lift
		}
		if !i.Since.IsZero() && end.After(i.Since) {
			all = append(all, between(a, i.Since, end))
		}
	}
	return all
}

// marks are the moments of lift and recovery. Labels near the right border
// stand left of their line; those that could meet stand in a row of their own.
func marks(r *experiment.Run, a timeAxis) ([]mark, int) {
	var all []mark
	add := func(t time.Time, label, class string, left bool, row int) {
		at := a.at(t)
		if at > 75 {
			left = true
		} else if at < 15 {
			left = false
		}
		all = append(all, mark{At: place(at), Label: label, Class: class, Row: row, Left: left})
	}
	rec := r.Recovery
	switch {
	case rec != nil && !rec.Lift.IsZero():
		add(rec.Lift, "lift", "lift", true, 1)
		if rec.Took != nil {
			class := "recovered"
			if rec.Result == experiment.Fail {
				class = "late"
			}
			add(rec.Lift.Add(rec.Took.Std()), "recovered +"+dur(rec.Took.Std()), class, false, 2)
		}
		if due := rec.Lift.Add(rec.Within.Std()); rec.Result == experiment.Fail && !due.After(a.to) {
			add(due, "deadline +"+dur(rec.Within.Std()), "deadline", false, 3)
		}
	default:
		for _, w := range r.Windows {
			if w.Stage == experiment.StageLift {
				label := "lift"
				if r.Aborted != "" {
					label = "aborted: lift"
				}
				add(w.Start, label, "lift", true, 1)
			}
		}
	}
	rows := 0
	for i := range all {
		if i == 1 && all[1].Row == 2 && !all[1].Left && all[0].Left {
			all[1].Row = 1 // one label on each side of the two lines
		}
		if i > 0 && all[i].Row > all[i-1].Row+1 {
			all[i].Row = all[i-1].Row + 1
		}
		rows = max(rows, all[i].Row)
	}
	return all, rows
}

// hits tell the figures of each slot.
func hits(r *experiment.Run, all []slot, a timeAxis) []hit {
	hs := make([]hit, len(all))
	for i, s := range all {
		x0, x1 := a.x(s.from), a.x(s.to)
		hs[i] = hit{X: coord(x0), W: coord(max(x1-x0, 1)), Title: s.words(a, stageAt(r, s.mid()))}
	}
	return hs
}

func stageAt(r *experiment.Run, t time.Time) string {
	for _, w := range r.Windows {
		if !t.Before(w.Start) && (w.End.IsZero() || t.Before(w.End)) {
			return w.Title()
		}
	}
	return ""
}

// words are the figures of a slot, a line each.
func (s slot) words(a timeAxis, stage string) string {
	var b strings.Builder
	from := s.from.Sub(a.from).Round(100 * time.Millisecond)
	b.WriteString("at " + dur(from))
	if s.n > 1 {
		b.WriteString(" to " + dur(s.to.Sub(a.from).Round(100*time.Millisecond)))
	}
	if stage != "" {
		b.WriteString(", " + stage)
	}
	b.WriteString("\n" + plural(s.requests, "request"))
	if s.failed > 0 {
		fmt.Fprintf(&b, ", %s failed (%s)", count(s.failed), percent(s.failed, s.requests))
		if s.n > 1 {
			fmt.Fprintf(&b, ", %s in the worst second", percent(s.worstFailed, s.worstRequests))
		}
	}
	if s.latency {
		fmt.Fprintf(&b, "\np50 %s, p99 %s", millis(s.maxP50), millis(s.maxP99))
		if s.n > 1 {
			b.WriteString(" at most")
		}
	} else {
		b.WriteString("\nlatency: " + noData)
	}
	return b.String()
}

func stagesInWords(r *experiment.Run, a timeAxis) string {
	var parts []string
	for _, s := range segments(r, a) {
		parts = append(parts, s.Title)
	}
	return strings.Join(parts, "; ") + "."
}

// inWords says what the charts show.
func inWords(r *experiment.Run, f experiment.FlowResult, all []slot, a timeAxis) string {
	var top float64
	var requests, failed uint64
	for _, s := range all {
		top = max(top, s.maxP99)
		requests += s.requests
		failed += s.failed
	}
	return fmt.Sprintf("Three charts of %s over %s: requests per second, share of failures, and latency. %s in all, %s failed, the highest p99 of a second was %s. Stages: %s",
		f.Name, dur(a.length()), plural(requests, "request"), count(failed), millis(top), stagesInWords(r, a))
}
