package figure

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// delays are what is injected, with how many pings through one connection tell
// of it.
var delays = []struct {
	ms    int
	pings int
}{{1, 250}, {5, 100}, {10, 80}, {50, 30}, {100, 20}}

func delay() Figure {
	f := Figure{
		Name:   "delay",
		Title:  "Error of an injected delay",
		Method: "a latency toxic on answers; error = |round trip - this proxy's own median without a toxic, measured just before - what is injected|; quantiles over all rounds; " + pingMethod,
		Needs:  hasToxics,
		take:   takeDelay,
	}
	for _, n := range []int{1, crowd} {
		for _, d := range delays {
			for _, q := range []float64{0.5, 0.99} {
				f.Metrics = append(f.Metrics, Metric{Name: DelayMetric(n, d.ms, q), Unit: "us", Better: "lower", Series: delaySeries(n, d.ms), Quantile: q})
			}
		}
	}
	for _, n := range []int{1, crowd} {
		f.Metrics = append(f.Metrics, Metric{Name: "CPU, " + conns(n), Unit: "%", Better: "lower"})
	}
	return f
}

// Delays are the injected delays in milliseconds.
func Delays() []int {
	all := make([]int, len(delays))
	for i, d := range delays {
		all[i] = d.ms
	}
	return all
}

// DelayMetric names the error of a delay, at so many connections.
func DelayMetric(n, ms int, q float64) string {
	return fmt.Sprintf("%s p%.0f", delaySeries(n, ms), q*100)
}

func delaySeries(n, ms int) string { return fmt.Sprintf("%d ms, %s", ms, conns(n)) }

func takeDelay(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	sample := newSample()
	return sample, pinged(ctx, p, func(r *peer.Running, pings *load.Pings, n int) error {
		base, err := pings.Run(s.count(baseCount(n)), spacing(n))
		if err != nil {
			return fmt.Errorf("without a toxic: %w", err)
		}
		own := stats.Quantile(stats.Micros(base), 0.5)
		start := time.Now()
		used, err := spent(r, func() error {
			for _, d := range delays {
				count := d.pings
				if n > 1 {
					count = 1800
				}
				errors, err := delayError(ctx, r, pings, d.ms, s.count(count), spacing(n), own)
				if err != nil {
					return fmt.Errorf("%d ms: %w", d.ms, err)
				}
				sample.Series[delaySeries(n, d.ms)] = errors
			}
			return nil
		})
		sample.Values["CPU, "+conns(n)] = 100 * used / time.Since(start).Seconds()
		return err
	})
}

func delayError(ctx context.Context, r *peer.Running, pings *load.Pings, ms, count int, spacing time.Duration, own float64) ([]float64, error) {
	toxic := peer.Toxic{Name: "late", Type: "latency", Attributes: map[string]int{"latency": ms}}
	if err := r.API.Add(ctx, toxic); err != nil {
		return nil, err
	}
	got, err := pings.Run(count, spacing)
	if err != nil {
		return nil, err
	}
	errors := stats.Micros(got)
	for i := range errors {
		errors[i] = math.Abs(errors[i] - own - float64(ms)*1000)
	}
	return errors, r.API.Remove(ctx, toxic)
}
