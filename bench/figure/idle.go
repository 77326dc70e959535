package figure

import (
	"context"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/machine"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// idlers is how many connections idle.
const idlers = 5000

// idlersOf is less for a peer that the limit of descriptors does not allow so
// many.
func idlersOf(p *peer.Peer) (int, error) {
	limit, err := machine.AllowFiles()
	return min(idlers, (int(limit)-1000)/max(1, p.Files)), err
}

func idle() Figure {
	return Figure{
		Name:   "idle",
		Title:  "5,000 idle connections",
		Method: "each has passed a byte both ways before it idles; growth of the process's resident memory and open descriptors over what they were after 64 connections came and went, divided by their number; a peer that the limit of descriptors stops earlier (io.Copy) gets fewer",
		Needs:  isProcess,
		Metrics: []Metric{
			{Name: "memory per connection", Unit: "KB", Better: "lower"},
			{Name: "descriptors per connection", Unit: "", Better: "lower"},
			{Name: "time to open 5,000", Unit: "ms", Better: "lower"},
		},
		take: takeIdle,
	}
}

func takeIdle(ctx context.Context, p *peer.Peer, _ Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Echo)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := load.Dial(ctx, r.Addr, 16, 64, time.Second); err != nil {
		return nil, err
	}
	n, err := idlersOf(p)
	if err != nil {
		return nil, err
	}
	const settle = 300 * time.Millisecond
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	memory, files, err := holds(r.PID)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	c, err := load.Open(ctx, r.Addr, n)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	took := time.Since(start)
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	memoryAfter, filesAfter, err := holds(r.PID)
	sample := newSample()
	sample.Values["memory per connection"] = (memoryAfter - memory) / 1024 / float64(n)
	sample.Values["descriptors per connection"] = (filesAfter - files) / float64(n)
	sample.Values["time to open 5,000"] = milliseconds(took) * idlers / float64(n)
	return sample, err
}

func holds(pid int) (memory, descriptors float64, err error) {
	if memory, err = machine.RSS(pid); err != nil {
		return 0, 0, err
	}
	descriptors, err = machine.Descriptors(pid)
	return memory, descriptors, err
}
