package report

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func TestDur(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 7: "7ns", 1500: "1.5µs", 999_600: "1ms", 412 * time.Millisecond: "412ms", 28400 * time.Microsecond: "28.4ms", 999_600 * time.Microsecond: "1s", 3124 * time.Millisecond: "3.12s",
		10 * time.Second: "10s", 59960 * time.Millisecond: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 2*time.Hour + 5*time.Second: "2h0m5s", 100 * time.Hour: "4d4h", 48 * time.Hour: "2d",
		-1500 * time.Millisecond: "-1.5s", math.MinInt64: "-106751d23h",
	} {
		if got := dur(d); got != want {
			t.Errorf("dur(%d) = %q, want %q", int64(d), got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		part, whole uint64
		want        string
	}{{0, 0, noData}, {0, 5, "0%"}, {5, 5, "100%"}, {995, 1000, "99.5%"}, {9999, 10000, "99.99%"}, {999_999, 1_000_000, "99.9999%"}, {1, 100_000, "0.001%"}, {1, 2, "50%"}, {math.MaxUint64 - 1, math.MaxUint64, "just under 100%"}, {1, math.MaxUint64, "just over 0%"}} {
		if got := percent(c.part, c.whole); got != c.want {
			t.Errorf("percent(%d, %d) = %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}

func TestCounts(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct {
		n    uint64
		noun string
		want string
	}{{1, "exchange", "1 exchange"}, {0, "exchange", "0 exchanges"}, {2, "process", "2 processes"}} {
		if got := plural(c.n, c.noun); got != c.want {
			t.Errorf("plural = %q, want %q", got, c.want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 812_345: "812 kB", math.MaxUint64: "18.4 EB"} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func labels(ticks []tick) string {
	var all []string
	for _, x := range ticks {
		all = append(all, x.Label)
	}
	return strings.Join(all, " ")
}

func TestTimeTicks(t *testing.T) {
	for length, want := range map[time.Duration]string{
		0: "0 1s", 8 * time.Second: "0 2s 4s 6s 8s", 42 * time.Second: "0 10s 20s 30s 40s", 65 * time.Second: "0 15s 30s 45s 1m",
		10 * time.Minute: "0 2m 4m 6m 8m 10m", 3 * time.Hour: "0 30m 1h 1h30m 2h 2h30m 3h", 20 * 24 * time.Hour: "0 5d 10d 15d 20d",
	} {
		a := timeAxis{start, start.Add(length)}
		if got := labels(a.ticks(6)); got != want {
			t.Errorf("ticks over %s: %s, want %s", length, got, want)
		}
	}
	forever := timeAxis{time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if n := len(forever.ticks(6)); n < 2 || n > 12 {
		t.Errorf("%d ticks over all of time", n)
	}
}

func TestScaleTicks(t *testing.T) {
	for _, c := range []struct {
		s    scale
		want string
	}{
		{linear(50), "0 20 40 60"}, {linear(20), "0 10 20"}, {linear(1), "0 0.5 1"}, {linear(7), "0 4 8"}, {linear(3333), "0 2,000 4,000"},
		{logarithmic(9, 1830), "10 100 1,000"}, {logarithmic(9, 280), "3 10 30 100 300"}, {logarithmic(5, 5), "3 10"}, {logarithmic(0.5, 20000), "1 100 10,000"},
	} {
		var got []string
		for _, x := range c.s.ticks(digitsOrZero) {
			got = append(got, x.Label)
			if x.At < -1e-9 || x.At > plotHeight+1e-9 {
				t.Errorf("%+v: tick %s lies outside at %v", c.s, x.Label, x.At)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: ticks %v, want %s", c.s, got, c.want)
		}
	}
}

func points(n int, edit func(i int, p *experiment.SeriesPoint)) []experiment.SeriesPoint {
	ps := make([]experiment.SeriesPoint, n)
	for i := range ps {
		ps[i] = experiment.SeriesPoint{Time: at(time.Duration(i) * time.Second), Requests: 10, P50: 5, P99: 20}
		if edit != nil {
			edit(i, &ps[i])
		}
	}
	return ps
}

func axisFor(ps []experiment.SeriesPoint) timeAxis {
	return timeAxis{ps[0].Time, ps[len(ps)-1].Time.Add(time.Second)}
}

func p99(s slot) (float64, float64, bool) { return s.minP99, s.maxP99, s.latency }

func TestThinningHidesNoPeak(t *testing.T) {
	ps := points(20_000, func(i int, p *experiment.SeriesPoint) {
		switch i {
		case 7777:
			p.P99 = 5000
		case 12_345:
			p.Failures = 10
		case 15_000:
			p.Requests = 0
			p.P50, p.P99 = 0, 0
		}
	})
	a := axisFor(ps)
	all := slots(ps, a.to, a)
	if len(all) > maxSlots+1 || len(all) < maxSlots/2 {
		t.Fatalf("%d slots", len(all))
	}
	var requests, failed uint64
	n := 0
	for _, s := range all {
		requests, failed, n = requests+s.requests, failed+s.failed, n+s.n
	}
	if n != len(ps) || requests != 10*19_999 || failed != 10 {
		t.Errorf("%d points, %d requests, %d failed", n, requests, failed)
	}
	peak := slices.MaxFunc(all, func(x, y slot) int { return int(x.maxP99 - y.maxP99) })
	if peak.maxP99 != 5000 || a.at(peak.mid()) < 38.5 || a.at(peak.mid()) > 39.3 {
		t.Errorf("the peak of p99 is %v at %v%%", peak.maxP99, a.at(peak.mid()))
	}
	if worst := slices.MaxFunc(all, func(x, y slot) int { return int(100 * (x.worst - y.worst)) }); worst.worst != 1 {
		t.Errorf("the worst second failed %v", worst.worst)
	}
	if low := slices.MinFunc(all, func(x, y slot) int { return int(x.minRate - y.minRate) }); low.minRate != 0 {
		t.Errorf("the lowest rate is %v", low.minRate)
	}
	sc := scale{hi: 5000}
	if d := draw(all, a, sc, p99); !strings.Contains(d.Line, " 0L") {
		t.Error("the line does not reach the peak")
	}
}

func TestGapsAreGaps(t *testing.T) {
	ps := points(20, func(i int, p *experiment.SeriesPoint) {
		if i >= 5 && i < 8 { // answered nothing
			p.P50, p.P99 = 0, 0
		}
	})
	ps = slices.Delete(ps, 12, 15) // not recorded
	a := axisFor(ps)
	all := slots(ps, a.to, a)
	if got := strings.Count(draw(all, a, linear(20), p99).Line, "M"); got != 3 {
		t.Errorf("the latency is drawn in %d parts, want 3", got)
	}
	rate := func(s slot) (float64, float64, bool) { return s.minRate, s.maxRate, true }
	if got := strings.Count(draw(all, a, linear(20), rate).Line, "M"); got != 2 {
		t.Errorf("the rate is drawn in %d parts, want 2", got)
	}
	whole := points(20, nil)
	if got := strings.Count(draw(slots(whole, a.to, a), a, linear(20), p99).Line, "M"); got != 1 {
		t.Errorf("a whole series is drawn in %d parts", got)
	}
}

func TestOnePoint(t *testing.T) {
	r := failing()
	r.Windows = nil
	r.Recovery = nil
	r.Flows[0].Series = r.Flows[0].Series[:1]
	tl := timelines(r)[0]
	if len(tl.Panels) != 3 || len(tl.Hits) != 1 || tl.Panels[0].Lines[0].Class != "rate dots" {
		t.Errorf("one point is drawn as %+v", tl.Panels)
	}
	if err := wellFormed(render(t, HTML, r)); err != nil {
		t.Error(err)
	}
}

func TestOddSeries(t *testing.T) {
	p := func(d time.Duration, requests, failures uint32) experiment.SeriesPoint {
		return experiment.SeriesPoint{Time: at(d), Requests: requests, Failures: failures, P50: 1, P99: 2}
	}
	ps := []experiment.SeriesPoint{p(3*time.Second, 5, 9), p(time.Second, 1, 0), p(time.Second, 1, 0), p(2*time.Second, 0, 0)}
	a := timeAxis{at(0), at(4 * time.Second)}
	all := slots(ps, a.to, a)
	if len(all) != 3 || !all[0].from.Equal(at(time.Second)) {
		t.Fatalf("not put in order, or a second stands twice: %+v", all)
	}
	if all[2].worst != 1 || all[2].failed != 9 {
		t.Errorf("more failures than requests: %+v", all[2])
	}
	half := slots([]experiment.SeriesPoint{p(0, 10, 0), p(time.Second, 5, 0)}, at(1500*time.Millisecond), a)
	if half[1].maxRate != 10 {
		t.Errorf("half a second with 5 requests is a rate of %v", half[1].maxRate)
	}
	for _, v := range []float64{math.Inf(1), math.NaN(), -5} {
		q := p(0, 1, 0)
		q.P50, q.P99 = v, v
		r := failing()
		r.Flows[0].Series = []experiment.SeriesPoint{q, p(time.Second, 1, 0)}
		if page := render(t, HTML, r); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%v reaches the page", v)
		}
	}
}

func TestGateBounds(t *testing.T) {
	r := failing()
	tl := timelines(r)[0]
	latency := tl.Panels[2]
	if len(latency.Bounds) == 0 || latency.Bounds[0].Label != "gate: p99 <= 300ms" {
		t.Fatalf("the gate is not drawn: %+v", latency.Bounds)
	}
	for i := range r.Gates { // judged in recovery only
		if r.Gates[i].Figure == "p99" && r.Gates[i].Stage != experiment.StageRecovery {
			r.Gates[i].Figure = "p90"
		}
	}
	b := timelines(r)[0].Panels[2].Bounds
	if len(b) != 1 || b[0].X1 < "7" || b[0].X2 != "1000" {
		t.Errorf("the bound is drawn over %+v", b)
	}
}

func TestShades(t *testing.T) {
	r := passing()
	if n := len(timelines(r)[0].Shades); n != 2 {
		t.Errorf("%d windows are shaded, want 2", n)
	}
	r.Windows = r.Windows[:1] // ended before the hurt window was recorded
	r.Windows[0].End = at(50 * time.Second)
	shades := timelines(r)[0].Shades
	if len(shades) != 2 || shades[0].Left == "0" {
		t.Errorf("the faults in force are not shaded: %+v", shades)
	}
}

func TestMarks(t *testing.T) {
	names := func(r *experiment.Run) string {
		var all []string
		for _, m := range timelines(r)[0].Marks {
			all = append(all, m.Label)
		}
		return strings.Join(all, ", ")
	}
	for want, r := range map[string]*experiment.Run{"lift, recovered +1.24s": passing(), "lift, recovered +8.7s, deadline +5s": failing(), "aborted: lift": aborted()} {
		if got := names(r); got != want {
			t.Errorf("marks %q, want %q", got, want)
		}
	}
}

func TestKeyFigures(t *testing.T) {
	p := newPage(passing())
	hurt := p.Keys[0].Columns[1]
	if hurt.Stage != "hurt, worst step" || hurt.P99.Value != "248ms" || hurt.P99.Where != "db is cut off" || hurt.P99.Tone != toneGood {
		t.Errorf("the worst step: %+v", hurt)
	}
	if f := newPage(failing()).Keys[0].Columns[1].P99; f.Tone != toneBad || f.Rule != "<= 300ms" {
		t.Errorf("a broken figure: %+v", f)
	}
	if f := newPage(aborted()).Keys[0].Columns[2].Success; f.Value != noData {
		t.Errorf("a stage that was not reached: %+v", f)
	}
}

func TestRecoveryWords(t *testing.T) {
	took := fault.Duration(time.Second)
	for _, c := range []struct {
		rec  *experiment.RecoveryResult
		want string
		tone tone
	}{
		{&experiment.RecoveryResult{Result: experiment.Pass, Took: &took}, "1s", toneGood},
		{&experiment.RecoveryResult{Result: experiment.Fail, Took: &took}, "1s", toneBad},
		{&experiment.RecoveryResult{Result: experiment.Fail}, "not in time", toneBad},
		{&experiment.RecoveryResult{Result: experiment.Unknown}, noData, toneWarn},
	} {
		v := recoveryOf(c.rec)
		if v.Took != c.want || v.Tone != c.tone || v.Why == "" {
			t.Errorf("%+v: %+v", c.rec, v)
		}
	}
}
