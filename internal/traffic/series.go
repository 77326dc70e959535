package traffic

import (
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// perSecond is how many latencies of one second and kind are kept for its exact
// percentiles; beyond it a fair sample of them (reservoir).
const perSecond = 2048

// second is one second of a flow, by intended start.
type second struct {
	due, over          uint32 // requests scheduled in it, and over
	requests, failures uint32
	timed, errs        sample
	p50, p99           float64 // ms, once sealed
	sealed             bool
}

// sample is a reservoir.
type sample struct {
	values []uint32
	seen   int
}

func (s *sample) add(v uint32, dice func(n int) int) {
	s.seen++
	if len(s.values) < perSecond {
		s.values = append(s.values, v)
		return
	}
	if k := dice(s.seen); k < perSecond {
		s.values[k] = v
	}
}

// figures are the percentiles in ms, and whether nothing but errors is behind them.
func (s *second) figures() (p50, p99 float64) {
	if s.sealed {
		return s.p50, s.p99
	}
	timed := slices.Clone(s.timed.values)
	all := append(slices.Clone(timed), s.errs.values...)
	slices.Sort(timed)
	slices.Sort(all)
	at := func(q float64) float64 { return float64(max(exact(timed, q), exact(all, q))) / 1000 }
	return at(0.5), at(0.99)
}

// seal turns a second that can change no more into its figures.
func (s *second) seal() {
	if s.sealed || s.over < s.due {
		return
	}
	s.p50, s.p99 = s.figures()
	s.sealed, s.timed, s.errs = true, sample{}, sample{}
}

// secondOf is the second of request i since the flow began.
func (l *Log) secondOf(i uint64) int { return int(l.start(i).Sub(l.when.Begin) / time.Second) }

func (l *Log) dueInSecond(i uint64) {
	k := l.secondOf(i)
	for len(l.seconds) <= k {
		if n := len(l.seconds); n > 0 {
			l.seconds[n-1].seal()
		}
		l.seconds = append(l.seconds, second{})
	}
	l.seconds[k].due++
}

func (l *Log) doneInSecond(i uint64, r record) {
	k := l.secondOf(i)
	if k >= len(l.seconds) {
		return
	}
	s := &l.seconds[k]
	s.over++
	if r.state != void {
		s.requests++
		if r.state != good {
			s.failures++
		}
		if r.state == failed {
			s.errs.add(r.latency, l.dice.IntN)
		} else {
			s.timed.add(r.latency, l.dice.IntN)
		}
	}
	if k < len(l.seconds)-1 {
		s.seal()
	}
}

func (l *Log) series() []experiment.SeriesPoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	points := make([]experiment.SeriesPoint, len(l.seconds))
	for k := range l.seconds {
		s := &l.seconds[k]
		p50, p99 := s.figures()
		points[k] = experiment.SeriesPoint{
			Time:     l.when.Begin.Add(time.Duration(k) * time.Second),
			Requests: s.requests, Failures: s.failures, P50: p50, P99: p99,
		}
	}
	return points
}

// recent is the running second and the one before, by the time of the answer.
type recent struct {
	at        int // the running second since the flow began
	cur, last moment
}

type moment struct {
	answers, failures int
	latency           []uint32
}

func (n *recent) turn(at int) {
	switch {
	case at == n.at+1:
		n.cur, n.last = moment{latency: n.last.latency[:0]}, n.cur
	case at > n.at:
		n.cur, n.last = moment{}, moment{}
	}
	n.at = max(n.at, at)
}

func (n *recent) add(since time.Duration, r record) {
	n.turn(int(since / time.Second))
	n.cur.answers++
	if r.state != good {
		n.cur.failures++
	}
	if len(n.cur.latency) < perSecond {
		n.cur.latency = append(n.cur.latency, r.latency)
	}
}

// nowAt is the last complete second.
func (l *Log) nowAt(t time.Time) experiment.FlowNow {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := experiment.FlowNow{Name: l.flow.Name}
	if !l.open {
		return f
	}
	l.now.turn(int(t.Sub(l.when.Begin) / time.Second))
	m := &l.now.last
	if m.answers == 0 {
		return f
	}
	slices.Sort(m.latency)
	f.Rate = float64(m.answers)
	f.Errors = float64(m.failures) / float64(m.answers)
	f.P50 = float64(exact(m.latency, 0.5)) / 1000
	f.P99 = float64(exact(m.latency, 0.99)) / 1000
	return f
}
