package ledger

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// fiction is a made-up system of one caller, with the truth about who followed whom.
type fiction struct {
	seed    uint64
	rate    float64 // calls per second
	regular bool    // they come at even distances
	secs    float64 // steady, then hurt, then recovery: a third each
	tries   int     // attempts at most
	wait    func(r *rand.Rand, n int) time.Duration
	before  func(r *rand.Rand) time.Duration // from a request to the caller's first attempt
	took    func(r *rand.Rand) time.Duration
	fail    float64 // share of attempts, while hurt
	timeout time.Duration
	parents bool
	flows   int // routes of the parents, of which only the first leads here
	keys    int // different calls; 0: each is its own
	noise   time.Duration
	refused bool // failures are 404
	unkeyed bool // failures have no key
}

const calls, above = "a -> b", "users -> a"

// play returns the exchanges with, for each on the edge a -> b, by number, the number of
// the one before in its call (0: first) and of its parent.
func (s *fiction) play() (all []experiment.Exchange, prev, parent map[uint64]uint64, run *experiment.Run) {
	r := rand.New(rand.NewPCG(s.seed, 1))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	prev, parent = map[uint64]uint64{}, map[uint64]uint64{}
	third := time.Duration(s.secs / 3 * float64(time.Second))
	run = &experiment.Run{Windows: []experiment.Window{
		{Stage: experiment.StageSteady, Start: base, End: base.Add(third)},
		{Stage: experiment.StageHurt, Step: "trouble", Start: base.Add(third), End: base.Add(2 * third)},
		{Stage: experiment.StageRecovery, Start: base.Add(2 * third), End: base.Add(3 * third)},
	}}
	no := uint64(0)
	jolt := func() time.Duration { return time.Duration(r.Float64() * float64(s.noise)) }
	var at time.Duration
	for at < 3*third {
		if s.regular {
			at += time.Duration(float64(time.Second) / s.rate)
		} else {
			at += time.Duration(r.ExpFloat64() / s.rate * float64(time.Second))
		}
		route := 0
		if s.flows > 1 {
			route = r.IntN(s.flows)
		}
		no++
		pno := no
		t := at + jolt()
		if s.before != nil {
			t += s.before(r)
		}
		key := experiment.Digest{1}
		if s.keys != 1 {
			k := r.IntN(max(1, s.keys))
			if s.keys == 0 {
				k = int(no)
			}
			key = experiment.Digest{2, byte(k), byte(k >> 8), byte(k >> 16)}
		}
		last := uint64(0)
		status := 200
		for n := 1; route == 0 && n <= s.tries; n++ {
			no++
			took := s.took(r)
			x := experiment.Exchange{No: no, Edge: calls, Method: "GET", Path: "/x", Start: base.Add(t), Status: 200, EndedBy: experiment.EndedByCallee, Key: key, Keyed: experiment.ByBody}
			if s.keys == 0 {
				x.Path = fmt.Sprintf("/x/%d", key)
			}
			failed := t >= third && t < 2*third && r.Float64() < s.fail
			if failed {
				x.Status = 503
				if s.refused {
					x.Status = 404
				}
				if s.unkeyed {
					x.Key, x.Keyed = experiment.Digest{}, experiment.Unkeyed
				}
			}
			if s.timeout > 0 && failed {
				took = s.timeout
				x.Status, x.Cut, x.EndedBy = 0, true, experiment.EndedByCaller
			}
			x.End = base.Add(t + took)
			prev[no], parent[no], last = last, pno, no
			all = append(all, x)
			t += took + jolt()
			if status = x.Status; !failed {
				break
			}
			if n < s.tries {
				t += s.wait(r, n) + jolt()
			}
		}
		if route != 0 {
			t += s.took(r)
		}
		if s.parents {
			all = append(all, experiment.Exchange{No: pno, Edge: above, Method: "GET", Path: fmt.Sprintf("/%d", route), Start: base.Add(at), End: base.Add(t), Status: min(502, status), EndedBy: experiment.EndedByCallee,
				Key: experiment.Digest{9}, Keyed: experiment.ByBody})
		}
	}
	return all, prev, parent, run
}

// score is the share of attempts whose call begins where it truly does, and of those
// whose parent is right; and what the view expects of both.
func score(v *View, prev, parent map[uint64]uint64) (right, sure, parents, parentSure float64) {
	first := func(no uint64) uint64 {
		for prev[no] != 0 {
			no = prev[no]
		}
		return no
	}
	n := 0.0
	for i := range v.Entries {
		e := &v.Entries[i]
		if v.Edges[e.Edge].Name != calls {
			continue
		}
		n++
		if v.Entries[v.Calls[v.CallOf[i]].Attempts[0]].No == first(e.No) {
			right++
		}
		if p := v.Parent[i]; p >= 0 && v.Entries[p].No == parent[e.No] {
			parents++
		}
		sure += float64(v.right[i])
		parentSure += float64(v.ParentSure[i])
	}
	return right / n, sure / n, parents / n, parentSure / n
}

func fixed(d time.Duration) func(*rand.Rand, int) time.Duration {
	return func(*rand.Rand, int) time.Duration { return d }
}

func doubling(d time.Duration, jitter float64) func(*rand.Rand, int) time.Duration {
	return func(r *rand.Rand, n int) time.Duration {
		return time.Duration(float64(d) * math.Pow(2, float64(n-1)) * (1 - jitter + 2*jitter*r.Float64()))
	}
}

func upTo(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.Float64() * float64(d)) }
}

// TestGroupByStatistics: of identical calls at the same time the attempts are told apart
// as well as it says, and as well as can be: where several fit, nobody can.
func TestGroupByStatistics(t *testing.T) {
	ms := time.Millisecond
	at40 := upTo(40 * ms)
	for name, c := range map[string]struct {
		fiction
		right, parents float64 // at least
	}{
		"alone":                    {fiction{rate: 5, tries: 3, wait: fixed(20 * ms), took: upTo(5 * ms), fail: 1, parents: true}, 0.95, 0.93},
		"fixed":                    {fiction{rate: 50, tries: 3, wait: fixed(200 * ms), took: at40, fail: 1, parents: true}, 0.78, 0.76},
		"doubling":                 {fiction{rate: 50, tries: 4, wait: doubling(100*ms, 0), took: at40, fail: 1, parents: true}, 0.45, 0.45},
		"doubling, jitter":         {fiction{rate: 50, tries: 4, wait: doubling(100*ms, 0.5), took: at40, fail: 1, parents: true}, 0.4, 0.4},
		"at once":                  {fiction{rate: 50, tries: 4, wait: fixed(0), took: at40, fail: 1, parents: true}, 0.75, 0.75},
		"half fail":                {fiction{rate: 50, tries: 3, wait: fixed(100 * ms), took: at40, fail: 0.5, parents: true}, 0.95, 0.95},
		"regular":                  {fiction{rate: 50, regular: true, tries: 3, wait: doubling(100*ms, 0), took: at40, fail: 1, parents: true}, 0.6, 0.6},
		"regular, no retries":      {fiction{rate: 50, regular: true, tries: 1, took: at40, fail: 1, parents: true}, 0.98, 0.98},
		"late first":               {fiction{rate: 50, tries: 3, wait: fixed(200 * ms), before: at40, took: at40, fail: 1, parents: true}, 0.6, 0.4},
		"two flows":                {fiction{rate: 100, flows: 2, tries: 3, wait: fixed(200 * ms), took: at40, fail: 1, parents: true}, 0.75, 0.75},
		"no parents":               {fiction{rate: 50, tries: 3, wait: fixed(200 * ms), took: at40, fail: 1}, 0.55, -1},
		"no parents, doubling":     {fiction{rate: 30, tries: 4, wait: doubling(100*ms, 0), took: at40, fail: 0.7}, 0.6, -1},
		"no parents, jitter":       {fiction{rate: 30, tries: 4, wait: doubling(100*ms, 0.3), took: at40, fail: 0.7}, 0.5, -1},
		"no parents, no retries":   {fiction{rate: 50, tries: 1, took: at40, fail: 1}, 0.97, -1},
		"no parents, regular none": {fiction{rate: 50, regular: true, tries: 1, took: at40, fail: 1}, 0.95, -1},
		"keys":                     {fiction{rate: 100, tries: 3, keys: 20, wait: doubling(100*ms, 0.5), took: at40, fail: 1}, 0.5, -1},
		"every key its own":        {fiction{rate: 100, tries: 3, wait: doubling(100*ms, 0.5), took: at40, fail: 1}, 0.98, -1},
		"timeouts":                 {fiction{rate: 20, tries: 3, wait: doubling(100*ms, 0.2), took: at40, timeout: 500 * ms, fail: 1, parents: true}, 0.55, 0.55},
		"endless":                  {fiction{rate: 2, tries: 100000, wait: fixed(200 * ms), took: at40, fail: 1, parents: true}, 0.5, 0.5},
		"refused":                  {fiction{rate: 20, tries: 3, wait: fixed(100 * ms), took: at40, fail: 1, refused: true, parents: true}, 0.93, 0.93},
		"failures without a key":   {fiction{rate: 20, tries: 3, wait: fixed(100 * ms), took: at40, fail: 1, unkeyed: true, parents: true}, 0.93, 0.93},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.fiction
			if s.keys == 0 && name != "every key its own" {
				s.keys = 1
			}
			if s.secs == 0 {
				s.secs = 18
			}
			s.noise = 1 * ms
			if raceOn && len(name)%4 > 0 {
				return // under the race detector a quarter of the table will do
			}
			if s.regular && s.tries > 1 && !soaks() {
				s.rate /= 4 // even arrivals take their time
			}
			for s.seed = range seeds() {
				all, prev, parent, run := s.play()
				began := time.Now()
				v := Look(NewBook(all), run)
				took := time.Since(began)
				right, sure, parents, parentSure := score(v, prev, parent)
				t.Logf("%-24s %d exchanges, %s: right %.3f, said %.3f; parents %.3f, said %.3f; %s", name, len(all), took.Round(ms), right, sure, parents, parentSure, v.Alone)
				if right < c.right || sure > right+0.15 || sure < right-0.3 { // too modest is better than too sure
					t.Errorf("seed %d: %.3f of the attempts are in the right call, it says %.3f", s.seed, right, sure)
				}
				if c.parents >= 0 && (parents < c.parents || parentSure > parents+0.25 || parentSure < parents-0.2) {
					t.Errorf("seed %d: %.3f of the parents are right, it says %.3f", s.seed, parents, parentSure)
				}
				if c.parents < 0 && v.Alone[v.EdgeOf(calls)] == "" {
					t.Errorf("no reason why they have no parents")
				}
			}
		})
	}
}
