package judge

import (
	"math"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// event is a figure at an instant.
type event struct {
	at time.Duration
	x  float64
}

// spread sums figures.
type spread struct {
	n       int
	sum, sq float64
}

func (s *spread) add(x float64) { s.n, s.sum, s.sq = s.n+1, s.sum+x, s.sq+x*x }

func (s *spread) mean() float64 {
	if s.n == 0 {
		return 0
	}
	return s.sum / float64(s.n)
}

// bound is what the mean of n attempts per call does not exceed when all is as before:
// a tenth or a twentieth more, or what chance makes of so few.
func (s *spread) bound(n int) float64 {
	m := s.mean()
	chance := 3 * math.Sqrt(max(0, s.sq/float64(s.n)-m*m)/float64(n))
	return max(fewAttempts*m, m+littleMore, m+chance)
}

// settled is how a figure ended.
type settled int

const (
	isBack settled = iota
	stillBad
	tooFew
)

// settle slides a window over the events of the recovery and finds the instant from
// which on no window is bad: that of the first event behind the last single one that
// counts against it. Windows are a second wide, or as wide as it takes for 20 events
// at the steady rate.
func settle(all []event, span *ledger.Span, steady int, v *ledger.View, bad func(n int, sum float64) bool, against func(x float64) bool) (from time.Duration, state settled) {
	width := widthOf(span, steady, v)
	if len(all) < learned {
		return span.From, tooFew
	}
	from = span.From
	var win spread
	lo := 0
	for hi, e := range all {
		win.n, win.sum = win.n+1, win.sum+e.x
		for all[lo].at <= e.at-width {
			win.n, win.sum = win.n-1, win.sum-all[lo].x
			lo++
		}
		full := e.at-width >= span.From || hi == len(all)-1
		if !full || win.n < learned || !bad(win.n, win.sum) {
			continue
		}
		for k := hi; k >= lo; k-- {
			if !against(all[k].x) {
				continue
			}
			if k+1 == len(all) {
				return from, stillBad
			}
			from = max(from, all[k+1].at)
			break
		}
	}
	// The last window must be good, not only the last event.
	if win.n >= learned && bad(win.n, win.sum) {
		return from, stillBad
	}
	return from, isBack
}

// widthOf is the width of the sliding windows for events of which the steady stage had
// so many.
func widthOf(span *ledger.Span, steady int, v *ledger.View) time.Duration {
	width := window
	for _, s := range v.Spans {
		if s.Stage == experiment.StageSteady && steady > 0 {
			width = max(width, time.Duration(float64(s.To-s.From)*enough/float64(steady)))
		}
	}
	return max(1, min(width, (span.To-span.From)/2))
}

// turn is the first of the good events that a recovery ends with, if they are enough in a row;
// 0 if not. It is clean if hardly anything was good before: what is well at times is not back.
func turn(all []event) (at time.Duration, clean bool) {
	k := len(all)
	for k > 0 && all[k-1].x > 0 {
		k--
	}
	if k == 0 || len(all)-k < enough {
		return 0, false
	}
	var before spread
	for _, e := range all[:k] {
		before.add(e.x)
	}
	return all[k].at, before.mean() <= hardlyAny
}

// latestFrom is where the last quarter of a span begins, or its last second.
func latestFrom(span *ledger.Span) time.Duration {
	return span.To - max(window, (span.To-span.From)/4)
}

// latest sums the events of the last quarter of a span, a second at least.
func latest(all []event, span *ledger.Span) *spread {
	from := latestFrom(span)
	var s spread
	for _, e := range all {
		if e.at >= from {
			s.add(e.x)
		}
	}
	return &s
}

// rate is how often an edge is called, per second.
type rate struct {
	steady, late   float64
	steadyN, lateN int
}

// ratesOf compares the second half of the recovery with the steady stage, on every edge
// between services.
func ratesOf(v *ledger.View, span *ledger.Span) []rate {
	rates := make([]rate, len(v.Edges))
	half := middle(span)
	var before time.Duration
	for _, s := range v.Spans {
		if s.Stage == experiment.StageSteady {
			before = s.To - s.From
		}
	}
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Flow >= 0 || v.Edges[e.Edge].From == experiment.Users {
			continue
		}
		if s := v.SpanAt(e.Start); s != nil && s.Stage == experiment.StageSteady {
			rates[e.Edge].steadyN++
		} else if e.Start >= half && e.Start < span.To {
			rates[e.Edge].lateN++
		}
	}
	for i := range rates {
		rates[i].steady = float64(rates[i].steadyN) / max(0.001, before.Seconds())
		rates[i].late = float64(rates[i].lateN) / max(0.001, (span.To-half).Seconds())
	}
	return rates
}
