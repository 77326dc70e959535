package figure

import (
	"context"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
)

func bulk() Figure {
	f := Figure{
		Name:   "bulk",
		Title:  "Bulk, nothing armed",
		Method: "endless download; the upstream writes 256 KB at a time, the client takes the bytes off its socket without copying them (MSG_TRUNC); rate after the first 100 ms; CPU of the proxy process, all threads",
		Needs:  anyPeer,
		take:   takeBulk,
	}
	for _, n := range bulkStreams {
		f.Metrics = append(f.Metrics, Metric{Name: streams(n), Unit: "MB/s", Better: "higher"})
	}
	for _, n := range bulkStreams {
		f.Metrics = append(f.Metrics, Metric{Name: "CPU, " + streams(n), Unit: "s/GB", Better: "lower"})
	}
	return f
}

var bulkStreams = []int{1, 8}

func streams(n int) string {
	if n == 1 {
		return "1 stream"
	}
	return fmt.Sprintf("%d streams", n)
}

func takeBulk(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Source)
	if err != nil {
		return nil, err
	}
	defer end()
	sample := newSample()
	for _, n := range bulkStreams {
		rate, cpu, err := fetch(ctx, r, n, s.length(time.Second), 100*time.Millisecond)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", streams(n), err)
		}
		sample.Values[streams(n)] = rate
		if p.Process {
			sample.Values["CPU, "+streams(n)] = cpu
		}
	}
	return sample, nil
}

// fetch returns MB per second after the skip, and CPU seconds per GB.
func fetch(ctx context.Context, r *peer.Running, n int, length, skip time.Duration) (rate, cpu float64, err error) {
	var d *load.Download
	used, err := spent(r, func() (err error) {
		d, err = load.Fetch(ctx, r.Addr, n, length)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	rate, err = d.Rate(skip)
	return rate / 1e6, used / (float64(d.Bytes()) / 1e9), err
}
