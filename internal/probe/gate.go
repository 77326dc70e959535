package probe

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// figure is one rule of a gate or an abort rule.
type figure struct {
	gate  string // its name
	of    string // the flow
	name  string // success, p99, ...
	share *experiment.ShareRule
	time  *experiment.TimeRule
	q     float64 // quantile of time
}

func (f figure) rule() string {
	if f.share != nil {
		return f.share.String()
	}
	return f.time.String()
}

func figuresOf(g experiment.Gate) []figure {
	var all []figure
	if g.Success != nil {
		all = append(all, figure{gate: g.Name, of: g.Of, name: "success", share: g.Success})
	}
	for _, t := range []struct {
		name string
		q    float64
		rule *experiment.TimeRule
	}{{"p50", .5, g.P50}, {"p90", .9, g.P90}, {"p95", .95, g.P95}, {"p99", .99, g.P99}, {"p999", .999, g.P999}} {
		if t.rule != nil {
			all = append(all, figure{gate: g.Name, of: g.Of, name: t.name, time: t.rule, q: t.q})
		}
	}
	return all
}

// Judge judges a gate over one window, from the requests of its flow in it; one
// result per figure. Whether the gate applies to the window's stage is the
// caller's to say (experiment.Gate.During).
func Judge(g experiment.Gate, w experiment.Window, s traffic.Stats) []experiment.GateResult {
	var results []experiment.GateResult
	for _, f := range figuresOf(g) {
		results = append(results, f.judge(w, s))
	}
	return results
}

func (f figure) judge(w experiment.Window, s traffic.Stats) experiment.GateResult {
	r := experiment.GateResult{
		Gate: f.gate, Of: f.of, Stage: w.Stage, Step: w.Step,
		Figure: f.name, Rule: f.rule(), Samples: s.Requests, Result: experiment.Unknown,
	}
	value, holds, known := f.measure(s)
	if !known {
		r.Why = fmt.Sprintf("gate %s: %s of %s has no data in %s: %s", f.gate, f.name, f.of, w.Title(), f.missing(s))
		return r
	}
	r.Value = value
	over := fmt.Sprintf("(%s)", count(s.Requests, "request"))
	if holds {
		r.Result = experiment.Pass
		r.Why = fmt.Sprintf("gate %s: %s was %s in %s, %s as it should %s", f.gate, f.name, value, w.Title(), r.Rule, over)
		return r
	}
	r.Result = experiment.Fail
	r.Why = fmt.Sprintf("gate %s: %s was %s in %s, not %s %s", f.gate, f.name, value, w.Title(), r.Rule, over)
	return r
}

// measure is the figure's value in words and whether it satisfies the rule.
func (f figure) measure(s traffic.Stats) (value string, holds, known bool) {
	if f.share != nil {
		if s.Requests == 0 {
			return "", false, false
		}
		return shareText(*f.share, s.Successes, s.Requests), shareHolds(*f.share, s.Successes, s.Requests), true
	}
	d, ok := s.Quantile(f.q)
	if !ok {
		return "", false, false
	}
	return timeText(*f.time, d), f.time.Holds(d), true
}

// missing says what data there is and what it takes.
func (f figure) missing(s traffic.Stats) string {
	if f.share != nil {
		return "no request ended in it"
	}
	needed := traffic.Needed(f.q)
	are := "are"
	if needed == 1 {
		are = "is"
	}
	if s.Timed < s.Requests {
		return fmt.Sprintf("%d of %s did not fail at once, %d %s needed", s.Timed, count(s.Requests, "request"), needed, are)
	}
	return fmt.Sprintf("%s, %d %s needed", count(s.Requests, "request"), needed, are)
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}

// shareHolds compares part/whole with the rule as fractions: 999 of 1000 is
// 99.9%, whatever floating point makes of either.
func shareHolds(r experiment.ShareRule, part, whole uint64) bool {
	const unit = 1e9
	bound := uint64(math.Round(r.Share * unit))
	hi1, lo1 := bits.Mul64(part, unit)
	hi2, lo2 := bits.Mul64(whole, bound)
	side := 0.5 // of a rule with the bound 0.5
	switch {
	case hi1 > hi2 || hi1 == hi2 && lo1 > lo2:
		side = 0.75
	case hi1 < hi2 || lo1 < lo2:
		side = 0.25
	}
	return experiment.ShareRule{Op: r.Op, Share: 0.5}.Holds(side)
}

// shareText prints a share with one decimal, or as many more as it takes for
// the printed number to stand to the rule as the real one does.
func shareText(r experiment.ShareRule, part, whole uint64) string {
	share := float64(part) / float64(whole)
	holds := shareHolds(r, part, whole)
	for decimals := 1; ; decimals++ {
		text := strconv.FormatFloat(100*share, 'f', decimals, 64)
		// The printed number as a fraction of unit, to be compared exactly.
		printed, err := strconv.ParseFloat(text, 64)
		// Nor may it say all or nothing where there was a little.
		blunt := err != nil || printed == 0 && part > 0 || printed == 100 && part < whole
		if decimals >= 7 || !blunt && shareHolds(r, uint64(math.Round(printed*1e7)), 1e9) == holds {
			return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
		}
	}
}

// timeText prints a duration with three digits, or as many more as it takes for
// the printed one to stand to the rule as the real one does.
func timeText(r experiment.TimeRule, d time.Duration) string {
	holds := r.Holds(d)
	step := time.Duration(1)
	for d/step >= 1000 {
		step *= 10
	}
	for ; step > 1; step /= 10 {
		if p := d.Round(step); r.Holds(p) == holds {
			return p.String()
		}
	}
	return d.String()
}

// Holds tells whether all gates hold over the given requests of their flows:
// Fail if one is broken, else Unknown if one has no data. why is the sentence of
// the first that does not hold.
func Holds(gates []experiment.Gate, w experiment.Window, stats func(flow string) traffic.Stats) (result experiment.Result, why string) {
	result = experiment.Pass
	for _, g := range gates {
		for _, r := range Judge(g, w, stats(g.Of)) {
			switch {
			case r.Result == experiment.Fail:
				return experiment.Fail, r.Why
			case r.Result == experiment.Unknown && result == experiment.Pass:
				result, why = experiment.Unknown, r.Why
			}
		}
	}
	return result, why
}

// AbortHolds tells whether an abort rule holds over [from, now), which is the
// rule's window; then why says so in one sentence. If it gives several figures,
// all must hold.
func AbortHolds(a experiment.Abort, rec *traffic.Recorder, from, now time.Time) (holds bool, why string) {
	figures := figuresOf(experiment.Gate{Of: a.Of, Success: a.Success, P99: a.P99})
	if len(figures) == 0 {
		return false, ""
	}
	s := rec.Decided(a.Of, from, now)
	var reasons []string
	for _, f := range figures {
		value, broken, known := f.measure(s)
		if !known || !broken {
			return false, ""
		}
		reasons = append(reasons, fmt.Sprintf("%s of %s was %s (%s)", f.name, a.Of, value, f.rule()))
	}
	return true, fmt.Sprintf("abort rule: %s over %s (%s)", strings.Join(reasons, " and "),
		now.Sub(from).Round(time.Millisecond), count(s.Requests, "request"))
}
