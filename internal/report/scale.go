package report

import (
	"math"
	"strconv"
	"time"
)

// A plot is drawn in a box of plotWidth by plotHeight units, which the browser
// stretches to whatever room there is.
const (
	plotWidth  = 1000.0
	plotHeight = 100.0
)

// tick is a labelled place on an axis, as a share of its length in percent.
type tick struct {
	At    float64
	Label string
}

// timeAxis maps moments to places from left to right.
type timeAxis struct{ from, to time.Time }

// length is the axis's span, at least a second, so that nothing divides by 0.
func (a timeAxis) length() time.Duration { return max(a.to.Sub(a.from), time.Second) }

// at is the place of a moment in percent of the width; what lies outside is put
// on the border.
func (a timeAxis) at(t time.Time) float64 {
	return min(max(100*float64(t.Sub(a.from))/float64(a.length()), 0), 100)
}

// x is the place of a moment in units of the plot.
func (a timeAxis) x(t time.Time) float64 { return a.at(t) * plotWidth / 100 }

// ticks are round times, about want of them.
func (a timeAxis) ticks(want int) []tick {
	length := a.length()
	step := timeStep(length / time.Duration(max(want, 1)))
	var all []tick
	for d := time.Duration(0); d <= length && d >= 0 && len(all) < 60; d += step {
		all = append(all, tick{100 * float64(d) / float64(length), dur(d)})
	}
	all[0].Label = "0"
	return all
}

// timeStep is the first round step that is at least d.
func timeStep(d time.Duration) time.Duration {
	for _, s := range []time.Duration{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600} {
		if d <= s*time.Second {
			return s * time.Second
		}
	}
	const day = 24 * time.Hour
	days := math.Ceil(float64(d) / float64(day))
	return time.Duration(math.Min(niceStep(days), 50_000)) * day // 50,000 days: near what a Duration holds
}

// niceStep is the first of 1, 2, 5 times a power of ten that is at least v.
func niceStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if v <= m*base*(1+1e-9) {
			return m * base
		}
	}
	return 10 * base
}

// scale maps values to places from bottom to top.
type scale struct {
	lo, hi float64
	log    bool
}

// linear is a scale from 0 to a round value of at least top.
func linear(top float64) scale {
	step := niceStep(top / 4)
	return scale{hi: max(math.Ceil(top/step-1e-9), 1) * step}
}

// logarithmic is a scale between the powers of ten, or three times them, around
// lo and hi, which must be more than 0.
func logarithmic(lo, hi float64) scale {
	down, up := math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
	if lo >= 3*down {
		down *= 3
	}
	if hi <= 0.3*up {
		up *= 0.3
	}
	if up <= down {
		up = down * 10
	}
	return scale{lo: down, hi: up, log: true}
}

// y is the place of a value in units of the plot, from the top; values outside
// lie on the border.
func (s scale) y(v float64) float64 {
	f := (v - s.lo) / (s.hi - s.lo)
	if s.log {
		f = math.Log(max(v, s.lo)/s.lo) / math.Log(s.hi/s.lo)
	}
	if math.IsNaN(f) {
		f = 0
	}
	return plotHeight * (1 - min(max(f, 0), 1))
}

// ticks are the round values of a scale, written by name.
func (s scale) ticks(name func(float64) string) []tick {
	var values []float64
	if s.log {
		values = s.decades()
	} else {
		step := niceStep(s.hi / 4)
		if s.hi/step > 3.5 { // a small chart has room for three
			step *= 2
		}
		for v := 0.0; v <= s.hi*(1+1e-9) && len(values) < 8; v += step {
			values = append(values, v)
		}
	}
	ticks := make([]tick, len(values))
	for i, v := range values {
		ticks[i] = tick{s.y(v), name(v)}
	}
	return ticks
}

func (s scale) decades() []float64 {
	n := math.Log10(s.hi / s.lo)
	stride := math.Pow(10, max(math.Ceil(n/4), 1))
	var values []float64
	for v := math.Pow(10, math.Ceil(math.Log10(s.lo)-1e-9)); v <= s.hi*(1+1e-9) && len(values) < 8; v *= stride {
		values = append(values, v)
		if n < 2.1 && 3*v <= s.hi*(1+1e-9) {
			values = append(values, 3*v)
		}
	}
	if n < 2.1 && s.lo*3 < values[0] || s.lo < values[0]*(1-1e-9) && n < 2.1 {
		values = append([]float64{s.lo}, values...)
	}
	return values
}

// coord writes a coordinate, short.
func coord(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// at is a coordinate for a style, in percent.
func place(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}
