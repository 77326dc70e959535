package figure

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// window is how long a stretch of a limited download must keep its rate; the
// first one is let off.
const window = 100 * time.Millisecond

// rates are limits in MB/s, with how long each is watched.
var rates = []struct {
	mb     int
	length time.Duration
}{{1, 2300 * time.Millisecond}, {100, 1500 * time.Millisecond}}

func bandwidth() Figure {
	f := Figure{
		Name:   "bandwidth",
		Title:  "Error of a limited bandwidth, 1 stream",
		Method: "a bandwidth toxic on answers; the rate from arrival to arrival after the first 100 ms, and the worst of the following windows of 100 ms, against the limit",
		Needs:  hasToxics,
		take:   takeBandwidth,
	}
	for _, r := range rates {
		f.Metrics = append(f.Metrics,
			Metric{Name: fmt.Sprintf("%d MB/s, error", r.mb), Unit: "%", Better: "lower"},
			Metric{Name: fmt.Sprintf("%d MB/s, worst 100 ms", r.mb), Unit: "%", Better: "lower"},
			Metric{Name: fmt.Sprintf("%d MB/s, first byte", r.mb), Unit: "ms", Better: "lower"})
	}
	return f
}

func takeBandwidth(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	up, err := load.Source(ctx)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	sample := newSample()
	for _, limit := range rates {
		name := fmt.Sprintf("%d MB/s", limit.mb)
		d, err := fetchNarrow(ctx, p, up.Addr, limit.mb, 3*window+s.length(limit.length))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rate, err := d.Rate(window)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		want := float64(limit.mb) * 1e6
		sample.Values[name+", error"] = 100 * math.Abs(rate/want-1)
		sample.Values[name+", worst 100 ms"] = 100 * worst(d.Windows(window, window), want*window.Seconds())
		sample.Values[name+", first byte"] = milliseconds(d.FirstByte())
	}
	return sample, nil
}

// fetchNarrow downloads through a fresh peer that lets so many MB/s through.
// (Taking the toxic out again after the client has left can take Toxiproxy
// seconds.)
func fetchNarrow(ctx context.Context, p *peer.Peer, upstream string, mb int, length time.Duration) (*load.Download, error) {
	r, err := p.Start(ctx, upstream)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.API.Add(ctx, peer.Toxic{Name: "narrow", Type: "bandwidth", Attributes: map[string]int{"rate": 1000 * mb}}); err != nil {
		return nil, err
	}
	return load.Fetch(ctx, r.Addr, 1, length)
}

// worst is the greatest deviation from want, as a share of it.
func worst(values []float64, want float64) float64 {
	var w float64
	for _, v := range values {
		w = max(w, math.Abs(v/want-1))
	}
	return w
}
