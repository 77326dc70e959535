package figure

import (
	"context"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// ledgerTurns is how often the ledger is put on in a sample.
const ledgerTurns = 5

func ledger() Figure {
	return Figure{
		Name:  "ledger",
		Title: "Throughput with the ledger on, of that with it off",
		Method: "one chaosctl; in turn without a run and with one that hurts an edge which nobody uses, so that every exchange of all edges is written down: " +
			"HTTP requests on 64 keep-alive connections through an edge of protocol http, and connections of one byte each way through an edge of bytes; the median of 5 turns",
		Needs: func(p *peer.Peer) bool { return p.KeepsLedger() },
		Metrics: []Metric{
			{Name: "HTTP requests, on/off", Unit: "x", Better: "higher"},
			{Name: "connections, on/off", Unit: "x", Better: "higher"},
			{Name: "HTTP requests/s, on", Unit: "1/s", Better: "higher"},
			{Name: "connections/s, on", Unit: "1/s", Better: "higher"},
			{Name: "CPU per request, on/off", Unit: "x", Better: "lower"},
			{Name: "CPU per connection, on/off", Unit: "x", Better: "lower"},
		},
		take: takeLedger,
	}
}

// pass is how much came through, of either sort, and what it cost.
type pass struct{ requests, conns, requestCPU, connCPU float64 }

func takeLedger(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	web, err := load.Web(ctx)
	if err != nil {
		return nil, err
	}
	defer web.Close()
	echo, err := load.Echo(ctx)
	if err != nil {
		return nil, err
	}
	defer echo.Close()
	l, err := p.StartLedgered(ctx, web.Addr, echo.Addr)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := load.NewRequests(ctx, l.Web, 64)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	client.AnyHead = true
	if _, err := passThrough(ctx, l, client, s); err != nil { // to warm up
		return nil, err
	}
	var ratios, on [4][]float64
	for range ledgerTurns {
		off, err := passThrough(ctx, l, client, s)
		if err != nil {
			return nil, err
		}
		if err := l.Record(ctx); err != nil {
			return nil, err
		}
		with, err := passThrough(ctx, l, client, s)
		if err != nil {
			return nil, err
		}
		if err := l.Rest(); err != nil {
			return nil, err
		}
		for i, v := range [4][2]float64{{with.requests, off.requests}, {with.conns, off.conns}, {with.requestCPU, off.requestCPU}, {with.connCPU, off.connCPU}} {
			ratios[i], on[i] = append(ratios[i], v[0]/v[1]), append(on[i], v[0])
		}
	}
	sample := newSample()
	for i, name := range []string{"HTTP requests, on/off", "connections, on/off", "CPU per request, on/off", "CPU per connection, on/off"} {
		sample.Values[name] = stats.Quantile(ratios[i], 0.5)
	}
	sample.Values["HTTP requests/s, on"], sample.Values["connections/s, on"] = stats.Quantile(on[0], 0.5), stats.Quantile(on[1], 0.5)
	return sample, nil
}

// passThrough sends requests, and then connections, for a while.
func passThrough(ctx context.Context, l *peer.Ledgered, client *load.Requests, s Scale) (p pass, err error) {
	var got *load.Answers
	used, err := spent(l.Running, func() (err error) {
		got, err = client.Run(s.length(600 * time.Millisecond))
		return err
	})
	if err != nil {
		return p, err
	}
	p.requests, p.requestCPU = got.PerSecond(), used/float64(len(got.Latencies))
	used, err = spent(l.Running, func() (err error) {
		got, err = load.Dial(ctx, l.Echo, 16, mostDials/ledgerTurns, s.length(400*time.Millisecond))
		return err
	})
	if err != nil {
		return p, err
	}
	p.conns, p.connCPU = got.PerSecond(), used/float64(len(got.Latencies))
	return p, nil
}
