package figure

import (
	"context"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

func requests() Figure {
	return Figure{
		Name:   "http",
		Title:  "HTTP requests, 64 keep-alive connections",
		Method: "closed loop; one epoll thread each for the client and the upstream; 200-byte answers, each compared; after a warm-up of 200 ms",
		Needs:  anyPeer,
		Metrics: []Metric{
			{Name: "requests/s", Unit: "1/s", Better: "higher"},
			{Name: "latency p50", Unit: "us", Better: "lower"},
			{Name: "latency p99", Unit: "us", Better: "lower"},
			{Name: "CPU per request", Unit: "us", Better: "lower"},
		},
		take: takeRequests,
	}
}

func takeRequests(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Web)
	if err != nil {
		return nil, err
	}
	defer end()
	client, err := load.NewRequests(ctx, r.Addr, 64)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := client.Run(s.length(200 * time.Millisecond)); err != nil {
		return nil, err
	}
	var got *load.Answers
	used, err := spent(r, func() (err error) {
		got, err = client.Run(s.length(1200 * time.Millisecond))
		return err
	})
	if err != nil {
		return nil, err
	}
	us := stats.Micros(got.Latencies)
	sample := newSample()
	sample.Values["requests/s"] = got.PerSecond()
	sample.Values["latency p50"] = stats.Quantile(us, 0.5)
	sample.Values["latency p99"] = stats.Quantile(us, 0.99)
	if p.Process {
		sample.Values["CPU per request"] = used * 1e6 / float64(len(got.Latencies))
	}
	return sample, nil
}
