package ledger

import (
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// Call is what a caller wanted, made of attempts.
type Call struct {
	Edge     int32
	Attempts []int32 // in Book.Entries, in the order of their starts
	By       experiment.Keying
	// Sure is the probability that the attempts belong together, 1 for ids.
	Sure float64
	// Parent is the exchange that the call was made for, -1 if it is not known.
	Parent int32
}

// Span is a window of the run.
type Span struct {
	Stage    experiment.Stage
	Step     string
	From, To time.Duration
	// Hurt are the edges that faults were in force on.
	Hurt []string
}

// View is a book seen through a run. It must not be changed.
type View struct {
	*Book
	Run   *experiment.Run
	Spans []Span // steady, hurt and recovery only, in their order
	// Calls of all edges, in the order of their first attempts. Requests of the traffic
	// are no calls, the exchanges of the edge users -> service are.
	Calls []Call
	// CallOf is the call of an entry, -1 for requests of the traffic.
	CallOf []int32
	// Parent is, for each entry, the exchange by which its caller was called for it: on
	// an edge to the caller, and around it in time. For an exchange of users -> service
	// it is the request of the traffic. -1 if it is not known.
	Parent []int32
	// Children are the reverse, in the order of their starts.
	Children [][]int32
	// ParentSure is the probability that Parent is right: 1 by trace.
	ParentSure []float32
	// Alone says, for each edge whose exchanges are not made for any that were seen, why.
	Alone []string

	joined *joiner // while it is being made
	right  []float32
}

// Look groups a book. The run gives the windows and what was hurt in them.
func Look(b *Book, r *experiment.Run) *View {
	v := &View{Book: b, Run: r}
	v.spans()
	v.join()
	v.group()
	v.children()
	v.joined = nil
	return v
}

// spans takes the windows out of the run.
func (v *View) spans() {
	hurt := map[string][]string{} // by step
	for i, in := range v.Run.Injections {
		var edges []string
		for _, a := range in.Armed {
			edges = append(edges, a.Where)
		}
		if i < len(v.Run.Plan.Steps) {
			hurt[v.Run.Plan.Steps[i].Name] = edges
		}
	}
	for _, w := range v.Run.Windows {
		switch w.Stage {
		case experiment.StageSteady, experiment.StageHurt, experiment.StageRecovery:
		default:
			continue
		}
		s := Span{Stage: w.Stage, Step: w.Step, From: v.at(w.Start), To: v.at(w.End)}
		if w.End.IsZero() {
			s.To = 1<<63 - 1
		}
		if w.Stage == experiment.StageHurt {
			s.Hurt = hurt[w.Step]
		}
		v.Spans = append(v.Spans, s)
	}
}

// SpanAt is the window that holds an instant, nil if none does.
func (v *View) SpanAt(d time.Duration) *Span {
	for i := range v.Spans {
		if s := &v.Spans[i]; d >= s.From && d < s.To {
			return s
		}
	}
	return nil
}

// Lift is the instant from which nothing was hurt any more; Never if there was no
// recovery stage.
func (v *View) Lift() time.Duration {
	for _, s := range v.Spans {
		if s.Stage == experiment.StageRecovery {
			return s.From
		}
	}
	return Never
}
