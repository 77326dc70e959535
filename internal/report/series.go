package report

import (
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// maxSlots is how many places of a chart's width hold a value of their own;
// longer series are thinned to them.
const maxSlots = 300

// slot is a stretch of a series: one point, or several that share its place on
// the chart. Extremes are kept, so that thinning hides no peak.
type slot struct {
	from, to          time.Time
	n                 int
	minRate, maxRate  float64 // requests per second
	requests, failed  uint64
	worst             float64 // the highest share of failures of any point
	minP50, maxP50    float64 // ms; 0 if there was no answer
	minP99, maxP99    float64
	worstRequests     uint64 // of the point with the highest share
	worstFailed       uint64
	afterGap, latency bool // something is missing before it; it has a latency
}

// slots brings a series in order and thins it to the axis.
func slots(series []experiment.SeriesPoint, end time.Time, a timeAxis) []slot {
	points := slices.Clone(series)
	slices.SortStableFunc(points, func(x, y experiment.SeriesPoint) int { return x.Time.Compare(y.Time) })
	step := interval(points)
	width := a.length() / maxSlots
	var all []slot
	var last time.Time
	for i, p := range points {
		if i > 0 && p.Time.Equal(last) {
			continue // the same second twice
		}
		s := one(p, step, end)
		missing := p.Time.Sub(last)
		s.afterGap = i > 0 && missing > step+step*3/4 && (len(points) <= maxSlots || missing > width)
		last = p.Time
		if n := len(all) - 1; n >= 0 && len(points) > maxSlots && p.Time.Sub(all[n].from) < width && !s.afterGap {
			all[n] = all[n].join(s)
			continue
		}
		all = append(all, s)
	}
	return all
}

// interval is the usual distance of points: the median, a second if there is
// none.
func interval(points []experiment.SeriesPoint) time.Duration {
	var steps []time.Duration
	for i := 1; i < len(points); i++ {
		if d := points[i].Time.Sub(points[i-1].Time); d > 0 {
			steps = append(steps, d)
		}
	}
	if len(steps) == 0 {
		return time.Second
	}
	slices.Sort(steps)
	return max(steps[len(steps)/2], time.Millisecond)
}

// one is the slot of one point. The traffic may have ended within its second:
// a rate is over the time there was.
func one(p experiment.SeriesPoint, step time.Duration, end time.Time) slot {
	s := slot{from: p.Time, to: p.Time.Add(step), n: 1, requests: uint64(p.Requests), failed: uint64(min(p.Failures, p.Requests))}
	if p.Failures > p.Requests { // a record that contradicts itself is drawn as all failed
		s.requests, s.failed = uint64(p.Failures), uint64(p.Failures)
	}
	over := step
	if end.After(p.Time) && end.Before(s.to) && end.Sub(p.Time) >= step/5 {
		over = end.Sub(p.Time)
		s.to = end
	}
	s.minRate = float64(s.requests) / over.Seconds()
	s.maxRate = s.minRate
	if s.requests > 0 {
		s.worst = float64(s.failed) / float64(s.requests)
		s.worstRequests, s.worstFailed = s.requests, s.failed
	}
	if p.P99 > 0 && p.P50 >= 0 {
		s.latency = true
		s.minP50, s.maxP50, s.minP99, s.maxP99 = p.P50, p.P50, p.P99, p.P99
	}
	return s
}

// join puts two neighbours together.
func (s slot) join(o slot) slot {
	s.to = o.to
	s.n += o.n
	s.requests += o.requests
	s.failed += o.failed
	s.minRate, s.maxRate = min(s.minRate, o.minRate), max(s.maxRate, o.maxRate)
	if o.worst > s.worst || s.worstRequests == 0 {
		s.worst, s.worstRequests, s.worstFailed = o.worst, o.worstRequests, o.worstFailed
	}
	switch {
	case o.latency && s.latency:
		s.minP50, s.maxP50 = min(s.minP50, o.minP50), max(s.maxP50, o.maxP50)
		s.minP99, s.maxP99 = min(s.minP99, o.minP99), max(s.maxP99, o.maxP99)
	case o.latency:
		s.latency = true
		s.minP50, s.maxP50, s.minP99, s.maxP99 = o.minP50, o.maxP50, o.minP99, o.maxP99
	}
	return s
}

// mid is the moment a slot is drawn at.
func (s slot) mid() time.Time { return s.from.Add(s.to.Sub(s.from) / 2) }

// drawing is a line as SVG path data: Line for what is connected, Dots for
// points that stand alone, Area for what lies below. Where a series is thinned,
// Line runs along the highest values, Low along the lowest, and Band lies
// between them.
type drawing struct{ Line, Dots, Area, Low, Band string }

// stretch is a part of a series without a gap.
type stretch struct{ x, high, low []string }

// draw connects the slots that pick has a value for. Where it has none, or
// something is missing before a slot, the line is broken.
func draw(all []slot, a timeAxis, sc scale, pick func(slot) (lo, hi float64, ok bool)) drawing {
	var stretches []stretch
	open := false
	for _, s := range all {
		lo, hi, ok := pick(s)
		if !ok {
			open = false
			continue
		}
		if !open || s.afterGap {
			stretches = append(stretches, stretch{})
			open = true
		}
		t := &stretches[len(stretches)-1]
		t.x = append(t.x, coord(a.x(s.mid())))
		t.high = append(t.high, coord(sc.y(hi)))
		t.low = append(t.low, coord(sc.y(lo)))
	}
	var d drawing
	for _, t := range stretches {
		t.addTo(&d)
	}
	return d
}

func (t stretch) addTo(d *drawing) {
	ranged := !slices.Equal(t.high, t.low)
	last := len(t.x) - 1
	if last == 0 {
		d.Dots += "M" + t.x[0] + " " + t.high[0] + "h0.01"
		if ranged {
			d.Dots += "M" + t.x[0] + " " + t.low[0] + "h0.01"
		}
		return
	}
	high, low := path(t.x, t.high), path(t.x, t.low)
	d.Line += "M" + high
	d.Area += "M" + low + "L" + t.x[last] + " 100L" + t.x[0] + " 100Z"
	if ranged {
		d.Low += "M" + low
		x, y := slices.Clone(t.x), slices.Clone(t.low)
		slices.Reverse(x)
		slices.Reverse(y)
		d.Band += "M" + high + "L" + path(x, y) + "Z"
	}
}

func path(x, y []string) string {
	var b strings.Builder
	for i := range x {
		if i > 0 {
			b.WriteByte('L')
		}
		b.WriteString(x[i] + " " + y[i])
	}
	return b.String()
}

// bars draws a bar for every slot with failures, on a scale of percent; even a
// single one is seen.
func bars(all []slot, a timeAxis, sc scale) string {
	const least = 4.0
	var b strings.Builder
	for _, s := range all {
		if s.failed == 0 {
			continue
		}
		x0, x1 := a.x(s.from), a.x(s.to)
		y := min(sc.y(100*s.worst), plotHeight-least)
		b.WriteString("M" + coord(x0) + " 100V" + coord(y) + "H" + coord(max(x1, x0+1.5)) + "V100Z")
	}
	return b.String()
}
