package httpapi

import (
	"context"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const scrapeTimeout = 5 * time.Second

func (s *server) scrape(context.Context, *nothing) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		r, w := humago.Unwrap(c)
		promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}).ServeHTTP(w, r)
	}}, nil
}

func newMetrics(c Config) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(c), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// collector reads the engine when it is scraped. Receipts of injections vanish
// with them, so it remembers what they had counted: its totals never fall.
type collector struct {
	cfg Config

	inForce, units, bytes, open, conns, exchanges, lost, queries, runs, underWay, stuck, build *prometheus.Desc

	mu    sync.Mutex
	base  receipts            // of injections that are over
	live  map[string]receipts // by injection, as last seen
	over  map[string]bool     // injections that are in base and could be met again
	done  map[experiment.Outcome]float64
	ended map[string]bool // runs that are in done and could be met again
}

type place struct{ kind, edge string }

type receipts map[place]fault.Receipt

func (r receipts) add(o receipts) {
	for p, x := range o {
		r[p] = r[p].Add(x)
	}
}

func receiptsOf(i experiment.Injection) receipts {
	r := receipts{}
	for _, a := range i.Armed {
		r.add(receipts{{a.Fault.Kind, a.Where}: a.Receipt})
	}
	return r
}

func newCollector(c Config) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("chaosctl_"+name, help, labels, nil)
	}
	return &collector{
		cfg:       c,
		inForce:   desc("faults_in_force", "Faults in force now.", "kind", "edge"),
		units:     desc("fault_units_total", "Units (requests, connections, datagrams, queries, processes) that faults matched, hurt (injected) and spared (skipped).", "kind", "edge", "outcome"),
		bytes:     desc("edge_bytes_total", "Bytes from callers (in) and to callers (out).", "edge", "direction"),
		open:      desc("edge_connections_open", "Connections open now.", "edge"),
		conns:     desc("edge_connections_total", "Connections accepted.", "edge"),
		exchanges: desc("edge_exchanges_total", "Requests seen on edges that see requests, datagrams from callers on UDP edges.", "edge"),
		lost:      desc("edge_datagrams_lost_total", "Datagrams that the relay of a UDP edge lost without a fault (dropped), and how often ICMP said that its callee cannot be reached (unreachable).", "edge", "why"),
		queries:   desc("resolver_queries_total", "DNS queries that the resolver has seen (seen), that no upstream answered (unanswered), and that were dropped (lost).", "outcome"),
		runs:      desc("runs_total", "Runs that have ended.", "outcome"),
		underWay:  desc("runs_under_way", "Runs that go on now."),
		stuck:     desc("stuck", "Changes that could not be rolled back. Anything but 0 needs a human."),
		build:     desc("build_info", "Always 1; the labels say what is running.", "version", "commit", "goversion"),
		base:      receipts{}, live: map[string]receipts{}, over: map[string]bool{},
		done:  map[experiment.Outcome]float64{experiment.Passed: 0, experiment.Failed: 0, experiment.Inconclusive: 0, experiment.Aborted: 0},
		ended: map[string]bool{},
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.inForce, c.units, c.bytes, c.open, c.conns, c.exchanges, c.lost, c.queries, c.runs, c.underWay, c.stuck, c.build} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	status := c.cfg.Faults.Status(ctx)
	v := c.cfg.Version
	gauge(c.build, 1, v.Chaosctl, v.Commit, v.Go)

	inForce, stuck := map[place]float64{}, len(status.Debts)
	for _, i := range status.Injections {
		if i.State == experiment.Stuck {
			stuck++
		}
		if i.State == experiment.InForce || i.State == experiment.Stuck {
			for _, a := range i.Armed {
				inForce[place{a.Fault.Kind, a.Where}]++
			}
		}
	}
	gauge(c.stuck, float64(stuck))
	for p, n := range inForce {
		gauge(c.inForce, n, p.kind, p.edge)
	}
	for p, r := range c.totals(status.Injections) {
		count(c.units, float64(r.Matched), p.kind, p.edge, "matched")
		count(c.units, float64(r.Injected), p.kind, p.edge, "injected")
		count(c.units, float64(r.Skipped), p.kind, p.edge, "skipped")
	}
	for _, e := range status.Edges {
		count(c.bytes, float64(e.BytesIn), e.Name, "in")
		count(c.bytes, float64(e.BytesOut), e.Name, "out")
		gauge(c.open, float64(e.Open), e.Name)
		count(c.conns, float64(e.Accepted), e.Name)
		count(c.exchanges, float64(e.Exchanges), e.Name)
		if e.Protocol == experiment.UDP {
			count(c.lost, float64(e.Dropped), e.Name, "dropped")
			count(c.lost, float64(e.Unreachable), e.Name, "unreachable")
		}
	}
	if r := status.Resolver; r != nil {
		count(c.queries, float64(r.Queries), "seen")
		count(c.queries, float64(r.Unanswered), "unanswered")
		count(c.queries, float64(r.Lost), "lost")
	}
	gauge(c.underWay, float64(c.countRuns()))
	for outcome, n := range c.done {
		count(c.runs, n, string(outcome))
	}
}

// totals moves injections that are over into base and returns base plus what is
// in force.
func (c *collector) totals(now []experiment.Injection) receipts {
	var over []experiment.Injection
	if c.cfg.Ended != nil {
		over = c.cfg.Ended()
	}
	remembered := map[string]bool{}
	for _, i := range over {
		remembered[i.ID] = true
		if !c.over[i.ID] {
			c.base.add(receiptsOf(i))
			delete(c.live, i.ID)
		}
	}
	c.over = remembered
	current := map[string]receipts{}
	for _, i := range now {
		if !c.over[i.ID] {
			current[i.ID] = receiptsOf(i)
		}
	}
	for id, r := range c.live {
		if _, still := current[id]; !still {
			c.base.add(r)
		}
	}
	c.live = current
	all := receipts{}
	all.add(c.base)
	for _, r := range current {
		all.add(r)
	}
	return all
}

// countRuns adds runs that have ended to done and returns how many go on.
func (c *collector) countRuns() (underWay int) {
	ended := map[string]bool{}
	for _, r := range c.cfg.Runs.Runs() {
		if r.Verdict == nil {
			underWay++
			continue
		}
		ended[r.ID] = true
		if !c.ended[r.ID] {
			c.done[r.Verdict.Outcome]++
		}
	}
	c.ended = ended
	return underWay
}
