// Package report turns the samples of a run into tables of ratios, a list of
// what was to be reached, Markdown and JSON.
package report

import (
	"encoding/json"
	"math"
	"time"

	"github.com/chaosctl/chaosctl/bench/figure"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/stats"
)

// Run is what was measured, and how.
type Run struct {
	Machine string        `json:"machine"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Rounds  int           `json:"rounds"`
	Scale   figure.Scale  `json:"scale"` // 1, or less for -quick
	Peers   []Peer        `json:"peers"`
	Foreign stats.Spread  `json:"foreign_cpu"` // share of the machine that others used, per sample that counts
	Retaken int           `json:"retaken"`     // samples thrown away for that reason
	Noisy   int           `json:"noisy"`       // samples kept in spite of it
	Failed  []Failure     `json:"failed"`
	Figures []Figure      `json:"figures"`
}

// Failure is why some samples could not be taken.
type Failure struct {
	Why     string `json:"why"`
	Samples int    `json:"samples"`
}

// Peer is one of those compared.
type Peer struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

// Figure is one figure of all peers.
type Figure struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Method  string   `json:"method"`
	Metrics []Metric `json:"metrics"`
}

// Metric is one value of all peers.
type Metric struct {
	Name   string            `json:"name"`
	Unit   string            `json:"unit"`
	Better string            `json:"better"`
	Peers  map[string]Values `json:"peers"` // by name; absent: not measured
}

// Values is what one peer gave.
type Values struct {
	stats.Spread
	Rounds []Value `json:"rounds"` // in order; a sample that failed is a gap
}

// Value is a number, or a gap (NaN), which is null in JSON.
type Value float64

// MarshalJSON writes a gap as null.
func (v Value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(v))
}

// Gather makes a figure's results of its samples, by peer and round; a sample
// that failed is nil.
func Gather(f *figure.Figure, samples map[string][]*figure.Sample) Figure {
	out := Figure{Name: f.Name, Title: f.Title, Method: f.Method}
	for _, m := range f.Metrics {
		metric := Metric{Name: m.Name, Unit: m.Unit, Better: m.Better, Peers: map[string]Values{}}
		for name, rounds := range samples {
			if v, ok := gather(m, rounds); ok {
				metric.Peers[name] = v
			}
		}
		out.Metrics = append(out.Metrics, metric)
	}
	return out
}

// gather: the middle is the median of the rounds, or the quantile of all their
// series together; the spread is that of the rounds.
func gather(m figure.Metric, rounds []*figure.Sample) (Values, bool) {
	var v Values
	var measured, pooled []float64
	for _, s := range rounds {
		one := math.NaN()
		if s != nil && m.Series != "" {
			one = stats.Quantile(s.Series[m.Series], m.Quantile)
			pooled = append(pooled, s.Series[m.Series]...)
		} else if s != nil {
			if value, ok := s.Values[m.Name]; ok {
				one = value
			}
		}
		if !math.IsNaN(one) {
			measured = append(measured, one)
		}
		v.Rounds = append(v.Rounds, Value(one))
	}
	v.Spread = stats.Of(measured)
	if len(pooled) > 0 {
		v.Median = stats.Quantile(pooled, m.Quantile)
	}
	return v, len(measured) > 0
}

func (v Values) floats() []float64 {
	all := make([]float64, len(v.Rounds))
	for i, r := range v.Rounds {
		all[i] = float64(r)
	}
	return all
}

// ratio is chaosctl's value over another's, round by round.
func (m *Metric) ratio(against string) (stats.Spread, bool) {
	ours, ok := m.Peers[peer.Chaosctl]
	theirs, both := m.Peers[against]
	if !ok || !both {
		return stats.Spread{}, false
	}
	s := stats.Of(stats.Ratios(ours.floats(), theirs.floats()))
	return s, s.N > 0
}

// find returns a metric by name, nil if it was not measured.
func (r *Run) find(figureName, metricName string) *Metric {
	for i := range r.Figures {
		if r.Figures[i].Name != figureName {
			continue
		}
		for j := range r.Figures[i].Metrics {
			if r.Figures[i].Metrics[j].Name == metricName {
				return &r.Figures[i].Metrics[j]
			}
		}
	}
	return nil
}
