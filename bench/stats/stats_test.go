package stats

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.25: 2, 0.5: 3, 0.625: 3.5, 1: 5} {
		if got := Quantile(values, q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if !slices.Equal(values, []float64{5, 1, 4, 2, 3}) {
		t.Error("the values were sorted in place")
	}
	if !math.IsNaN(Quantile(nil, 0.5)) {
		t.Error("the quantile of nothing is a number")
	}
}

func TestOf(t *testing.T) {
	if got := Of([]float64{3, 1, 2, 8}); got != (Spread{Median: 2.5, Min: 1, Max: 8, N: 4}) {
		t.Errorf("spread %+v", got)
	}
	if got := Of(nil); got.N != 0 {
		t.Errorf("spread of nothing %+v", got)
	}
}

// TestRatios: a gap on either side takes its pair out and leaves the others in
// their places.
func TestRatios(t *testing.T) {
	gap := math.NaN()
	got := Ratios([]float64{10, gap, 30, 40, 50, 60}, []float64{5, 2, gap, 0, 10})
	if !slices.Equal(got, []float64{2, 5}) {
		t.Errorf("ratios %v, want [2 5]", got)
	}
}

func TestMicros(t *testing.T) {
	if got := Micros([]time.Duration{1500 * time.Nanosecond, time.Millisecond}); !slices.Equal(got, []float64{1.5, 1000}) {
		t.Errorf("microseconds %v", got)
	}
}
