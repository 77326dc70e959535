package ledger

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// simPolicy is how a simulated caller tries again. Times are in ms.
type simPolicy struct {
	tries int                                         // 0: without an end
	wait  func(i int, r *rand.Rand) float64           // before the second attempt (0), the third, ...
	limit float64                                     // of an attempt; 0 is none
	total float64                                     // of a call; 0 is none
	fails func(r *rand.Rand) (status int, ms float64) // status 0 hangs for so long
	asks  float64                                     // Retry-After of failed answers
	obeys bool
	busy  bool                  // on a machine that has too much to do
	stops func(status int) bool // outcomes that are not tried again
}

func exponentially(base, factor float64) func(int, *rand.Rand) float64 {
	return func(i int, _ *rand.Rand) float64 { return base * math.Pow(factor, float64(i)) }
}

func linearly(base, step float64) func(int, *rand.Rand) float64 {
	return func(i int, _ *rand.Rand) float64 { return base + step*float64(i) }
}

func capped(wait func(int, *rand.Rand) float64, at float64) func(int, *rand.Rand) float64 {
	return func(i int, r *rand.Rand) float64 { return min(at, wait(i, r)) }
}

// spreadBy multiplies with anything between two numbers.
func spreadBy(wait func(int, *rand.Rand) float64, from, to float64) func(int, *rand.Rand) float64 {
	return func(i int, r *rand.Rand) float64 { return wait(i, r) * (from + (to-from)*r.Float64()) }
}

// firstAt0 has no wait before the first retry, as urllib3 before its back-off.
func firstAt0(wait func(int, *rand.Rand) float64) func(int, *rand.Rand) float64 {
	return func(i int, r *rand.Rand) float64 {
		if i == 0 {
			return 0
		}
		return wait(i, r)
	}
}

// late is what a machine adds to a wait by itself; some of them are busy.
func (p simPolicy) late(r *rand.Rand) float64 {
	d := r.ExpFloat64()
	if p.busy && r.Float64() < 0.35 {
		d += 25 * r.ExpFloat64()
	}
	if r.Float64() < 0.02 {
		d += 10 + 20*r.Float64()
	}
	return d
}

// simRun is the run of simulated calls: steady for 10 s, hurt for so long, recovery.
type simRun struct {
	seed    uint64
	calls   int
	hurt    time.Duration
	tail    time.Duration // recovery
	method  string
	keyed   bool
	users   float64 // how long the callers' own callers wait, in ms; 0 without any
	grouped bool    // by the keys alone; not with users
}

const simSteady = 10 * time.Second

// view simulates the calls and looks at what a relay would have seen of them.
func (s simRun) view(p simPolicy) *View {
	r := rand.New(rand.NewPCG(s.seed, 5))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms float64) time.Time { return base.Add(time.Duration(ms * float64(time.Millisecond))) }
	if s.tail == 0 {
		s.tail = 100 * time.Second
	}
	if s.method == "" {
		s.method = "GET"
	}
	steady, lift := float64(simSteady.Milliseconds()), float64((simSteady + s.hurt).Milliseconds())
	end := lift + float64(s.tail.Milliseconds())
	var all []experiment.Exchange
	for call := range s.calls {
		key, start := experiment.Digest{byte(call), byte(call >> 8), 1}, steady+r.Float64()*(lift-steady)*0.8
		gone := math.Inf(1)
		if s.users > 0 {
			gone = start + s.users
		}
		attempts, waited := p.attempts(r, start, lift, gone)
		for _, x := range attempts {
			if x.from > end {
				break
			}
			e := experiment.Exchange{Edge: "front -> back", Method: s.method, Path: "/item", Status: x.status, Start: at(x.from), LastIn: at(x.from), End: at(min(x.to, end)),
				Key: key, TraceID: key, Keyed: experiment.ByTrace, EndedBy: experiment.EndedByCallee}
			if s.keyed {
				e.Keyed, e.Idempotent = experiment.ByIdempotency, "key"
			}
			if x.cut {
				e.Cut, e.Status, e.EndedBy = true, 0, experiment.EndedByCaller
			} else {
				e.FirstByte = e.End
			}
			if x.status >= 400 && p.asks > 0 {
				e.RetryAfter = fault.Duration(p.asks * float64(time.Millisecond))
			}
			all = append(all, e)
		}
		if s.users > 0 {
			over := all[len(all)-1].End.Add(time.Millisecond)
			if waited {
				over = at(gone + 1)
			}
			x := experiment.Exchange{Edge: "users -> front", Method: "GET", Path: "/shop", Status: 502, Start: at(start - 1), LastIn: at(start - 1), End: over, Key: key, TraceID: key, Keyed: experiment.ByTrace, EndedBy: experiment.EndedByCallee}
			if all[len(all)-1].Status == 200 {
				x.Status = 200
			}
			if over.After(at(gone)) {
				x.End, x.Cut, x.Status, x.EndedBy = at(gone), true, 0, experiment.EndedByCaller
			}
			all = append(all, x)
		}
	}
	run := &experiment.Run{Windows: []experiment.Window{
		{Stage: experiment.StageSteady, Start: base, End: at(steady)},
		{Stage: experiment.StageHurt, Step: "fail", Start: at(steady), End: at(lift)},
		{Stage: experiment.StageRecovery, Start: at(lift), End: at(end)},
	}}
	book := &Book{Base: base}
	for i := range all {
		all[i].No = uint64(i + 1)
		book.Add(&all[i])
	}
	book.Sort()
	if s.grouped {
		return byKeys(book, run)
	}
	return Look(book, run)
}

// byKeys is a view whose calls are known: thousands of them take less time so.
func byKeys(b *Book, r *experiment.Run) *View {
	v := &View{Book: b, Run: r, CallOf: make([]int32, len(b.Entries)), Parent: make([]int32, len(b.Entries))}
	v.spans()
	calls := map[uint64]int32{}
	for i := range b.Entries {
		c, ok := calls[b.Entries[i].Key]
		if !ok {
			c = int32(len(v.Calls))
			calls[b.Entries[i].Key] = c
			v.Calls = append(v.Calls, Call{Edge: b.Entries[i].Edge, By: b.Entries[i].Keying(), Sure: 1, Parent: -1})
		}
		v.Calls[c].Attempts = append(v.Calls[c].Attempts, int32(i))
		v.CallOf[i], v.Parent[i] = c, -1
	}
	return v
}

type simAttempt struct {
	from, to float64
	status   int
	cut      bool
}

// attempts are those of one call that begins at start. It may wait for the next one
// while its own caller goes.
func (p simPolicy) attempts(r *rand.Rand, start, lift, gone float64) (all []simAttempt, waited bool) {
	begun := start
	for i := 0; p.tries == 0 || i < p.tries; i++ {
		a := simAttempt{from: start, to: start + 20*r.Float64(), status: 503}
		if p.fails != nil {
			var took float64
			a.status, took = p.fails(r)
			a.to = start + took
		}
		if start > lift {
			a.status, a.to = 200, start+20*r.Float64()
		}
		for _, limit := range []float64{start + p.limit, begun + p.total, gone} {
			if limit > start && a.to > limit {
				a.to, a.cut = limit+p.late(r), true
			}
		}
		all = append(all, a)
		if !a.cut && (a.status < 400 || p.stops != nil && p.stops(a.status)) || a.to >= gone {
			break
		}
		wait := 0.0
		if p.wait != nil {
			wait = p.wait(i, r)
		}
		if p.asks > 0 && p.obeys {
			wait = max(wait, p.asks)
		}
		start = a.to + wait + p.late(r)
		if start > gone {
			return all, i+1 < p.tries || p.tries == 0
		}
		if p.total > 0 && start > begun+p.total || start > lift+90_000 {
			break
		}
	}
	return all, false
}

// behaviour is what is inferred of the simulated caller.
func (s simRun) behaviour(p simPolicy) experiment.EdgeBehaviour {
	v := s.view(p)
	b := experiment.EdgeBehaviour{Edge: "front -> back"}
	v.retries(v.EdgeOf(b.Edge), &b)
	return b
}
