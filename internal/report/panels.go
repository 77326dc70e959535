package report

import (
	"math"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

func ratePanel(all []slot, a timeAxis) panel {
	top := 0.0
	for _, s := range all {
		top = max(top, s.maxRate)
	}
	sc := linear(max(top, 1))
	d := draw(all, a, sc, func(s slot) (float64, float64, bool) { return s.minRate, s.maxRate, true })
	return panel{Title: "Requests per second", Class: "rate", Area: d.Area, Ticks: yTicks(sc, func(v float64) string { return digitsOrZero(v) }),
		Bands: bands("rate", d), Lines: append(strokes("rate", d), lows("rate", d)...)}
}

func errorPanel(r *experiment.Run, f experiment.FlowResult, all []slot, a timeAxis) panel {
	worst := 0.0
	for _, s := range all {
		worst = max(worst, s.worst)
	}
	p := panel{Title: "Failed requests, share", Class: "errors"}
	bounds := bounds(r, f.Name, "success", a, func(rule string) (float64, string, bool) {
		var s experiment.ShareRule
		if s.UnmarshalText([]byte(rule)) != nil {
			return 0, "", false
		}
		return 100 * (1 - s.Share), "gate: success " + s.String(), true
	})
	sc := scale{hi: 100}
	for _, top := range []float64{1, 2, 5, 10, 20, 50} {
		if 100*worst <= top {
			sc.hi = top
			break
		}
	}
	p.Ticks = yTicks(sc, func(v float64) string { return digitsOrZero(v) + "%" })
	if worst == 0 {
		p.Note = "no request failed"
	} else {
		p.Area = bars(all, a, sc)
	}
	p.Bounds = placeBounds(bounds, sc)
	return p
}

func latencyPanel(r *experiment.Run, f experiment.FlowResult, all []slot, a timeAxis) panel {
	p := panel{Title: "Latency", Class: "latency", Legend: []stroke{{Class: "p99", Label: "p99"}, {Class: "p50", Label: "p50"}}}
	bounds := bounds(r, f.Name, "p99", a, func(rule string) (float64, string, bool) {
		var t experiment.TimeRule
		if t.UnmarshalText([]byte(rule)) != nil || t.Bound <= 0 {
			return 0, "", false
		}
		return float64(t.Bound) / float64(time.Millisecond), "gate: p99 " + t.String(), true
	})
	lo, hi := math.Inf(1), 0.0
	for _, s := range all {
		if s.latency {
			hi = max(hi, s.maxP99, s.maxP50)
			lo = min(lo, s.minP99)
			if s.minP50 > 0 {
				lo = min(lo, s.minP50)
			}
		}
	}
	if hi == 0 {
		p.Note = "no request was answered"
		return p
	}
	for _, b := range bounds {
		hi = max(hi, b.value)
	}
	lo, hi = max(lo, 1e-3), min(hi, 1e12)
	sc := linear(hi)
	if hi/lo > 25 {
		sc = logarithmic(lo, max(hi, lo*10))
		p.Title = "Latency, logarithmic"
	}
	p.Ticks = yTicks(sc, func(v float64) string {
		if v == 0 {
			return "0"
		}
		return millis(v)
	})
	p99 := draw(all, a, sc, func(s slot) (float64, float64, bool) { return s.minP99, s.maxP99, s.latency })
	p50 := draw(all, a, sc, func(s slot) (float64, float64, bool) { return s.minP50, s.maxP50, s.latency && s.maxP50 > 0 })
	p.Lines = append(strokes("p50", p50), strokes("p99", p99)...)
	p.Bands = append(bands("p50", p50), bands("p99", p99)...)
	p.Bounds = placeBounds(bounds, sc)
	if len(p.Bounds) > 0 {
		p.Legend = append(p.Legend, stroke{Class: "gate", Label: "gate"})
	}
	return p
}

func strokes(class string, d drawing) []stroke {
	var all []stroke
	if d.Line != "" {
		all = append(all, stroke{Class: class, D: d.Line})
	}
	if d.Dots != "" {
		all = append(all, stroke{Class: class + " dots", D: d.Dots})
	}
	return all
}

// lows and bands show the range of a thinned series.
func lows(class string, d drawing) []stroke {
	if d.Low == "" {
		return nil
	}
	return []stroke{{Class: class + " low", D: d.Low}}
}

func bands(class string, d drawing) []stroke {
	if d.Band == "" {
		return nil
	}
	return []stroke{{Class: class, D: d.Band}}
}

func yTicks(sc scale, name func(float64) string) []yTick {
	var all []yTick
	for _, t := range sc.ticks(name) {
		all = append(all, yTick{Top: place(t.At), Y: coord(t.At), Label: t.Label})
	}
	return all
}

func digitsOrZero(v float64) string {
	if v <= 0 {
		return "0"
	}
	if v >= 999.5 {
		return count(uint64(min(v, 1e15)))
	}
	return digits(v)
}

// gateLine is a gate's bound over one window.
type gateLine struct {
	from, to time.Time
	value    float64
	label    string
	a        timeAxis
}

// bounds finds the rules on one figure of a flow, each over the windows it was
// judged in.
func bounds(r *experiment.Run, flow, figure string, a timeAxis, read func(rule string) (float64, string, bool)) []gateLine {
	var all []gateLine
	for _, g := range r.Gates {
		if g.Of != flow || g.Figure != figure {
			continue
		}
		v, label, ok := read(g.Rule)
		if !ok {
			continue
		}
		for _, w := range r.Windows {
			if w.Stage != g.Stage || w.Step != g.Step {
				continue
			}
			end := w.End
			if end.IsZero() {
				end = a.to
			}
			if n := len(all) - 1; n >= 0 && all[n].value == v && !w.Start.Before(all[n].to) && w.Start.Sub(all[n].to) < a.length()/50 {
				all[n].to = end // one line over neighbouring windows
			} else {
				all = append(all, gateLine{w.Start, end, v, label, a})
			}
			break
		}
	}
	return all
}

// placeBounds turns rules into lines. One that lies outside the scale is left
// out; each label is written once.
func placeBounds(lines []gateLine, sc scale) []bound {
	var all []bound
	written := map[string]bool{}
	for _, l := range lines {
		if l.value > sc.hi || len(all) >= 20 {
			continue
		}
		y := sc.y(l.value)
		b := bound{X1: coord(l.a.x(l.from)), X2: coord(l.a.x(l.to)), Y: coord(y), Top: place(y), Below: y < 18}
		if !written[l.label] {
			written[l.label] = true
			b.Label = l.label
		}
		all = append(all, b)
	}
	return all
}
