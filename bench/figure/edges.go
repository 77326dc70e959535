package figure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// manyEdges is how many proxies are created.
const manyEdges = 1000

func edges() Figure {
	return Figure{
		Name:   "edges",
		Title:  "1,000 proxies created",
		Method: "POST /proxies one after the other over one keep-alive connection; all deleted again; then the same 1,000 in one POST /populate",
		Needs:  hasToxics,
		Metrics: []Metric{
			{Name: "one by one", Unit: "ms", Better: "lower"},
			{Name: "one request p50", Unit: "us", Better: "lower"},
			{Name: "one request p99", Unit: "us", Better: "lower"},
			{Name: "list all", Unit: "ms", Better: "lower"},
			{Name: "delete all", Unit: "ms", Better: "lower"},
			{Name: "populate", Unit: "ms", Better: "lower"},
		},
		take: takeEdges,
	}
}

type proxy struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
}

func takeEdges(ctx context.Context, p *peer.Peer, _ Scale) (*Sample, error) {
	// Nobody connects, so the upstream need not exist.
	r, err := p.Start(ctx, "127.0.0.1:1")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := make([]proxy, manyEdges)
	for i := range all {
		all[i] = proxy{fmt.Sprintf("edge-%04d", i), "127.0.0.1:0", "127.0.0.1:1"}
	}
	one, err := createEach(ctx, r.API, all)
	if err != nil {
		return nil, err
	}
	us := stats.Micros(one)
	sample := newSample()
	sample.Values["one request p50"] = stats.Quantile(us, 0.5)
	sample.Values["one request p99"] = stats.Quantile(us, 0.99)
	for _, took := range one {
		sample.Values["one by one"] += milliseconds(took)
	}
	if sample.Values["list all"], err = timed(ctx, r.API, http.MethodGet, "/proxies", nil); err != nil {
		return nil, err
	}
	for _, e := range all {
		took, err := timed(ctx, r.API, http.MethodDelete, "/proxies/"+e.Name, nil)
		if err != nil {
			return nil, err
		}
		sample.Values["delete all"] += took
	}
	body, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	sample.Values["populate"], err = timed(ctx, r.API, http.MethodPost, "/populate", body)
	return sample, err
}

func createEach(ctx context.Context, api *peer.API, all []proxy) ([]time.Duration, error) {
	took := make([]time.Duration, len(all))
	for i, e := range all {
		body, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		ms, err := timed(ctx, api, http.MethodPost, "/proxies", body)
		if err != nil {
			return nil, err
		}
		took[i] = time.Duration(ms * float64(time.Millisecond))
	}
	return took, nil
}

// timed returns how many milliseconds a call took that must succeed.
func timed(ctx context.Context, api *peer.API, method, path string, body []byte) (float64, error) {
	start := time.Now()
	status, answer, err := api.Call(ctx, 20*time.Second, method, path, body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %.200s", method, path, status, bytes.TrimSpace(answer))
	}
	return milliseconds(time.Since(start)), err
}
