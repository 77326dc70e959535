package ledger

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// shopSim is a system in virtual time: users -> front -> catalog, with an archive to fall
// back to. It writes the exchanges that relays would.
type shopSim struct {
	rng    *rand.Rand
	now    time.Duration
	events simEvents
	seq    int
	busy   bool
	queue  []func()
	all    []experiment.Exchange
	base   time.Time
	shopSetup
}

// shopSetup is what a case chooses.
type shopSetup struct {
	rate     float64       // users per second
	service  time.Duration // of each service, 0 to this
	steady   time.Duration
	hurt     time.Duration
	recovery time.Duration
	failing  float64       // share of calls that the fault fails; 1 by default
	failTook time.Duration // how long a failure takes; 0 is at once
	noise    float64       // share of calls that fail without a fault
	trace    bool
	breaker  simBreaker
	// retries: tries attempts, inside the breaker or around it, with a wait between.
	tries  int
	wait   time.Duration
	inside bool
	// fallback: "", archive, same (another route), cache; fallbackTook is its price.
	fallback     string
	fallbackTook time.Duration
	// check: a health check, so often; heeded if calls stop while it fails.
	check  time.Duration
	heeded bool
	// hurts is the edge that is hurt; front -> catalog by default.
	hurts string
	// first asks auth before the catalog.
	first bool
	// single makes one call at a time; the others wait.
	single bool
}

// simBreaker is what all breakers of the tests can do.
type simBreaker interface {
	allow(now time.Duration) (token int, ok bool)
	done(token int, now time.Duration, good bool)
}

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simEvents []simEvent

func (h simEvents) Len() int { return len(h) }
func (h simEvents) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h simEvents) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simEvents) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simEvents) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *shopSim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, simEvent{s.now + d, s.seq, do})
}

func (s *shopSim) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rng.Float64() * float64(d))
}

// lag is what a busy machine adds.
func (s *shopSim) lag() time.Duration {
	d := 50*time.Microsecond + s.upTo(300*time.Microsecond)
	if s.rng.IntN(100) == 0 {
		d += s.upTo(8 * time.Millisecond)
	}
	return d
}

// simulate runs a shopSetup and returns its view.
func playShop(seed uint64, c shopSetup) *View { return Look(shopBook(seed, c)) }

func shopBook(seed uint64, c shopSetup) (*Book, *experiment.Run) {
	if c.failing == 0 {
		c.failing = 1
	}
	if c.steady == 0 {
		c.steady = 3 * time.Second
	}
	if c.tries == 0 {
		c.tries = 1
	}
	if c.hurts == "" {
		c.hurts = "front -> catalog"
	}
	if c.service == 0 {
		c.service = 20 * time.Millisecond
	}
	s := &shopSim{rng: rand.New(rand.NewPCG(seed, 1)), base: time.Unix(1000, 0), shopSetup: c}
	end := c.steady + c.hurt + c.recovery
	var users func()
	users = func() {
		s.user()
		if next := time.Duration(float64(time.Second) / c.rate); s.now+next < end {
			s.after(next, users)
		}
	}
	s.after(0, users)
	ill := false
	if c.check > 0 {
		var check func()
		check = func() {
			s.exchange("front -> catalog", "GET", "/healthz", experiment.Digest{}, func(good bool) {
				ill = !good && c.heeded
				if s.now+c.check < end {
					s.after(c.check, check)
				}
			})
		}
		s.after(s.upTo(c.check), check)
		s.shopSetup.breaker = simChecked{&ill}
	}
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(simEvent)
		s.now = e.at
		e.do()
	}
	w := func(stage experiment.Stage, step string, from, to time.Duration) experiment.Window {
		return experiment.Window{Stage: stage, Step: step, Start: s.base.Add(from), End: s.base.Add(to)}
	}
	r := &experiment.Run{
		Plan: experiment.Plan{Steps: []experiment.PlanStep{{Name: "catalog fails"}}},
		Windows: []experiment.Window{
			w(experiment.StageSteady, "", 0, c.steady),
			w(experiment.StageHurt, "catalog fails", c.steady, c.steady+c.hurt),
			w(experiment.StageRecovery, "", c.steady+c.hurt, end),
		},
		Injections: []experiment.Injection{{Armed: []experiment.Armed{{Where: c.hurts}}}},
	}
	return NewBook(s.all), r
}

// user is one request.
func (s *shopSim) user() {
	started := s.now
	var trace experiment.Digest
	id := experiment.Digest{}
	binary.LittleEndian.PutUint64(id[:], s.rng.Uint64()|1)
	if s.trace {
		trace = id
	}
	x := experiment.Exchange{Edge: "users -> front", Method: "GET", Path: "/shop", Start: s.base.Add(s.now), TraceID: trace, Keyed: experiment.ByBody, Key: shopKey("/shop")}
	if s.trace {
		x.Keyed, x.Key = experiment.ByTrace, id
	}
	answer := func(good bool) {
		s.after(s.lag(), func() {
			x.Status = 200
			if !good {
				x.Status = 502
			}
			x.FirstByte, x.End, x.EndedBy = s.base.Add(s.now), s.base.Add(s.now), experiment.EndedByCallee
			s.all = append(s.all, x)
			u := x
			u.Flow, u.OK, u.Sent, u.Class, u.FirstByte = "shop", good, s.base.Add(started), "200", time.Time{}
			u.Start, u.End = u.Start.Add(-100*time.Microsecond), u.End.Add(50*time.Microsecond)
			s.all = append(s.all, u)
		})
	}
	ask := func() {
		s.call(trace, func(good bool) {
			if s.single {
				if s.busy = len(s.queue) > 0; s.busy {
					next := s.queue[0]
					s.queue = s.queue[1:]
					s.after(0, next)
				}
			}
			if good {
				answer(true)
				return
			}
			s.fallBack(trace, answer)
		})
	}
	s.after(s.upTo(s.service), func() {
		switch {
		case s.first:
			s.exchange("front -> auth", "GET", "/me", trace, func(good bool) {
				if !good {
					answer(false)
					return
				}
				ask()
			})
		case s.single && s.busy:
			s.queue = append(s.queue, ask)
		default:
			s.busy = true
			ask()
		}
	})
}

func (s *shopSim) fallBack(trace experiment.Digest, answer func(bool)) {
	switch s.fallback {
	case "archive":
		s.exchange("front -> archive", "GET", "/item", trace, answer)
	case "same":
		s.exchange("front -> catalog", "GET", "/summary", trace, answer)
	case "cache":
		s.after(s.fallbackTook, func() { answer(true) })
	default:
		answer(false)
	}
}

// call asks the catalog, with retries and breaker.
func (s *shopSim) call(trace experiment.Digest, then func(good bool)) {
	if s.inside {
		token, ok := s.allow()
		if !ok {
			then(false)
			return
		}
		s.attempts(1, func(done func(bool)) { s.exchange("front -> catalog", "GET", "/item", trace, done) }, func(good bool) {
			s.done(token, good)
			then(good)
		})
		return
	}
	s.attempts(1, func(done func(bool)) {
		token, ok := s.allow()
		if !ok {
			done(false)
			return
		}
		s.exchange("front -> catalog", "GET", "/item", trace, func(good bool) {
			s.done(token, good)
			done(good)
		})
	}, then)
}

func (s *shopSim) allow() (int, bool) {
	if s.breaker == nil {
		return 0, true
	}
	return s.breaker.allow(s.now)
}

func (s *shopSim) done(token int, good bool) {
	if s.breaker != nil {
		s.breaker.done(token, s.now, good)
	}
}

func (s *shopSim) attempts(n int, try func(func(bool)), then func(bool)) {
	try(func(good bool) {
		if good || n == s.tries {
			then(good)
			return
		}
		s.after(s.wait, func() { s.attempts(n+1, try, then) })
	})
}

// exchange is one attempt, as a relay sees it.
func (s *shopSim) exchange(edge, method, path string, trace experiment.Digest, then func(good bool)) {
	s.after(s.lag(), func() {
		hurt := edge == s.hurts && s.now >= s.steady && s.now < s.steady+s.hurt
		x := experiment.Exchange{Edge: edge, Method: method, Path: path, Start: s.base.Add(s.now), TraceID: trace, Status: 200, EndedBy: experiment.EndedByCallee, Keyed: experiment.ByBody, Key: shopKey(path)}
		if trace != (experiment.Digest{}) {
			x.Keyed = experiment.ByTrace
			x.Key = trace
			x.Key[15] ^= byte(len(path))
		}
		took := s.upTo(s.service)
		if hurt && s.rng.Float64() < s.failing {
			x.Status, took, x.Faults = 503, s.failTook+s.upTo(2*time.Millisecond), []string{"503"}
		} else if s.rng.Float64() < s.noise {
			x.Status = 503
		}
		s.after(took, func() {
			x.FirstByte, x.End = s.base.Add(s.now), s.base.Add(s.now)
			s.all = append(s.all, x)
			s.after(s.lag(), func() { then(x.Status == 200) })
		})
	})
}

func shopKey(path string) (d experiment.Digest) {
	copy(d[:], path)
	return d
}

// simChecked stops calls while a health check fails.
type simChecked struct{ ill *bool }

func (c simChecked) allow(time.Duration) (int, bool) { return 0, !*c.ill }
func (c simChecked) done(int, time.Duration, bool)   {}

// countingBreaker opens after so many failures in a row, or by their share in a window.
type countingBreaker struct {
	after  int
	share  float64 // instead of after: of what ended in the window
	window time.Duration
	volume int
	open   time.Duration
	probes int // at a time; 0 closes at once
	needs  int // good probes that close it; probes by default
	never  bool
	grow   float64 // what each pause is multiplied with
	judged bool    // all probes are waited for before it opens again

	state    experiment.BreakerState
	gen      int
	failures int
	until    time.Duration
	out, ok  int
	bad      int
	ended    []simEnd
	// what it did, for the test to compare
	opened, closed []time.Duration
}

type simEnd struct {
	at   time.Duration
	good bool
}

func (b *countingBreaker) allow(now time.Duration) (int, bool) {
	if b.state == experiment.BreakerOpen {
		if b.never || now < b.until {
			return 0, false
		}
		b.gen++
		b.failures, b.out, b.ok, b.bad = 0, 0, 0, 0
		b.state = experiment.BreakerHalfOpen
		if b.probes == 0 {
			b.state = experiment.BreakerClosed
			b.ended = nil
		}
	}
	if b.state == experiment.BreakerHalfOpen {
		if b.out >= b.probes {
			return 0, false
		}
		b.out++
	}
	return b.gen, true
}

func (b *countingBreaker) done(token int, now time.Duration, good bool) {
	if token != b.gen {
		return
	}
	switch b.state {
	case experiment.BreakerHalfOpen:
		if good {
			b.ok++
		} else {
			b.bad++
		}
		switch {
		case b.judged && b.ok+b.bad < b.probes:
		case b.bad > 0:
			b.trip(now)
		case b.ok >= max(1, b.needs):
			b.gen++
			b.state, b.failures, b.ended = experiment.BreakerClosed, 0, nil
			b.closed = append(b.closed, now)
		}
	case experiment.BreakerOpen:
	default:
		b.ended = append(b.ended, simEnd{now, good})
		if good {
			b.failures = 0
			return
		}
		b.failures++
		if b.share > 0 && b.sharePassed(now) || b.share == 0 && b.failures >= b.after {
			b.trip(now)
		}
	}
}

func (b *countingBreaker) sharePassed(now time.Duration) bool {
	for len(b.ended) > 0 && b.ended[0].at < now-b.window {
		b.ended = b.ended[1:]
	}
	bad := 0
	for _, e := range b.ended {
		if !e.good {
			bad++
		}
	}
	return len(b.ended) >= b.volume && float64(bad) >= b.share*float64(len(b.ended))
}

func (b *countingBreaker) trip(now time.Duration) {
	b.gen++
	b.state, b.until = experiment.BreakerOpen, now+b.open
	if b.grow > 0 {
		b.open = time.Duration(b.grow * float64(b.open))
	}
	b.opened = append(b.opened, now)
}
