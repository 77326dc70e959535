package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// callerView is all that is known of one edge: what its caller did, in words, in
// figures and drawn.
type callerView struct {
	caller
	ID       string
	Open     bool // shown at once; others open upon a click
	State    chip
	Windows  []callWindow
	Grouping string
	Figures  []figureRow
	Breaker  *breakerStrip
	Lane     *laneView
	Bytes    bool // its bytes alone are seen
}

// callWindow sums an edge over one stage.
type callWindow struct {
	Window, Rate, Calls, Attempts, Failed, Hurt string
	Bad                                         bool
}

// laneView draws calls, a row each, all to the same scale.
type laneView struct {
	Calls []laneCallView
	Of    string
	Ticks []placed
}

type placed struct {
	At, Label string
	Last      bool // its label would leave the drawing
}

type laneCallView struct {
	Title, End string
	Tone       tone
	Bars       []laneBar
	Tries      []laneTry
	More       string
}

// laneBar is an attempt, or the wait between two.
type laneBar struct {
	Left, Width string
	Class       string
	Text, Title string
}

// laneTry is an attempt, or a wait, in words.
type laneTry struct {
	Wait          string
	ID, No        string
	Outcome, Took string
	Failed, Hurt  bool
}

// breakerStrip is the states of a breaker over the run.
type breakerStrip struct {
	Stages []segment
	Spans  []breakerBar
	X      []tick
	Label  string
	More   string
}

type breakerBar struct {
	span
	Class, Label, Title string
}

// callersOf draws all edges, those on which something happened first. Exchanges that
// are drawn are added to drawn.
func callersOf(r *experiment.Run, a timeAxis, drawn map[uint64]bool) []*callerView {
	lanes := map[string]*experiment.Lane{}
	for i := range r.Lanes {
		if l := &r.Lanes[i]; lanes[l.Edge] == nil {
			lanes[l.Edge] = l
		}
	}
	facts := map[string]edgeFacts{}
	for _, f := range edgesOf(r) {
		facts[f.id] = f
	}
	var all, rest []*callerView
	figures := map[*callerView]*experiment.EdgeBehaviour{}
	for i := range r.Behaviour {
		b := &r.Behaviour[i]
		v := &callerView{caller: callerOf(b), ID: "edge-" + strconv.Itoa(i+1), Open: isTested(b) && !ofUsers(b.Edge), Bytes: connectionsOnly(b), Windows: callWindows(b), Grouping: groupingWords(&b.Grouping)}
		v.State = chip{noData, toneNone}
		if f, ok := facts[v.ID]; ok {
			v.State = chip{f.word, stateTone(f.state)}
		}
		if !v.Bytes {
			figures[v] = b
			v.Breaker = breakerOf(r, &b.Breaker, a)
			if l := lanes[b.Edge]; l != nil {
				v.Lane = laneOf(l, a, drawn)
			}
			delete(lanes, b.Edge)
		}
		if v.Open {
			all = append(all, v)
		} else {
			rest = append(rest, v)
		}
	}
	all = append(all, rest...)
	for v, b := range figures { // now it is known which exchanges can be linked to
		v.Figures = figuresOf(b, drawn)
	}
	return all
}

func callWindows(b *experiment.EdgeBehaviour) []callWindow {
	var rows []callWindow
	for _, w := range b.Windows {
		row := callWindow{Window: window(w.Stage, w.Step), Rate: rateWords(w.Rate), Calls: count(w.Calls), Attempts: "–",
			Failed: rough(min(w.Failed, w.Exchanges), w.Exchanges), Hurt: rough(min(w.Hurt, w.Exchanges), w.Exchanges), Bad: w.Failed > 0}
		if w.Calls > 0 {
			row.Attempts = perCall(w.Attempts)
		}
		rows = append(rows, row)
	}
	return rows
}

// rateWords is a rate per second.
func rateWords(v float64) string {
	switch {
	case !(v >= 0) || v > 1e12:
		return "unknown"
	case v == 0:
		return "0/s"
	case v >= 10:
		return count(uint64(v+.5)) + "/s"
	case v < 0.01:
		return "under 0.01/s"
	}
	return digits(v) + "/s"
}

// perCall writes attempts per call, with two decimals.
func perCall(v float64) string {
	if !(v >= 0) || v > 1e12 {
		return "unknown"
	}
	if v >= 99.5 {
		return count(uint64(v + .5))
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0"), ".")
}

// groupingWords says how sure it is which attempts belong together.
func groupingWords(g *experiment.Grouping) string {
	switch {
	case g.Why != "":
		return sentence(g.Why)
	case g.Calls == 0:
		return "No call was seen here."
	}
	return "It is not said how attempts were put together."
}

func laneOf(l *experiment.Lane, a timeAxis, drawn map[uint64]bool) *laneView {
	const most = 60
	v := &laneView{}
	calls := l.Calls[:min(len(l.Calls), most)]
	longest := time.Millisecond
	for i := range calls {
		if n := len(calls[i].Attempts); n > 0 {
			for _, t := range calls[i].Attempts {
				longest = max(longest, t.End.Sub(calls[i].Attempts[0].Start))
			}
		}
	}
	for i := range calls {
		if len(calls[i].Attempts) > 0 {
			v.Calls = append(v.Calls, laneCallOf(&calls[i], longest, a, drawn))
		}
	}
	if len(v.Calls) == 0 {
		return nil
	}
	v.Of = fmt.Sprintf("%s of %s", count(uint64(len(v.Calls))), plural(max(l.Of, uint64(len(v.Calls))), "call"))
	ms := float64(longest) / float64(time.Millisecond)
	step := niceStep(ms / 4)
	for t := 0.0; t <= ms && len(v.Ticks) < 9; t += step {
		label := "0"
		if t > 0 {
			label = millis(t)
		}
		v.Ticks = append(v.Ticks, placed{place(100 * t / ms), label, t > .93*ms})
	}
	return v
}

// room is the percent of the width that a label needs; below narrow it has none on a
// small screen.
const (
	room   = 5.5
	narrow = 17.0
)

// laneCallOf lays out the attempts of one call, and the waits between them.
func laneCallOf(c *experiment.LaneCall, longest time.Duration, a timeAxis, drawn map[uint64]bool) laneCallView {
	from := c.Attempts[0].Start
	at := func(t time.Time) float64 { return min(max(100*float64(t.Sub(from))/float64(longest), 0), 100) }
	v := laneCallView{Title: fmt.Sprintf("%s, %s into the run", stageWords(c), dur(max(from.Sub(a.from), 0).Round(100*time.Millisecond)))}
	v.End, v.Tone = endWords(c)
	for i, t := range c.Attempts {
		took := max(t.End.Sub(t.Start), 0)
		if i > 0 {
			gap := t.Start.Sub(c.Attempts[i-1].End)
			if gap >= 0 {
				left, right := at(c.Attempts[i-1].End), at(t.Start)
				bar := laneBar{Left: place(left), Width: place(max(right-left, 0)), Class: "wait", Title: "waits " + dur(gap)}
				if right-left >= room {
					bar.Text = dur(gap)
				}
				if right-left < narrow {
					bar.Class += " narrow"
				}
				v.Bars = append(v.Bars, bar)
				v.Tries = append(v.Tries, laneTry{Wait: dur(gap)})
			} else {
				v.Tries = append(v.Tries, laneTry{Wait: "overlapping"})
			}
		}
		left := at(t.Start)
		width := max(at(t.Start.Add(took))-left, 0)
		try := laneTry{No: strconv.FormatUint(t.No, 10), Outcome: clip(clean(t.Outcome), 24), Took: dur(took), Failed: t.Failed, Hurt: t.Hurt}
		bar := laneBar{Left: place(left), Width: place(width), Class: "try", Title: fmt.Sprintf("attempt %d: %s after %s, exchange %d", i+1, try.Outcome, try.Took, t.No)}
		if t.Failed {
			bar.Class += " failed"
		}
		if t.Hurt {
			bar.Class += " hurt"
			bar.Title += ", hurt by a fault"
		}
		if width >= room {
			bar.Text = try.Outcome
		}
		if width < narrow {
			bar.Class += " narrow"
		}
		if t.No > 0 && !drawn[t.No] {
			drawn[t.No], try.ID = true, "x"+try.No
		}
		v.Bars, v.Tries = append(v.Bars, bar), append(v.Tries, try)
	}
	if c.More > 0 {
		v.More = "and " + plural(whole(c.More), "more attempt")
	}
	return v
}

func stageWords(c *experiment.LaneCall) string {
	switch c.Stage {
	case experiment.StageSteady:
		return "before"
	case experiment.StageRecovery:
		return "after"
	case experiment.StageHurt:
		if c.Step == "" {
			return "while hurt"
		}
		return "while hurt (" + c.Step + ")"
	}
	return window(c.Stage, c.Step)
}

// endWords says how a call ended.
func endWords(c *experiment.LaneCall) (string, tone) {
	n := uint64(len(c.Attempts)) + whole(c.More)
	last := c.Attempts[len(c.Attempts)-1]
	switch {
	case c.More > 0:
		return plural(n, "attempt"), toneBad
	case last.Failed && n == 1:
		return "failed, and not tried again", toneBad
	case last.Failed:
		return plural(n, "attempt") + ", then given up", toneBad
	case n > 1:
		return "good at attempt " + count(n), toneGood
	}
	return "good at once", toneGood
}

// maxSpans is how many states of a breaker are drawn.
const maxSpans = 200

func breakerOf(r *experiment.Run, b *experiment.Breaker, a timeAxis) *breakerStrip {
	if !b.Known || !b.Seen || len(b.Spans) == 0 {
		return nil
	}
	s := &breakerStrip{Stages: segments(r, a), X: a.ticks(6)}
	var words []string
	for i, sp := range b.Spans {
		if i == maxSpans {
			s.More = "and " + plural(uint64(len(b.Spans)-maxSpans), "more change") + " of state"
			break
		}
		bar := breakerBar{span: between(a, sp.From, sp.To)}
		word := ""
		switch sp.State {
		case experiment.BreakerOpen:
			bar.Class, word = "open", "open"
		case experiment.BreakerHalfOpen:
			bar.Class, word = "half", "half-open"
		default:
			bar.Class, word = "closed", "closed"
		}
		if width := a.at(sp.To) - a.at(sp.From); width >= 6 {
			bar.Label = word
			if width < narrow {
				bar.Class += " narrow"
			}
		}
		bar.Title = fmt.Sprintf("%s from %s to %s", word, dur(max(sp.From.Sub(a.from), 0).Round(10*time.Millisecond)), dur(max(sp.To.Sub(a.from), 0).Round(10*time.Millisecond)))
		if len(words) < 20 {
			words = append(words, bar.Title)
		}
		s.Spans = append(s.Spans, bar)
	}
	s.Label = "Circuit breaker: " + strings.Join(words, "; ")
	return s
}
