package toxiproxy

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chaosctl/chaosctl/experiment"
)

// metrics is /metrics.
type metrics struct{ handler http.Handler }

func newMetrics(c Config) *metrics {
	r := prometheus.NewRegistry()
	if c.RuntimeMetrics {
		r.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if c.ProxyMetrics {
		r.MustRegister(newTraffic(c.Edges))
	}
	return &metrics{promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r})}
}

// traffic counts the bytes of every proxy there is, as they pass.
type traffic struct {
	edges          Edges
	received, sent *prometheus.Desc
}

func newTraffic(edges Edges) *traffic {
	desc := func(what string) *prometheus.Desc {
		return prometheus.NewDesc("toxiproxy_proxy_"+what+"_bytes_total", "", []string{"direction", "proxy", "listener", "upstream"}, nil)
	}
	return &traffic{edges, desc("received"), desc("sent")}
}

// Describe implements prometheus.Collector.
func (t *traffic) Describe(ch chan<- *prometheus.Desc) {
	ch <- t.received
	ch <- t.sent
}

// Collect implements prometheus.Collector.
func (t *traffic) Collect(ch chan<- prometheus.Metric) {
	for _, e := range t.edges.Edges() {
		if e.From != caller {
			continue
		}
		t.collect(ch, e)
	}
}

// collect takes what passed an edge as both received and sent: bytes that a toxic
// has lost count as one of them only in the original.
func (t *traffic) collect(ch chan<- prometheus.Metric, e experiment.EdgeStatus) {
	for _, d := range []*prometheus.Desc{t.received, t.sent} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(e.BytesIn), "upstream", e.To, e.Listen, e.Upstream)
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(e.BytesOut), "downstream", e.To, e.Listen, e.Upstream)
	}
}
