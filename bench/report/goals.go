package report

import (
	"fmt"

	"github.com/chaosctl/chaosctl/bench/figure"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// goal is a figure that chaosctl has to reach.
type goal struct {
	what    string
	figure  string
	metrics []string // the worst of them counts
	against string   // a peer: the ratio to it; empty: chaosctl's own value
	atLeast bool     // else at most
	bound   float64
	unit    string
	wish    bool // wanted, not demanded
}

// Goal is a goal, and what became of it.
type Goal struct {
	What     string `json:"what"`
	Want     string `json:"want"`
	Got      string `json:"got"`
	Measured bool   `json:"measured"` // else it is unknown
	Reached  bool   `json:"reached"`
	Wish     bool   `json:"wish"` // wanted, not demanded
}

func goals() []goal {
	all := []goal{
		{what: "bulk, 1 stream, over Toxiproxy", figure: "bulk", metrics: one("1 stream"), against: peer.Toxiproxy, atLeast: true, bound: 2.2},
		{what: "bulk, 1 stream, over HAProxy", figure: "bulk", metrics: one("1 stream"), against: peer.HAProxy, atLeast: true, bound: 1.4},
		{what: "CPU per GB, 1 stream, of Toxiproxy's", figure: "bulk", metrics: one("CPU, 1 stream"), against: peer.Toxiproxy, bound: 0.25},
		{what: "requests/s, 64 connections, over Toxiproxy", figure: "http", metrics: one("requests/s"), against: peer.Toxiproxy, atLeast: true, bound: 1.05},
		{what: "requests/s, 64 connections, over Toxiproxy", figure: "http", metrics: one("requests/s"), against: peer.Toxiproxy, atLeast: true, bound: 1.2, wish: true},
		{what: "requests/s, 64 connections, over HAProxy", figure: "http", metrics: one("requests/s"), against: peer.HAProxy, atLeast: true, bound: 0.95, wish: true},
		{what: "HTTP edges: requests/s, over HAProxy in HTTP mode", figure: "http-edge", metrics: one("requests/s"), against: peer.HAProxy, atLeast: true, bound: 0.7},
		{what: "HTTP edges: requests/s, over httputil.ReverseProxy", figure: "http-edge", metrics: one("requests/s"), against: peer.ReverseProxy, atLeast: true, bound: 1.5},
		{what: "new connections/s, over Toxiproxy", figure: "connections", metrics: one("connections/s"), against: peer.Toxiproxy, atLeast: true, bound: 1.7},
		{what: "new connections/s, over HAProxy", figure: "connections", metrics: one("connections/s"), against: peer.HAProxy, atLeast: true, bound: 0.9, wish: true},
		{what: "delay error p50, 1 connection, worst delay", figure: "delay", metrics: delayMetrics(1, 0.5), bound: 60, unit: "us"},
		{what: "delay error p99, 1 connection, worst delay", figure: "delay", metrics: delayMetrics(1, 0.99), bound: 250, unit: "us"},
		{what: "delay error p99, 500 connections, worst delay", figure: "delay", metrics: delayMetrics(500, 0.99), bound: 1000, unit: "us"},
		{what: "bulk through 50 ms, of its own without", figure: "bulk-delayed", metrics: one("of its own rate without"), atLeast: true, bound: 0.8, unit: "x"},
	}
	for _, mb := range []string{"1 MB/s", "100 MB/s"} {
		all = append(all,
			goal{what: "bandwidth error at " + mb, figure: "bandwidth", metrics: one(mb + ", error"), bound: 1, unit: "%"},
			goal{what: "bandwidth, worst 100 ms at " + mb, figure: "bandwidth", metrics: one(mb + ", worst 100 ms"), bound: 10, unit: "%"})
	}
	return append(all,
		goal{what: "memory per idle connection, at 5,000", figure: "idle", metrics: one("memory per connection"), bound: 12, unit: "KB"},
		goal{what: "descriptors per idle connection, at 5,000", figure: "idle", metrics: one("descriptors per connection"), bound: 3},
		goal{what: "time to create 1,000 edges, of Toxiproxy's", figure: "edges", metrics: one("one by one"), against: peer.Toxiproxy, bound: 0.5},
		goal{what: "time to populate 1,000 edges, of Toxiproxy's", figure: "edges", metrics: one("populate"), against: peer.Toxiproxy, bound: 0.5},
		goal{what: "HTTP requests with the ledger on, of those with it off", figure: "ledger", metrics: one("HTTP requests, on/off"), atLeast: true, bound: 0.9, unit: "x"},
		goal{what: "connections with the ledger on, of those with it off", figure: "ledger", metrics: one("connections, on/off"), atLeast: true, bound: 0.9, unit: "x"},
		goal{what: "API p99 while 1,000 clients do not read", figure: "api", metrics: []string{"GET /proxies p99", "POST/DELETE toxic p99"}, bound: 50, unit: "ms"},
	)
}

func one(metric string) []string { return []string{metric} }

func delayMetrics(conns int, q float64) []string {
	var all []string
	for _, ms := range figure.Delays() {
		all = append(all, figure.DelayMetric(conns, ms, q))
	}
	return all
}

// Goals says what became of each goal.
func (r *Run) Goals() []Goal {
	var all []Goal
	for _, g := range goals() {
		all = append(all, g.judge(r))
	}
	return all
}

func (g goal) judge(r *Run) Goal {
	sign := "<="
	if g.atLeast {
		sign = ">="
	}
	out := Goal{What: g.what, Want: fmt.Sprintf("%s %s", sign, quantity(g.bound, g.unit)), Got: "not measured", Wish: g.wish}
	var worst float64
	var which string
	for i, name := range g.metrics {
		value, ok := g.value(r, name)
		if !ok {
			return out
		}
		if worse := value < worst == g.atLeast; i == 0 || worse {
			worst, which = value, name
		}
	}
	out.Measured = true
	out.Got = quantity(worst, g.unit)
	if len(g.metrics) > 1 {
		out.Got += " (" + which + ")"
	}
	out.Reached = worst <= g.bound
	if g.atLeast {
		out.Reached = worst >= g.bound
	}
	return out
}

func (g goal) value(r *Run, metric string) (float64, bool) {
	m := r.find(g.figure, metric)
	if m == nil {
		return 0, false
	}
	if g.against != "" {
		s, ok := m.ratio(g.against)
		return s.Median, ok
	}
	v, ok := m.Peers[peer.Chaosctl]
	return v.Median, ok
}
