package probe

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

func stats(good, bad int, latency time.Duration) traffic.Stats {
	list := func(n int) []time.Duration {
		l := make([]time.Duration, n)
		for i := range l {
			l[i] = latency
		}
		return l
	}
	return traffic.NewStats(list(good), nil, list(bad))
}

func TestJudge(t *testing.T) {
	hurt := experiment.Window{Stage: experiment.StageHurt, Step: "auth is slow"}
	steady := experiment.Window{Stage: experiment.StageSteady}
	for _, c := range []struct {
		gate   experiment.Gate
		window experiment.Window
		stats  traffic.Stats
		result experiment.Result
		value  string
		why    string
	}{
		{experiment.Gate{Name: "availability", Success: share(t, ">= 99.5%")}, hurt, stats(832, 168, 0), experiment.Fail, "83.2%",
			"gate availability: success was 83.2% in hurt (auth is slow), not >= 99.5% (1000 requests)"},
		{experiment.Gate{Name: "availability", Success: share(t, ">= 99.5%")}, steady, stats(995, 5, 0), experiment.Pass, "99.5%",
			"gate availability: success was 99.5% in steady, >= 99.5% as it should (1000 requests)"},
		{experiment.Gate{Name: "availability", Success: share(t, ">= 99.5%")}, steady, stats(0, 0, 0), experiment.Unknown, "",
			"gate availability: success of checkout has no data in steady: no request ended in it"},
		{experiment.Gate{Name: "speed", P99: limit(t, "<= 300ms")}, steady, stats(40, 0, time.Second), experiment.Unknown, "",
			"gate speed: p99 of checkout has no data in steady: 40 requests, 100 are needed"},
		{experiment.Gate{Name: "speed", P99: limit(t, "<= 300ms")}, steady, stats(40, 400, time.Second), experiment.Unknown, "",
			"gate speed: p99 of checkout has no data in steady: 40 of 440 requests did not fail at once, 100 are needed"},
		{experiment.Gate{Name: "speed", P99: limit(t, "<= 300ms")}, steady, stats(400, 0, 412345*time.Microsecond), experiment.Fail, "412ms",
			"gate speed: p99 was 412ms in steady, not <= 300ms (400 requests)"},
		{experiment.Gate{Name: "speed", P50: limit(t, "<= 300ms")}, steady, stats(2, 0, 300012*time.Microsecond), experiment.Fail, "300.01ms",
			"gate speed: p50 was 300.01ms in steady, not <= 300ms (2 requests)"},
	} {
		c.gate.Of = "checkout"
		got := Judge(c.gate, c.window, c.stats)
		if len(got) != 1 {
			t.Fatalf("%s: %d results", c.gate.Name, len(got))
		}
		if g := got[0]; g.Result != c.result || g.Value != c.value || g.Why != c.why || g.Stage != c.window.Stage || g.Step != c.window.Step {
			t.Errorf("got  %s %q %s\nwant %s %q %s", g.Result, g.Value, g.Why, c.result, c.value, c.why)
		}
	}
	two := experiment.Gate{Name: "g", Of: "f", Success: share(t, "> 50%"), P90: limit(t, "< 1s"), P999: limit(t, "< 1s")}
	got := Judge(two, steady, stats(20, 0, time.Millisecond))
	if len(got) != 3 || got[0].Result != experiment.Pass || got[1].Result != experiment.Pass || got[2].Result != experiment.Unknown {
		t.Errorf("%+v", got)
	}
}

// TestSharesAreExact: k of 1000 is exactly k/10 percent, and a printed value
// never contradicts the result.
func TestSharesAreExact(t *testing.T) {
	for k := range uint64(1001) {
		text := shareText(*share(t, ">= 0%"), k, 1000)
		if !shareHolds(*share(t, ">= "+text), k, 1000) || !shareHolds(*share(t, "<= "+text), k, 1000) ||
			shareHolds(*share(t, "> "+text), k, 1000) || shareHolds(*share(t, "< "+text), k, 1000) {
			t.Errorf("%d of 1000 is not exactly %s", k, text)
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for _, text := range []string{">= 99.5%", "> 99.9%", "< 50%", "<= 0.1%", ">= 100%", "> 0%", "< 100%", ">= 99.99%"} {
		r := *share(t, text)
		for range 2000 {
			whole := dice.Uint64N(1_000_000) + 1
			part := min(whole, uint64(float64(whole)*r.Share)+dice.Uint64N(3))
			printed := share(t, string(r.Op)+" "+shareText(r, part, whole))
			printed.Op = r.Op
			if got := r.Holds(printed.Share); got != shareHolds(r, part, whole) {
				t.Fatalf("%d of %d is printed as %s against %s, but the result is %t", part, whole, shareText(r, part, whole), text, !got)
			}
		}
	}
	if got := shareText(*share(t, ">= 99.5%"), 994999, 1000000); got != "99.4999%" {
		t.Errorf("got %s", got)
	}
	if got := shareText(*share(t, ">= 90%"), 99999, 100000); got != "99.999%" {
		t.Errorf("got %s; not all succeeded", got)
	}
	for d := 299 * time.Millisecond; d < 301*time.Millisecond; d += 7 * time.Microsecond {
		for _, text := range []string{"<= 300ms", "< 300ms", "> 300ms", ">= 300ms"} {
			r := *limit(t, text)
			printed, err := time.ParseDuration(timeText(r, d))
			if err != nil || r.Holds(printed) != r.Holds(d) {
				t.Fatalf("%s is printed as %s against %s", d, printed, text)
			}
		}
	}
}

func TestHolds(t *testing.T) {
	gates := []experiment.Gate{
		{Name: "few", Of: "f", P99: limit(t, "<= 1s")},
		{Name: "ok", Of: "f", Success: share(t, ">= 50%")},
		{Name: "bad", Of: "g", Success: share(t, ">= 50%")},
	}
	of := func(f string) traffic.Stats {
		if f == "g" {
			return stats(1, 9, 0)
		}
		return stats(10, 0, 0)
	}
	w := experiment.Window{Stage: experiment.StageHurt}
	if r, why := Holds(gates, w, of); r != experiment.Fail || !strings.Contains(why, "gate bad: success was 10%") {
		t.Errorf("%s %s", r, why)
	}
	if r, why := Holds(gates[:2], w, of); r != experiment.Unknown || !strings.Contains(why, "gate few") {
		t.Errorf("%s %s", r, why)
	}
	if r, why := Holds(gates[1:2], w, of); r != experiment.Pass || why != "" {
		t.Errorf("%s %s", r, why)
	}
}

func TestAbortHolds(t *testing.T) {
	at := time.Now().Add(-time.Hour)
	sec := func(s float64) time.Time { return at.Add(time.Duration(s * float64(time.Second))) }
	rule := experiment.Abort{Of: "f", Success: share(t, "< 50%")}
	slow := experiment.Abort{Of: "f", P99: limit(t, "> 2s")}
	rec, u := recorder(t, at, map[string]int{"f": 50})
	f := u["f"]
	f.until(10*time.Second, "200", time.Millisecond)
	if holds, _ := AbortHolds(rule, rec, sec(3), sec(8)); holds {
		t.Error("all is well")
	}
	if holds, _ := AbortHolds(rule, rec, sec(-2), sec(3)); holds {
		t.Error("the window began before the flow")
	}
	f.until(13*time.Second, "503", time.Millisecond)
	f.until(20*time.Second, "200", time.Millisecond)
	if holds, why := AbortHolds(rule, rec, sec(8), sec(13)); !holds ||
		why != "abort rule: success of f was 40% (< 50%) over 5s (250 requests)" {
		t.Errorf("%t %s", holds, why)
	}
	if holds, _ := AbortHolds(slow, rec, sec(8), sec(13)); holds {
		t.Error("the answers are quick")
	}
	f.until(40*time.Second, "", 0) // a stall with no answer at all
	if holds, _ := AbortHolds(rule, rec, sec(19), sec(24)); holds {
		t.Error("4 s into the stall: not yet")
	}
	for _, a := range []experiment.Abort{rule, slow} {
		if holds, why := AbortHolds(a, rec, sec(22.5), sec(27.5)); !holds {
			t.Errorf("7.5 s into a stall with nothing decided but by waiting: %v %s", a, why)
		}
	}
	both := experiment.Abort{Of: "f", Success: share(t, "< 50%"), P99: limit(t, "> 20s")}
	if holds, _ := AbortHolds(both, rec, sec(22.5), sec(27.5)); holds {
		t.Error("only one of two figures holds")
	}
	if holds, _ := AbortHolds(experiment.Abort{Of: "f"}, rec, sec(22.5), sec(27.5)); holds {
		t.Error("a rule without a figure")
	}
	if holds, _ := AbortHolds(experiment.Abort{Of: "nobody", Success: share(t, "< 50%")}, rec, sec(8), sec(13)); holds {
		t.Error("a rule on no data")
	}
}
