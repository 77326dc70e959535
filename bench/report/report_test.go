package report

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/bench/figure"
	"github.com/chaosctl/chaosctl/bench/peer"
)

// value is a sample of one metric.
func value(metric string, v float64) *figure.Sample {
	return &figure.Sample{Values: map[string]float64{metric: v}}
}

// small is a run of one figure that three peers have.
func small() *Run {
	f := figure.Figure{Name: "bulk", Title: "Bulk", Metrics: []figure.Metric{{Name: "1 stream", Unit: "MB/s", Better: "higher"}}}
	return &Run{
		Rounds: 3, Scale: 1,
		Peers: []Peer{{Name: peer.Chaosctl}, {Name: peer.Toxiproxy}, {Name: peer.HAProxy}},
		Figures: []Figure{Gather(&f, map[string][]*figure.Sample{
			peer.Chaosctl:  {value("1 stream", 200), value("1 stream", 300), value("1 stream", 1000)},
			peer.Toxiproxy: {value("1 stream", 100), nil, value("1 stream", 100)},
			peer.HAProxy:   {nil, nil, nil},
		})},
	}
}

// TestRatio: ratios are made within a round, and a failed sample takes its round
// out only for itself.
func TestRatio(t *testing.T) {
	m := small().find("bulk", "1 stream")
	if got := m.Peers[peer.Chaosctl]; got.Median != 300 || got.Min != 200 || got.Max != 1000 {
		t.Errorf("own value %+v", got.Spread)
	}
	got, ok := m.ratio(peer.Toxiproxy)
	if !ok || got.N != 2 || got.Min != 2 || got.Max != 10 || got.Median != 6 {
		t.Errorf("ratio %+v, %v", got, ok)
	}
	if _, ok := m.ratio(peer.HAProxy); ok {
		t.Error("there is a ratio to a peer whose samples all failed")
	}
	if _, ok := m.Peers[peer.HAProxy]; ok {
		t.Error("a peer whose samples all failed has a value")
	}
}

// TestSeries: the middle of a series is the quantile of all rounds together, the
// spread that of the rounds.
func TestSeries(t *testing.T) {
	series := func(v ...float64) *figure.Sample {
		return &figure.Sample{Series: map[string][]float64{"s": v}}
	}
	v, ok := gather(figure.Metric{Name: "max", Series: "s", Quantile: 1}, []*figure.Sample{series(1, 2), nil, series(3, 9)})
	if !ok || v.Median != 9 || v.Min != 2 || v.Max != 9 || v.N != 2 {
		t.Errorf("got %+v, %v", v.Spread, ok)
	}
	if !math.IsNaN(float64(v.Rounds[1])) {
		t.Error("a failed round is no gap")
	}
}

func TestGoals(t *testing.T) {
	r := small()
	byWhat := map[string]Goal{}
	for _, g := range r.Goals() {
		byWhat[g.What+" "+g.Want] = g
	}
	reached := byWhat["bulk, 1 stream, over Toxiproxy >= 2.20"]
	if !reached.Measured || !reached.Reached || reached.Got != "6.00" {
		t.Errorf("%+v", reached)
	}
	if g := byWhat["bulk, 1 stream, over HAProxy >= 1.40"]; g.Measured || g.Reached {
		t.Errorf("without a measurement nothing is reached: %+v", g)
	}
}

// TestGoalTakesTheWorst of its metrics, and one that is missing is no success.
func TestGoalTakesTheWorst(t *testing.T) {
	f := figure.Figure{Name: "delay", Metrics: []figure.Metric{{Name: "a"}, {Name: "b"}}}
	samples := map[string][]*figure.Sample{peer.Chaosctl: {{Values: map[string]float64{"a": 10, "b": 70}}}}
	r := &Run{Figures: []Figure{Gather(&f, samples)}}
	for _, tc := range []struct {
		g    goal
		want Goal
	}{
		{goal{figure: "delay", metrics: []string{"b", "a"}, bound: 60}, Goal{Want: "<= 60.0", Got: "70.0 (b)", Measured: true}},
		{goal{figure: "delay", metrics: []string{"a", "b"}, bound: 70}, Goal{Want: "<= 70.0", Got: "70.0 (b)", Measured: true, Reached: true}},
		{goal{figure: "delay", metrics: []string{"b", "a"}, bound: 60, atLeast: true}, Goal{Want: ">= 60.0", Got: "10.0 (a)", Measured: true}},
		{goal{figure: "delay", metrics: []string{"a", "c"}, bound: 60}, Goal{Want: "<= 60.0", Got: "not measured"}},
	} {
		if got := tc.g.judge(r); got != tc.want {
			t.Errorf("%v: %+v, want %+v", tc.g.metrics, got, tc.want)
		}
	}
}

// TestGoalsAreFigures: every goal names figures and metrics that exist, so that
// a renamed metric cannot make a goal unknown for ever.
func TestGoalsAreFigures(t *testing.T) {
	metrics := map[string][]string{}
	for _, f := range figure.All() {
		for _, m := range f.Metrics {
			metrics[f.Name] = append(metrics[f.Name], m.Name)
		}
	}
	for _, g := range goals() {
		for _, m := range g.metrics {
			if !slices.Contains(metrics[g.figure], m) {
				t.Errorf("%s: figure %q has no metric %q", g.what, g.figure, m)
			}
		}
	}
	if names := slices.Sorted(maps.Keys(metrics)); len(names) != len(figure.All()) {
		t.Errorf("two figures share a name: %v", names)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.126: "0.13", 9.99: "9.99", 12.34: "12.3", 1234.5: "1234", -150: "-150", math.NaN(): "-"} {
		if got := number(v); got != want && !math.IsNaN(v) {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestWritten(t *testing.T) {
	r := small()
	r.Failed = []Failure{{Why: "first\nsecond", Samples: 3}}
	var text, page, data strings.Builder
	r.Text(&text)
	r.Markdown(&page)
	if err := r.JSON(&data); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"6.00 [2.00..10.0]", "300 MB/s", "FAILED, 3 samples: first"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"| 1 stream | 300 MB/s | 6.00 [2.00..10.0] |", "- 3: first second", "**not reached**", "unknown"} {
		if strings.Contains(page.String(), want) == (want == "**not reached**") {
			t.Errorf("Markdown: %q is not as it should be:\n%s", want, page.String())
		}
	}
	var back struct {
		Figures []struct {
			Metrics []struct {
				Peers map[string]struct{ Rounds []*float64 }
			}
		}
	}
	if err := json.Unmarshal([]byte(data.String()), &back); err != nil {
		t.Fatal(err)
	}
	if rounds := back.Figures[0].Metrics[0].Peers[peer.Toxiproxy].Rounds; len(rounds) != 3 || rounds[1] != nil || *rounds[2] != 100 {
		t.Errorf("a gap is not null: %v", rounds)
	}
}
