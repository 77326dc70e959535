// Package figure holds what is measured of each peer, one file per figure. A
// figure starts the peer afresh for each sample, so that no sample inherits
// another's heap or connections.
package figure

import (
	"context"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/machine"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// Figure is something that can be measured.
type Figure struct {
	// Name is what -only calls it.
	Name string
	// Title and Method say to the reader what is measured, and how.
	Title, Method string
	// Needs tells whether a peer has what it takes.
	Needs func(*peer.Peer) bool
	// Metrics are the values a sample has, in the order of the table.
	Metrics []Metric

	take func(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error)
}

// Metric is one value of a figure.
type Metric struct {
	Name string
	Unit string
	// Better is "higher" or "lower".
	Better string
	// Series makes the value a quantile of that series of the samples, taken
	// from all rounds together.
	Series   string
	Quantile float64
}

// Sample is what one measurement of one peer gave.
type Sample struct {
	Values map[string]float64   // by metric
	Series map[string][]float64 // by name of the series
}

func newSample() *Sample {
	return &Sample{Values: map[string]float64{}, Series: map[string][]float64{}}
}

// Scale shortens the measurements: 1 is what the results are made with.
type Scale float64

func (s Scale) length(d time.Duration) time.Duration { return time.Duration(float64(d) * float64(s)) }
func (s Scale) count(n int) int                      { return max(5, int(float64(n)*float64(s))) }

// All is every figure there is.
func All() []Figure {
	return []Figure{bulk(), requests(), webRequests(), connections(), roundTrip(), delay(), bulkDelayed(), bandwidth(), idle(), edges(), api(), ledger()}
}

// Take measures the figure once.
func (f *Figure) Take(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	sample, err := f.take(ctx, p, s)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", f.Name, p.Name, err)
	}
	return sample, nil
}

func anyPeer(p *peer.Peer) bool            { return p.PassesBytes() }
func isWeb(p *peer.Peer) bool              { return p.PassesRequests() }
func isProcess(p *peer.Peer) bool          { return p.Process && p.PassesBytes() }
func hasToxics(p *peer.Peer) bool          { return p.Toxics }
func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// spent runs f and returns the processor time that the peer used meanwhile, in
// seconds; 0 when the peer is no process.
func spent(r *peer.Running, f func() error) (float64, error) {
	if r.PID == 0 {
		return 0, f()
	}
	before, err := machine.CPU(r.PID)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := machine.CPU(r.PID)
	return (after - before).Seconds(), err
}

// pause waits without measuring anything.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startBefore starts an upstream and the peer before it; end ends both.
func startBefore(ctx context.Context, p *peer.Peer, upstream func(context.Context) (*load.Upstream, error)) (r *peer.Running, end func(), err error) {
	return startWith(ctx, p.Start, upstream)
}

func startWith(ctx context.Context, begin start, upstream func(context.Context) (*load.Upstream, error)) (r *peer.Running, end func(), err error) {
	up, err := upstream(ctx)
	if err != nil {
		return nil, nil, err
	}
	if r, err = begin(ctx, up.Addr); err != nil {
		up.Close()
		return nil, nil, err
	}
	return r, func() { r.Close(); up.Close() }, nil
}
