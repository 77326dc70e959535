package figure

import (
	"context"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/machine"
	"github.com/chaosctl/chaosctl/bench/peer"
)

func bulkDelayed() Figure {
	return Figure{
		Name:   "bulk-delayed",
		Title:  "Bulk through a delay of 50 ms, 1 stream",
		Method: "as bulk, without and then with a latency toxic on the same process; rate after the first 300 ms; memory is the peak of the process less what it had before",
		Needs:  hasToxics,
		Metrics: []Metric{
			{Name: "rate", Unit: "MB/s", Better: "higher"},
			{Name: "of its own rate without", Unit: "x", Better: "higher"},
			{Name: "CPU", Unit: "s/GB", Better: "lower"},
			{Name: "peak memory", Unit: "MB", Better: "lower"},
		},
		take: takeBulkDelayed,
	}
}

func takeBulkDelayed(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Source)
	if err != nil {
		return nil, err
	}
	defer end()
	before, err := machine.RSS(r.PID)
	if err != nil {
		return nil, err
	}
	const skip = 300 * time.Millisecond
	free, _, err := fetch(ctx, r, 1, skip+s.length(700*time.Millisecond), skip)
	if err != nil {
		return nil, fmt.Errorf("without a toxic: %w", err)
	}
	if err := r.API.Add(ctx, peer.Toxic{Name: "late", Type: "latency", Attributes: map[string]int{"latency": 50}}); err != nil {
		return nil, err
	}
	rate, cpu, err := fetch(ctx, r, 1, skip+s.length(1200*time.Millisecond), skip)
	if err != nil {
		return nil, err
	}
	peak, err := machine.PeakRSS(r.PID)
	sample := newSample()
	sample.Values = map[string]float64{"rate": rate, "of its own rate without": rate / free, "CPU": cpu, "peak memory": (peak - before) / 1e6}
	return sample, err
}
