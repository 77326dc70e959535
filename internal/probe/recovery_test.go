package probe

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

const sec = time.Second

func TestTimeToRecover(t *testing.T) {
	avail := experiment.Gate{Name: "availability", Of: "f", Success: share(t, ">= 99.5%")}
	speed := experiment.Gate{Name: "speed", Of: "f", P99: limit(t, "<= 300ms")}
	other := experiment.Gate{Name: "other", Of: "g", Success: share(t, ">= 99.5%")}
	type script func(f, g *users)
	healsAfter3 := func(f, g *users) {
		f.until(3*sec, "503", time.Millisecond)
		f.until(13*sec, "200", time.Millisecond)
	}
	for _, c := range []struct {
		name   string
		gates  []experiment.Gate
		script script
		end    time.Duration
		result experiment.Result
		from   time.Duration // took lies within [from, to]
		to     time.Duration
		why    string
	}{
		{"never hurt", []experiment.Gate{avail, speed}, func(f, g *users) { f.until(8*sec, "200", time.Millisecond) }, 8 * sec, experiment.Pass, 0, 0, "held from 0s"},
		{"heals after 3 s", []experiment.Gate{avail}, healsAfter3, 13 * sec, experiment.Pass, 2500 * time.Millisecond, 3 * sec, ""},
		{"not held long enough", []experiment.Gate{avail}, healsAfter3, 7500 * time.Millisecond, experiment.Fail, 0, 0,
			"gate availability: success was 90% in recovery"},
		{"slow for 4 s", []experiment.Gate{avail, speed}, func(f, g *users) {
			f.until(4*sec, "200", time.Second)
			f.until(13*sec, "200", time.Millisecond)
		}, 13 * sec, experiment.Pass, 3800 * time.Millisecond, 4 * sec, ""},
		{"broken again", []experiment.Gate{avail}, func(f, g *users) {
			f.until(5*sec, "200", time.Millisecond)
			f.until(7*sec, traffic.Timeout, 0)
			f.until(14*sec, "200", time.Millisecond)
		}, 14 * sec, experiment.Pass, 6900 * time.Millisecond, 7 * sec, ""},
		{"broken at the end", []experiment.Gate{avail}, func(f, g *users) {
			f.until(13*sec, "200", time.Millisecond)
			f.until(14*sec, "503", time.Millisecond)
		}, 14 * sec, experiment.Fail, 0, 0, "gate availability: success was 80%"},
		{"under way counts against", []experiment.Gate{avail, speed}, func(f, g *users) {
			f.until(13*sec, "200", time.Millisecond)
			f.until(14*sec, "", 0)
		}, 14 * sec, experiment.Fail, 0, 0, ""},
		{"two flows", []experiment.Gate{avail, other}, func(f, g *users) {
			f.until(2*sec, "503", time.Millisecond)
			f.until(13*sec, "200", time.Millisecond)
			g.until(4*sec, "503", time.Millisecond)
			g.until(13*sec, "200", time.Millisecond)
		}, 13 * sec, experiment.Pass, 3800 * time.Millisecond, 4 * sec, ""},
		{"too few for p99", []experiment.Gate{{Name: "speed", Of: "g", P99: limit(t, "<= 300ms")}}, func(f, g *users) {
			g.until(9*sec, "200", time.Millisecond)
		}, 9 * sec, experiment.Unknown, 0, 0, "p99 of g has no data in recovery: 90 requests, 100 are needed"},
		{"few over the rest, enough over the stage", []experiment.Gate{{Name: "speed", Of: "g", P99: limit(t, "<= 300ms")}}, func(f, g *users) {
			g.until(5*sec, "200", time.Second)
			g.until(13*sec, "200", time.Millisecond)
		}, 13 * sec, experiment.Pass, 4800 * time.Millisecond, 5 * sec, ""},
		{"no request", []experiment.Gate{avail}, func(f, g *users) {}, 9 * sec, experiment.Unknown, 0, 0, "has no data"},
		{"no gate", nil, healsAfter3, 13 * sec, experiment.Unknown, 0, 0, "no gate"},
		{"a rule upwards", []experiment.Gate{{Name: "slow", Of: "f", P50: limit(t, "> 300ms")}}, func(f, g *users) {
			f.until(3*sec, "200", time.Millisecond)
			f.until(13*sec, "200", time.Second)
		}, 13 * sec, experiment.Pass, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			lift := time.Now().Add(-time.Hour)
			rec, u := recorder(t, lift, map[string]int{"f": 50, "g": 10})
			c.script(u["f"], u["g"])
			took, result, why := Recovery(c.gates, rec, lift, lift.Add(c.end), 5*sec)
			if result != c.result || took < c.from || took > c.to || !strings.Contains(why, c.why) {
				t.Errorf("got %s %s %q, want %s [%s, %s] %q", result, took, why, c.result, c.from, c.to, c.why)
			}
			if again, ok, _ := TimeToRecover(c.gates, rec, lift, lift.Add(c.end), 5*sec); ok != (result == experiment.Pass) || again != took {
				t.Errorf("TimeToRecover says %s %t", again, ok)
			}
		})
	}
}

// TestSuffixRule compares the measured time with the definition, taken word by
// word: try each instant from the lift on.
func TestSuffixRule(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	passes := 0
	for range 24 {
		lift := time.Now().Add(-time.Hour)
		rec, u := recorder(t, lift, map[string]int{"f": 50, "g": 20})
		bad := time.Duration(dice.Int64N(int64(6 * sec)))
		for _, f := range u {
			for d := time.Duration(0); d < 10*sec; d += 20 * time.Millisecond {
				p := 0.004
				if d < bad {
					p = 0.3
				}
				class, lat := "200", time.Duration(dice.Int64N(int64(200*time.Millisecond)))
				if dice.Float64() < p {
					class = []string{"503", "200", traffic.Timeout}[dice.IntN(3)]
					lat *= 4
				}
				f.until(d, class, lat)
			}
			f.until(10*sec, "200", 0)
		}
		gates := []experiment.Gate{
			{Name: "a", Of: "f", Success: share(t, ">= 99%"), P95: limit(t, "<= 190ms")},
			{Name: "b", Of: "g", Success: share(t, ">= 98%"), P50: limit(t, "< 110ms")},
		}
		end, hold := lift.Add(10*sec), 2*sec
		took, result, why := Recovery(gates, rec, lift, end, hold)
		want, found := time.Duration(0), false
		for d := time.Duration(0); d <= 8*sec && !found; d += 10 * time.Millisecond {
			r, _ := Holds(gates, experiment.Window{}, func(flow string) traffic.Stats { return rec.Sliding(flow, lift.Add(d), end) })
			if r == experiment.Pass {
				want, found = d, true
			}
		}
		// The instants tried hold all starts and those between: at most one request earlier.
		if found != (result == experiment.Pass) || took < want || took > want+20*time.Millisecond {
			t.Fatalf("got %s %s (%s), by definition %s %t", result, took, why, want, found)
		}
		if found && want > 0 {
			passes++
		}
	}
	if passes < 8 {
		t.Errorf("only %d of 24 recovered late: the comparison is weak", passes)
	}
}

func TestRecovered(t *testing.T) {
	lift := time.Now().Add(-time.Hour)
	rec, u := recorder(t, lift, map[string]int{"f": 50})
	gates := []experiment.Gate{{Name: "a", Of: "f", Success: share(t, ">= 99.5%"), P99: limit(t, "<= 1s")}}
	at := func(s float64) bool {
		now := lift.Add(time.Duration(s * float64(sec)))
		return Recovered(gates, rec, now.Add(-5*sec), now)
	}
	f := u["f"]
	f.until(3*sec, "503", time.Millisecond)
	f.until(8*sec, "200", time.Millisecond)
	if at(7.5) {
		t.Error("half a second of the window was still broken")
	}
	if !at(8) {
		t.Error("5 s of good answers")
	}
	f.until(10*sec, "", 0)
	if !at(10) {
		t.Error("2 s under way: the 5 s before them are good")
	}
	if Recovered(nil, rec, lift, lift.Add(8*sec)) {
		t.Error("no gate")
	}
	few := []experiment.Gate{{Name: "a", Of: "f", P999: limit(t, "<= 1s")}}
	if Recovered(few, rec, lift.Add(3*sec), lift.Add(8*sec)) {
		t.Error("250 requests are no data for p999")
	}
}

func BenchmarkRecovery(b *testing.B) {
	lift := time.Now().Add(-time.Hour)
	rec := traffic.NewRecorder([]experiment.Flow{{Name: "f"}})
	log, err := rec.Begin("f", traffic.Schedule{Begin: lift, Interval: time.Second / 5000})
	if err != nil {
		b.Fatal(err)
	}
	for i := range uint64(100_000) {
		log.Due(i)
		log.Done(i, traffic.Outcome{Class: "200", OK: true, Latency: time.Millisecond})
	}
	gates := []experiment.Gate{{Name: "a", Of: "f", Success: &experiment.ShareRule{Op: ">=", Share: .995}, P99: &experiment.TimeRule{Op: "<=", Bound: 1e9}}}
	for b.Loop() {
		if _, ok, why := TimeToRecover(gates, rec, lift, lift.Add(20*sec), 5*sec); !ok {
			b.Fatal(why)
		}
	}
}

// TestRecoveryOfRareRequests: what holds from the first request after the lift holds from
// the lift on, though that request came late.
func TestRecoveryOfRareRequests(t *testing.T) {
	lift := time.Now().Add(-time.Hour)
	rec, u := recorder(t, lift.Add(400*time.Millisecond), map[string]int{"f": 1})
	u["f"].until(10*sec, "200", time.Millisecond)
	gate := experiment.Gate{Name: "availability", Of: "f", Success: share(t, ">= 99%")}
	if took, result, why := Recovery([]experiment.Gate{gate}, rec, lift, lift.Add(5200*time.Millisecond), 5*sec); result != experiment.Pass || took != 0 {
		t.Errorf("%s %s %q", result, took, why)
	}
}
