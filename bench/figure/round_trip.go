package figure

import (
	"context"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// crowd is how many connections share the pings, and pace how far these are
// apart: 1,800 a second.
const (
	crowd = 500
	pace  = time.Second / 1800
)

func roundTrip() Figure {
	f := Figure{
		Name:   "rtt",
		Title:  "Round trip of one byte, nothing armed",
		Method: pingMethod,
		Needs:  anyPeer,
		take:   takeRoundTrip,
	}
	for _, n := range []int{1, crowd} {
		for _, q := range []float64{0.5, 0.99} {
			f.Metrics = append(f.Metrics, Metric{Name: fmt.Sprintf("%s p%.0f", conns(n), q*100), Unit: "us", Better: "lower", Series: conns(n), Quantile: q})
		}
	}
	return f
}

const pingMethod = "client and upstream are one locked thread that polls without sleeping, the same for all peers: neither end adds its own wake-up; " +
	"1 connection: the next ping 1 ms after the answer; 500 connections: 1,800 pings/s spread evenly over them"

func conns(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

func takeRoundTrip(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	sample := newSample()
	return sample, pinged(ctx, p, func(_ *peer.Running, pings *load.Pings, n int) error {
		got, err := pings.Run(s.count(baseCount(n)), spacing(n))
		sample.Series[conns(n)] = stats.Micros(got)
		return err
	})
}

// pinged runs f with 1 connection through a peer, then with a crowd of them.
func pinged(ctx context.Context, p *peer.Peer, f func(r *peer.Running, pings *load.Pings, n int) error) error {
	pings, err := load.NewPings(ctx)
	if err != nil {
		return err
	}
	defer pings.Close()
	r, err := p.Start(ctx, pings.Addr)
	if err != nil {
		return err
	}
	defer r.Close()
	open := 0
	for _, n := range []int{1, crowd} {
		if err := pings.Connect(r.Addr, n-open); err != nil {
			return err
		}
		open = n
		if err := f(r, pings, n); err != nil {
			return fmt.Errorf("%s: %w", conns(n), err)
		}
	}
	return nil
}

func spacing(n int) time.Duration {
	if n == 1 {
		return 0
	}
	return pace
}

// baseCount is how many pings make a base: about half a second.
func baseCount(n int) int {
	if n == 1 {
		return 300
	}
	return 1000
}
