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
		Name:    "http",
		Title:   "HTTP requests as bytes, 64 keep-alive connections",
		Method:  requestsMethod + "; 200-byte answers, each compared; after a warm-up of 200 ms",
		Needs:   anyPeer,
		Metrics: requestMetrics(),
		take: func(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
			return takeRequests(ctx, p, s, p.Start, false)
		},
	}
}

func webRequests() Figure {
	return Figure{
		Name:  "http-edge",
		Title: "HTTP requests through what reads HTTP, 64 keep-alive connections",
		Method: requestsMethod + "; every proxy reads requests and answers and writes what it likes of their heads: chaosctl an edge of protocol http, HAProxy in mode http, " +
			"nginx proxy_pass; 128-byte bodies, each compared with its status; after a warm-up of 200 ms",
		Needs:   isWeb,
		Metrics: requestMetrics(),
		take: func(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
			return takeRequests(ctx, p, s, p.StartWeb, true)
		},
	}
}

const requestsMethod = "closed loop; one epoll thread each for the client and the upstream"

func requestMetrics() []Metric {
	return []Metric{
		{Name: "requests/s", Unit: "1/s", Better: "higher"},
		{Name: "latency p50", Unit: "us", Better: "lower"},
		{Name: "latency p99", Unit: "us", Better: "lower"},
		{Name: "CPU per request", Unit: "us", Better: "lower"},
	}
}

type start func(ctx context.Context, upstream string) (*peer.Running, error)

func takeRequests(ctx context.Context, p *peer.Peer, s Scale, begin start, anyHead bool) (*Sample, error) {
	r, end, err := startWith(ctx, begin, load.Web)
	if err != nil {
		return nil, err
	}
	defer end()
	client, err := load.NewRequests(ctx, r.Addr, 64)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	client.AnyHead = anyHead
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
