package figure

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/chaosctl/chaosctl/bench/load"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// callLimit bounds a call; one that takes longer has failed, and counts as
// having taken so long.
const callLimit = 3 * time.Second

func api() Figure {
	return Figure{
		Name:  "api",
		Title: "API while 1,000 clients do not read and an upstream never answers",
		Method: "1,000 connections order an endless download and never read, one more waits behind an upstream whose accept queue is full; " +
			"meanwhile GET /proxies 100 times, then POST of a toxic, GET, DELETE, GET in turn; a call without a good answer within 3 s has failed and ends the sample",
		Needs: hasToxics,
		Metrics: []Metric{
			{Name: "GET /proxies p50", Unit: "ms", Better: "lower", Series: "get", Quantile: 0.5},
			{Name: "GET /proxies p99", Unit: "ms", Better: "lower", Series: "get", Quantile: 0.99},
			{Name: "POST/DELETE toxic p50", Unit: "ms", Better: "lower", Series: "toxic", Quantile: 0.5},
			{Name: "POST/DELETE toxic p99", Unit: "ms", Better: "lower", Series: "toxic", Quantile: 0.99},
			{Name: "calls failed", Unit: "", Better: "lower"},
		},
		take: takeAPI,
	}
}

func takeAPI(ctx context.Context, p *peer.Peer, s Scale) (*Sample, error) {
	r, end, err := startBefore(ctx, p, load.Source)
	if err != nil {
		return nil, err
	}
	defer end()
	deaf, err := load.NewDeaf(ctx)
	if err != nil {
		return nil, err
	}
	defer deaf.Close()
	addr, err := r.API.Create(ctx, "deaf", deaf.Addr)
	if err != nil {
		return nil, err
	}
	sleepers, err := load.Sleepers(ctx, r.Addr, 1000)
	if err != nil {
		return nil, err
	}
	defer sleepers.Close()
	waiting, err := load.Sleepers(ctx, addr, 1)
	if err != nil {
		return nil, err
	}
	defer waiting.Close()
	if err := pause(ctx, 700*time.Millisecond); err != nil { // until all buffers are full
		return nil, err
	}
	c := caller{api: r.API.Another(), sample: newSample()}
	defer c.api.Close()
	return c.sample, c.run(ctx, s.count(100))
}

type caller struct {
	api       *peer.API
	sample    *Sample
	good, all int
}

// run makes the calls, until one fails. It errs only when ctx is over: a failed
// call is a result.
func (c *caller) run(ctx context.Context, turns int) error {
	const toxics = "/proxies/" + peer.ProxyName + "/toxics"
	body := []byte(`{"name":"late","type":"latency","attributes":{"latency":1}}`)
	ok := true
	for i := 0; i < turns && ok; i++ {
		ok = c.get(ctx)
	}
	for i := 0; i < turns && ok; i++ {
		ok = c.call(ctx, "toxic", http.MethodPost, toxics, body) && c.get(ctx) &&
			c.call(ctx, "toxic", http.MethodDelete, toxics+"/late", nil) && c.get(ctx)
	}
	if !ok {
		c.get(ctx) // does it still answer at all?
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.sample.Values["calls failed"] = float64(c.all - c.good)
	return nil
}

func (c *caller) get(ctx context.Context) bool {
	return c.call(ctx, "get", http.MethodGet, "/proxies", nil)
}

func (c *caller) call(ctx context.Context, series, method, path string, body []byte) bool {
	start := time.Now()
	status, _, err := c.api.Call(ctx, callLimit, method, path, body)
	took := time.Since(start)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("status %d", status)
	}
	c.all++
	if err != nil {
		took = callLimit
	} else {
		c.good++
	}
	c.sample.Series[series] = append(c.sample.Series[series], milliseconds(took))
	return err == nil
}
