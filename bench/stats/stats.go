// Package stats says in few figures what many measurements say.
package stats

import (
	"math"
	"slices"
	"time"
)

// Spread is the middle of some measurements, and how far they lie apart.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// Of returns the spread of values; of none, N is 0 and the rest means nothing.
func Of(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Median: Quantile(values, 0.5), Min: slices.Min(values), Max: slices.Max(values), N: len(values)}
}

// Quantile returns the q-th (0..1) of the values in order, between two of them
// where it falls between; NaN of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	at := q * float64(len(v)-1)
	low := int(at)
	if low+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[low] + (at-float64(low))*(v[low+1]-v[low])
}

// Ratios divides pair by pair, as the same round has measured both; a pair with
// a gap (NaN or absent) or a divisor of 0 is left out.
func Ratios(over, under []float64) []float64 {
	var all []float64
	for i := range min(len(over), len(under)) {
		r := over[i] / under[i]
		if !math.IsNaN(r) && !math.IsInf(r, 0) {
			all = append(all, r)
		}
	}
	return all
}

// Micros turns durations into microseconds.
func Micros(ds []time.Duration) []float64 {
	us := make([]float64, len(ds))
	for i, d := range ds {
		us[i] = float64(d.Nanoseconds()) / 1e3
	}
	return us
}
