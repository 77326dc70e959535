package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// overlapping is a simulated front that hands no id on.
type overlapping struct {
	seed   uint64
	rate   float64 // users per second, one in each interval at a random instant
	steady float64 // s
	hurt   float64
	tries  int
	wait   func(i int, r *rand.Rand) float64 // ms
	serves float64                           // ms, at most, at random
	good   float64                           // share that succeeds while hurt
}

// view is what is seen of it, and the number of its call for each exchange.
func (s overlapping) view() (*View, []int) {
	r := rand.New(rand.NewPCG(s.seed, 7))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms float64) time.Time { return base.Add(time.Duration(ms * float64(time.Millisecond))) }
	lift, end := 1000*(s.steady+s.hurt), 1000*(s.steady+s.hurt+3)
	body := experiment.Digest{9}
	type made struct {
		x    experiment.Exchange
		call int
	}
	var all []made
	late := func() float64 {
		if r.Float64() < 0.02 {
			return 3 + 8*r.Float64()
		}
		return 0.2 + 0.5*r.ExpFloat64()
	}
	p := simPolicy{tries: s.tries, wait: s.wait}
	for n := 0; ; n++ {
		start := 1000 * (float64(n) + r.Float64()) / s.rate
		if start > end-1500 {
			break
		}
		t := start + late()
		status := 200
		for i := 0; i < p.tries; i++ {
			over := t + 0.5 + s.serves*r.Float64()
			status = 200
			if t > 1000*s.steady && t < lift && r.Float64() >= s.good {
				status = 503
			}
			all = append(all, made{experiment.Exchange{Edge: "front -> back", Method: "GET", Path: "/item", Status: status, Start: at(t), LastIn: at(t), FirstByte: at(over), End: at(over), Key: body, Keyed: experiment.ByBody, EndedBy: experiment.EndedByCallee}, n})
			t = over
			if status == 200 {
				break
			}
			if i+1 < p.tries {
				t += p.wait(i, r) + late()
			}
		}
		t += late()
		x := experiment.Exchange{Edge: "users -> front", Method: "GET", Path: "/shop", Status: status, Start: at(start), LastIn: at(start), FirstByte: at(t), End: at(t), Key: body, Keyed: experiment.ByBody, EndedBy: experiment.EndedByCallee}
		all = append(all, made{x, n})
	}
	run := &experiment.Run{Windows: []experiment.Window{
		{Stage: experiment.StageSteady, Start: base, End: at(1000 * s.steady)},
		{Stage: experiment.StageHurt, Step: "fail", Start: at(1000 * s.steady), End: at(lift)},
		{Stage: experiment.StageRecovery, Start: at(lift), End: at(end)},
	}}
	book := &Book{Base: base}
	for i := range all {
		all[i].x.No = uint64(i + 1)
		book.Add(&all[i].x)
	}
	book.Sort()
	v := Look(book, run)
	calls := make([]int, len(v.Entries))
	for i := range v.Entries {
		calls[i] = all[v.Entries[i].No-1].call
	}
	return v, calls
}

// marks compare what was grouped with the truth.
type marks struct {
	attempts, right, said  float64
	calls, callRight       float64
	sure, sureRight, saidS float64 // calls that are sure
	bins                   [11][3]float64
}

func (t *marks) add(v *View, truth []int) {
	edge := v.EdgeOf("front -> back")
	size, first := map[int]int{}, map[int]int32{}
	for i := range v.Entries {
		if v.Entries[i].Edge == edge {
			if size[truth[i]] == 0 {
				first[truth[i]] = int32(i)
			}
			size[truth[i]]++
		}
	}
	for c := range v.Calls {
		call := &v.Calls[c]
		if call.Edge != edge {
			continue
		}
		if s := v.SpanAt(v.Entries[call.Attempts[0]].Start); s == nil || s.Stage != experiment.StageHurt {
			continue
		}
		n := truth[call.Attempts[0]]
		ok := len(call.Attempts) == size[n]
		for _, i := range call.Attempts {
			t.attempts++
			t.said += float64(v.right[i])
			if first[truth[i]] == call.Attempts[0] {
				t.right++
			}
			ok = ok && truth[i] == n
		}
		t.calls++
		b := &t.bins[int(call.Sure*10)]
		b[0]++
		b[1] += call.Sure
		if ok {
			t.callRight++
			b[2]++
		}
		if call.Sure >= 0.9 {
			t.sure++
			t.saidS += call.Sure
			if ok {
				t.sureRight++
			}
		}
	}
}

func (t *marks) String() string {
	s := fmt.Sprintf("attempts right %.3f said %.3f; calls right %.3f, sure %.2f of them right %.3f said %.3f;", t.right/t.attempts, t.said/t.attempts, t.callRight/t.calls, t.sure/t.calls, t.sureRight/max(1, t.sure), t.saidS/max(1, t.sure))
	for _, b := range t.bins {
		if b[0] > 0 {
			s += fmt.Sprintf(" %.2f:%.2f(%.0f)", b[1]/b[0], b[2]/b[0], b[0])
		}
	}
	return s
}

// soaks tells whether there is time for long tables (make soak).
func soaks() bool { return os.Getenv("CHAOSCTL_SOAK") != "" }

// seeds is how many seeds a table is run with.
func seeds() uint64 {
	if soaks() {
		return 4
	}
	return 1
}

// TestOverlapping has calls overlap whose attempts have no id in common: what is said to
// be sure must be right as often as that, and nothing wrong may be read of it.
func TestOverlapping(t *testing.T) {
	fixed, double := exponentially(100, 1), exponentially(50, 2)
	var all marks
	served, overlaps := []float64{20}, []float64{0.5, 2}
	switch {
	case raceOn:
		overlaps = []float64{0.5}
	case soaks():
		served, overlaps = []float64{1, 20}, []float64{0.5, 2, 4}
	}
	for _, c := range []struct {
		name   string
		wait   func(int, *rand.Rand) float64
		sum    float64 // ms of all waits of four attempts
		kind   experiment.SpacingKind
		jitter bool
	}{
		{"fixed", fixed, 300, experiment.SpacingFixed, false},
		{"exponential", double, 350, experiment.SpacingExponential, false},
		{"jitter", spreadBy(double, 0.5, 1.5), 350, experiment.SpacingExponential, true},
		{"full jitter", spreadBy(double, 0, 2), 350, experiment.SpacingExponential, true},
	} {
		for _, serves := range served {
			for _, overlap := range overlaps {
				t.Run(fmt.Sprintf("%s, served in %v ms, %v at a time", c.name, serves, overlap), func(t *testing.T) {
					var m marks
					for seed := range seeds() {
						rate := overlap / (c.sum + 2*serves) * 1000
						v, truth := overlapping{seed: seed, rate: rate, steady: max(2, 12/rate), hurt: max(4, 20/rate), tries: 4, wait: c.wait, serves: serves}.view()
						m.add(v, truth)
						all.add(v, truth)
						b := experiment.EdgeBehaviour{Edge: "front -> back"}
						v.retries(v.EdgeOf(b.Edge), &b)
						if b.Tries.Known && (b.Tries.Most != 4 || b.Tries.Endless) {
							t.Errorf("seed %d: tries %+v", seed, b.Tries)
						}
						if b.Spacing.Known && (b.Spacing.Kind != c.kind || b.Spacing.Jitter != c.jitter) {
							t.Errorf("seed %d: spacing %+v", seed, b.Spacing)
						}
						if overlap <= 2 && !c.jitter && (!b.Tries.Known || !b.Spacing.Known) {
							t.Errorf("seed %d: unknown: %s, %s", seed, b.Tries.Why, b.Spacing.Why)
						}
					}
					if right := m.right / m.attempts; !c.jitter && right < 0.92 {
						t.Errorf("%.3f of the attempts are right", right)
					}
					t.Log(&m)
				})
			}
		}
	}
	for _, b := range all.bins {
		if b[0] >= 40 && b[2] < b[1]-0.1*b[0] {
			t.Errorf("of %v calls said to be right to %.2f, %.2f are", b[0], b[1]/b[0], b[2]/b[0])
		}
	}
	if all.sureRight < all.saidS-0.05*all.sure {
		t.Errorf("of the sure calls %.3f are right, said %.3f", all.sureRight/all.sure, all.saidS/all.sure)
	}
	t.Log(&all)
}
