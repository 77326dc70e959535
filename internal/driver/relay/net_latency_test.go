package relay

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// drawn are delays of a distribution.
func drawn(how fault.Distribution, delay, jitter time.Duration, n int) []float64 {
	s, r := make([]float64, n), &relay.Rand{}
	for i := range s {
		s[i] = float64(spread(how, delay, jitter, r))
	}
	return s
}

func moments(s []float64) (mean, deviation float64) {
	for _, x := range s {
		mean += x / float64(len(s))
	}
	for _, x := range s {
		deviation += (x - mean) * (x - mean) / float64(len(s))
	}
	return mean, math.Sqrt(deviation)
}

func TestDistributions(t *testing.T) {
	const n, delay, jitter = 100_000, 100 * time.Millisecond, 20 * time.Millisecond
	for how, want := range map[fault.Distribution]struct {
		deviation float64 // in jitters
		tolerance float64 // of the deviation: heavy tails are cut off, and converge slowly
		quantiles map[float64]float64
	}{
		fault.Uniform:   {1 / math.Sqrt(3), 0.01, map[float64]float64{0.5: 0, 0.9: 0.8, 0.05: -0.9}},
		fault.Normal:    {1, 0.02, map[float64]float64{0.5: 0, 0.8413: 1, 0.0228: -2}},
		fault.LogNormal: {1, 0.02, map[float64]float64{0.5: -0.097, 0.8413: 0.977, 0.0228: -1.702}},
		// (1-q)^(-1/3) less 1.5, over the root of 0.75
		fault.Pareto: {1, 0.15, map[float64]float64{0.01: -0.573, 0.5: -0.277, 0.99: 3.628}},
	} {
		s := drawn(how, delay, jitter, n)
		mean, deviation := moments(s)
		if math.Abs(mean-float64(delay)) > 0.01*float64(jitter) {
			t.Errorf("%s: mean %s", how, time.Duration(mean))
		}
		if math.Abs(deviation/float64(jitter)-want.deviation) > want.tolerance {
			t.Errorf("%s: deviation %s", how, time.Duration(deviation))
		}
		slices.Sort(s)
		if s[0] < 0 || s[n-1] > float64(delay+reach*jitter) {
			t.Errorf("%s: from %s to %s", how, time.Duration(s[0]), time.Duration(s[n-1]))
		}
		for q, jitters := range want.quantiles {
			if got := (s[int(q*n)] - float64(delay)) / float64(jitter); math.Abs(got-jitters) > 0.03*max(1, math.Abs(jitters)) {
				t.Errorf("%s: quantile %v is %.3f jitters from the mean, not %.3f", how, q, got, jitters)
			}
		}
	}
}

// Whatever validation lets through gives a delay that is one.
func TestDelaysAreNeverAbsurd(t *testing.T) {
	for _, how := range []fault.Distribution{"", fault.Uniform, fault.Normal, fault.LogNormal, fault.Pareto} {
		for _, d := range []time.Duration{0, 1, time.Millisecond, time.Hour} {
			for _, j := range []time.Duration{0, 1, time.Millisecond, time.Hour} {
				for _, x := range drawn(how, d, j, 200) {
					if x < 0 || x > float64(d+reach*j) || how != fault.Normal && how != fault.LogNormal && how != fault.Pareto && x > float64(d+j) {
						t.Fatalf("%s of %s ± %s: %s", how, d, j, time.Duration(x))
					}
				}
			}
		}
	}
	if s := drawn(fault.Uniform, time.Millisecond, 3*time.Millisecond, 1000); slices.Min(s) != 0 || slices.Max(s) <= float64(3*time.Millisecond) {
		t.Errorf("jitter beyond the delay: from %v to %v", slices.Min(s), slices.Max(s))
	}
}

// An exchange is drawn once and keeps its pace, a connection for each chunk. An
// end is not delayed by itself.
func TestLatencyDrawsPerUnit(t *testing.T) {
	e := latency{fault.Latency{Delay: fault.Duration(time.Second), Jitter: fault.Duration(time.Second)}}
	in := []relay.Chunk{{Due: at(0)}, data(1, counted(5)), data(2, counted(5)), {Due: at(3), End: relay.Close}}
	late := func(of fault.Unit) (all []time.Duration) {
		for i, c := range pass(e.Stage(relay.Down, of, &relay.Rand{}), in...) {
			all = append(all, c.Due.Sub(in[i].Due))
		}
		return all
	}
	if d := late(fault.Exchange); d[0] != d[1] || d[1] != d[2] || d[3] != 0 || d[0] == time.Second {
		t.Errorf("an exchange: %v", d)
	}
	if d := late(fault.Connection); d[0] == d[1] || d[1] == d[2] || d[3] != 0 {
		t.Errorf("a connection: %v", d)
	}
}

// With reorder the bytes of a connection may overtake each other, its end and
// those of an exchange may not.
func TestLatencyReorders(t *testing.T) {
	in := []relay.Chunk{data(0, counted(5)), {Due: at(1), End: relay.Close}}
	for _, tt := range []struct {
		reorder bool
		of      fault.Unit
		free    bool
	}{{true, fault.Connection, true}, {true, fault.Exchange, false}, {false, fault.Connection, false}} {
		e := latency{fault.Latency{Delay: fault.Duration(time.Second), Reorder: tt.reorder}}
		out := pass(e.Stage(relay.Down, tt.of, &relay.Rand{}), in...)
		if out[0].Free != tt.free || out[1].Free {
			t.Errorf("reorder %t of a %s: bytes are free: %t, the end: %t", tt.reorder, tt.of, out[0].Free, out[1].Free)
		}
	}
	// The stages behind it leave that as it is.
	for name, s := range map[string]relay.Stage{
		"bandwidth": &pace{line: newLine(1)}, "slice": &knife{size: 2}, "slow-close": linger(1), "limit": &meter{counts: true, limit: 3}, "noop": through{}, "drop": &leak{r: &relay.Rand{}},
	} {
		for _, c := range pass(s, relay.Chunk{Data: counted(5), Due: at(0), Free: true}, relay.Chunk{Due: at(0), End: relay.Close}) {
			if c.Free != (len(c.Data) > 0) {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
