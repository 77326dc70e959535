package figure

import (
	"context"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// mostDials keeps a sample below what there are local ports for, each of which
// stays in TIME_WAIT for a while.
const mostDials = 12_000

func connections() Figure {
	return Figure{
		Name:   "connections",
		Title:  "New connections",
		Method: "16 workers: dial, pass one byte both ways, close; a fresh port per sample; after a warm-up of 500 connections",
		Needs:  anyPeer,
		Metrics: []Metric{
			{Name: "connections/s", Unit: "1/s", Better: "higher"},
			{Name: "latency p50", Unit: "us", Better: "lower"},
			{Name: "latency p99", Unit: "us", Better: "lower"},
			{Name: "CPU per connection", Unit: "us", Better: "lower"},
		},
		take: takeConnections,
	}
}

func takeConnections(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Echo)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := load.Dial(ctx, r.Addr, 16, 500, time.Second); err != nil {
		return nil, err
	}
	var got *load.Answers
	used, err := spent(r, func() (err error) {
		got, err = load.Dial(ctx, r.Addr, 16, mostDials, s.length(time.Second))
		return err
	})
	if err != nil {
		return nil, err
	}
	us := stats.Micros(got.Latencies)
	sample := newSample()
	sample.Values["connections/s"] = got.PerSecond()
	sample.Values["latency p50"] = stats.Quantile(us, 0.5)
	sample.Values["latency p99"] = stats.Quantile(us, 0.99)
	if p.Process {
		sample.Values["CPU per connection"] = used * 1e6 / float64(len(got.Latencies))
	}
	return sample, nil
}
