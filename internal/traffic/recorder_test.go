package traffic

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// script is a flow whose answers are given by hand.
type script struct {
	t   *testing.T
	rec *Recorder
	log *Log
	at  time.Time // of request 0
}

func begin(t *testing.T, f experiment.Flow) *script {
	t.Helper()
	rec := NewRecorder([]experiment.Flow{f})
	at := time.Now()
	log, err := rec.Begin(f.Name, Schedule{Begin: at, Interval: f.Rate.Interval()})
	if err != nil {
		t.Fatal(err)
	}
	return &script{t, rec, log, at}
}

func (s *script) done(i uint64, class string, d time.Duration) {
	s.log.Done(i, Outcome{Class: class, OK: class == "200", Latency: d, Service: d})
}

func TestWindowsByIntendedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, flow("f", 10, 10*time.Second))
		s.rec.Mark(experiment.StageSteady, "", s.at)
		for i := range uint64(20) {
			s.log.Due(i)
		}
		for i := range uint64(9) {
			s.done(i, "200", time.Millisecond)
		}
		// Marked late: requests 10 to 12 are over already and must move.
		for i := uint64(10); i < 13; i++ {
			s.done(i, "503", time.Millisecond)
		}
		if k := s.rec.Mark(experiment.StageHurt, "one", s.at.Add(time.Second)); k != 1 {
			t.Fatalf("window %d", k)
		}
		if w := s.rec.FlowWindow(0, "f"); w.Requests != 9 || w.Statuses["503"] != 0 || w.Max.Std() > 2*time.Millisecond {
			t.Errorf("steady: %+v", w)
		}
		if w := s.rec.FlowWindow(1, "f"); w.Requests != 3 || w.Statuses["503"] != 3 || w.Step != "one" {
			t.Errorf("hurt: %+v", w)
		}
		settled := make(chan error, 1)
		go func() { settled <- s.rec.Settled(t.Context(), 0) }()
		synctest.Wait()
		select {
		case err := <-settled:
			t.Fatalf("settled with request 9 under way: %v", err)
		default:
		}
		// A late answer still belongs to the window of its intended start.
		time.Sleep(5 * time.Second)
		s.done(9, "200", 4*time.Second)
		if err := <-settled; err != nil {
			t.Fatal(err)
		}
		if w := s.rec.FlowWindow(0, "f"); w.Requests != 10 || w.Successes != 10 || w.Max.Std() < 3990*time.Millisecond {
			t.Errorf("steady after the late answer: %+v", w)
		}
		if err := s.rec.Settled(t.Context(), 1); err == nil {
			t.Error("an open window cannot be settled")
		}
		for i := uint64(13); i < 20; i++ {
			s.done(i, Timeout, time.Second)
		}
		s.rec.Close(s.at.Add(1500 * time.Millisecond)) // requests 15 to 19 lie beyond
		if w := s.rec.FlowWindow(1, "f"); w.Requests != 5 || w.Statuses[Timeout] != 2 || w.P99.Std() < 9990*time.Millisecond {
			t.Errorf("hurt, closed: %+v", w)
		}
		if err := s.rec.Settled(t.Context(), 1); err != nil {
			t.Errorf("window 1: %v", err)
		}
		// Nothing has been due at its end yet: a third window waits for the schedule.
		s.rec.Mark(experiment.StageRecovery, "", s.at.Add(1600*time.Millisecond))
		s.rec.Close(s.at.Add(5 * time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.rec.Settled(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("window 2 settled before its requests were due: %v", err)
		}
		s.log.End()
		if err := s.rec.Settled(t.Context(), 2); err != nil {
			t.Errorf("window 2: %v", err)
		}
		if w := s.rec.FlowWindow(2, "f"); w.Requests != 4 {
			t.Errorf("recovery holds requests 16 to 19: %+v", w)
		}
	})
}

func TestQuantiles(t *testing.T) {
	ms := func(n int, d time.Duration) []time.Duration {
		out := make([]time.Duration, n)
		for i := range out {
			out[i] = d
		}
		return out
	}
	const fast, slow = time.Millisecond, time.Second
	for _, c := range []struct {
		name             string
		good, none, errs []time.Duration
		q                float64
		want             time.Duration
		ok               bool
	}{
		{"99 are too few for p99", ms(99, fast), nil, nil, .99, 0, false},
		{"100 are enough", ms(100, fast), nil, nil, .99, fast, true},
		{"p99 leaves one out", append(ms(99, fast), slow), nil, nil, .99, fast, true},
		{"but not two", append(ms(98, fast), slow, slow), nil, nil, .99, slow, true},
		{"median of two", []time.Duration{fast, slow}, nil, nil, .5, fast, true},
		{"one is too few for a median", ms(1, fast), nil, nil, .5, 0, false},
		{"p999 takes a thousand", ms(999, fast), nil, nil, .999, 0, false},
		{"p90 takes ten", ms(10, fast), nil, nil, .9, fast, true},
		{"timeouts raise", ms(98, fast), ms(2, slow), nil, .99, slow, true},
		{"quick errors do not flatter", append(ms(98, fast), slow, slow), nil, ms(900, fast/2), .99, slow, true},
		{"slow errors raise", ms(100, fast), nil, ms(10, slow), .99, slow, true},
		{"nothing but quick errors is no data", nil, nil, ms(1000, fast), .99, 0, false},
	} {
		s := NewStats(c.good, c.none, c.errs)
		d, ok := s.Quantile(c.q)
		if d != c.want || ok != c.ok {
			t.Errorf("%s: got %s %t, want %s %t", c.name, d, ok, c.want, c.ok)
		}
		if s.Requests != uint64(len(c.good)+len(c.none)+len(c.errs)) || s.Successes != uint64(len(c.good)) {
			t.Errorf("%s: %+v", c.name, s)
		}
		// The histograms of a window say the same, within their precision.
		var w tally
		for state, list := range map[state][]time.Duration{good: c.good, waited: c.none, failed: c.errs} {
			for _, d := range list {
				w.add(record{latency: micros(d), state: state})
			}
		}
		h, ok := w.stats().Quantile(c.q)
		if ok != c.ok || h < c.want || h > c.want+c.want/500 {
			t.Errorf("%s: histogram says %s %t, want %s %t", c.name, h, ok, c.want, c.ok)
		}
	}
	for q, n := range map[float64]uint64{.5: 2, .9: 10, .95: 20, .99: 100, .999: 1000} {
		if Needed(q) != n {
			t.Errorf("quantile %v needs %d samples, not %d", q, n, Needed(q))
		}
	}
}

// TestDecided is how abort rules see a service that stops answering.
func TestDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, flow("f", 10, 30*time.Second))
		share := func() (succ, all uint64) {
			st := s.rec.Decided("f", time.Now().Add(-5*time.Second), time.Now())
			return st.Successes, st.Requests
		}
		next := uint64(0)
		pass := func(d time.Duration, each func(i uint64)) {
			for end := time.Now().Add(d); time.Now().Before(end); next++ {
				s.log.Due(next)
				each(next)
				time.Sleep(100 * time.Millisecond)
			}
		}
		answered := func(i uint64) { s.done(i, "200", time.Millisecond) }
		pass(4*time.Second, answered)
		if _, all := share(); all != 0 {
			t.Errorf("%d requests before the flow is as old as the window", all)
		}
		pass(2*time.Second, answered)
		if succ, all := share(); succ != 50 || all != 50 {
			t.Errorf("all well: %d of %d", succ, all)
		}
		stalled := next
		pass(2*time.Second, func(uint64) {}) // nothing answers any more
		if succ, all := share(); succ != 30 || all != 30 {
			t.Errorf("2 s into the stall, waiting requests are undecided: %d of %d", succ, all)
		}
		pass(3500*time.Millisecond, func(uint64) {})
		st := s.rec.Decided("f", time.Now().Add(-5*time.Second), time.Now())
		if st.Successes != 0 || st.Requests < 4 || st.Requests > 6 {
			t.Errorf("5.5 s into the stall: %d of %d, want 0 of 5", st.Successes, st.Requests)
		}
		pass(10*time.Second, func(uint64) {})
		st = s.rec.Decided("f", time.Now().Add(-5*time.Second), time.Now())
		if st.Successes != 0 || st.Requests != 50 {
			t.Errorf("long into the stall: %d of %d, want 0 of 50 (those that came to wait 5 s)", st.Successes, st.Requests)
		}
		// Late answers count when they come.
		for i := stalled; i < next; i++ {
			s.done(i, "200", time.Since(s.log.start(i)))
		}
		time.Sleep(time.Millisecond)
		if succ, all := share(); succ != all || succ == 0 {
			t.Errorf("all answered at once: %d of %d", succ, all)
		}
		pass(6*time.Second, func(i uint64) { s.log.Done(i, Outcome{Class: Overrun}) })
		st = s.rec.Decided("f", time.Now().Add(-5*time.Second), time.Now())
		if st.Successes != 0 || st.Overruns < 49 || st.Requests != st.Overruns {
			t.Errorf("overruns: %+v", st)
		}
	})
}

func TestSamples(t *testing.T) {
	s := begin(t, flow("f", 10, time.Second))
	s.log.limit = 8
	for i := range uint64(10) {
		s.log.Due(i)
		if i != 7 {
			s.done(i, map[bool]string{true: "200", false: "500"}[i%2 == 0], time.Duration(i)*time.Millisecond)
		}
	}
	got, missing := s.rec.Samples("f", s.at.Add(100*time.Millisecond), s.at.Add(900*time.Millisecond))
	if missing != 1 || len(got) != 7 || s.rec.Dropped("f") != 2 {
		t.Fatalf("%d samples, %d missing, %d dropped", len(got), missing, s.rec.Dropped("f"))
	}
	if g := got[0]; !g.Start.Equal(s.at.Add(200*time.Millisecond)) || !g.OK || g.Latency != 2*time.Millisecond {
		t.Errorf("%+v", g)
	}
	if !got[5].Pending || got[5].OK || got[1].OK {
		t.Errorf("%+v", got)
	}
	if at := s.rec.SettledUntil("f", s.at.Add(time.Hour)); !at.Equal(s.at.Add(700 * time.Millisecond)) {
		t.Errorf("settled until %s", at.Sub(s.at))
	}
	st := s.rec.Sliding("f", s.at.Add(500*time.Millisecond), s.at.Add(time.Second))
	if st.Requests != 4 || st.Pending != 1 || st.Successes != 2 {
		t.Errorf("%+v", st)
	}
	if _, missing := s.rec.Samples("f", s.at.Add(-time.Hour), s.at); missing != 0 {
		t.Errorf("%d missing before the begin", missing)
	}
}

func TestSeriesAndNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, flow("f", 100, 10*time.Second))
		for i := range uint64(350) {
			s.log.Due(i)
			switch {
			case i == 120:
			case i < 200:
				s.done(i, "200", time.Duration(1+i%100)*time.Millisecond)
			default:
				s.done(i, "503", time.Millisecond)
			}
			time.Sleep(10 * time.Millisecond)
		}
		p := s.rec.Series("f")
		if len(p) != 4 || p[0].Requests != 100 || p[0].P50 != 50 || p[0].P99 != 99 || p[1].Requests != 99 || p[2].Failures != 100 || p[2].P99 != 1 {
			t.Fatalf("%+v", p)
		}
		if !p[3].Time.Equal(s.at.Add(3*time.Second)) || p[3].Requests != 50 {
			t.Errorf("%+v", p[3])
		}
		s.done(120, "200", 9*time.Second)
		if p := s.rec.Series("f"); p[1].Requests != 100 || !s.log.seconds[1].sealed || s.log.seconds[1].timed.values != nil {
			t.Errorf("a late answer must count in its second and seal it: %+v", p[1])
		}
		if n := s.rec.Now("f"); n.Rate != 100 || n.Errors != 1 || n.P99 != 1 {
			t.Errorf("%+v", n)
		}
		time.Sleep(3 * time.Second)
		if n := s.rec.Now("f"); n.Rate != 0 || n.Errors != 0 {
			t.Errorf("nothing answered in the last second: %+v", n)
		}
	})
}

func TestManyClasses(t *testing.T) {
	s := begin(t, flow("f", 1000, time.Second))
	s.rec.Mark(experiment.StageSteady, "", s.at)
	for i := range uint64(400) {
		s.log.Due(i)
		s.done(i, "x"+statusText(int(100+i)), time.Millisecond)
	}
	s.rec.Close(s.at.Add(time.Hour))
	w := s.rec.FlowWindow(0, "f")
	if len(w.Statuses) != 256 || w.Statuses[Other] != 400-255 || w.Requests != 400 {
		t.Errorf("%d classes, %d other", len(w.Statuses), w.Statuses[Other])
	}
}

func TestUnknownFlow(t *testing.T) {
	rec := NewRecorder([]experiment.Flow{flow("f", 1, 0)})
	if _, err := rec.Begin("g", Schedule{Begin: time.Now(), Interval: time.Second}); err == nil {
		t.Error("an unknown flow has begun")
	}
	if s := rec.Stats(0, "g"); s.Requests != 0 || s.Quantile == nil {
		t.Errorf("%+v", s)
	}
	rec.Mark(experiment.StageSteady, "", time.Now())
	if _, ok := rec.Stats(0, "f").Quantile(.5); ok {
		t.Error("a quantile of nothing")
	}
}

func TestConcurrent(t *testing.T) {
	flows := []experiment.Flow{flow("a", 1e4, time.Second), flow("b", 1e4, time.Second)}
	rec := NewRecorder(flows)
	at := time.Now()
	var wg sync.WaitGroup
	for _, f := range flows {
		log, err := rec.Begin(f.Name, Schedule{Begin: at, Interval: f.Rate.Interval()})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range uint64(20000) {
				log.Due(i)
				log.Done(i, Outcome{Class: "200", OK: true, Latency: time.Millisecond})
			}
			log.End()
		})
	}
	for k := range 4 {
		rec.Mark(experiment.StageHurt, "", at.Add(time.Duration(k)*500*time.Millisecond))
		for _, f := range flows {
			rec.Series(f.Name)
			rec.Now(f.Name)
			rec.Decided(f.Name, at, at.Add(time.Second))
			rec.Results()
		}
	}
	wg.Wait()
	rec.Close(at.Add(time.Hour))
	for _, f := range rec.Results() {
		var sum uint64
		for _, w := range f.Windows {
			sum += w.Requests
		}
		if sum != 20000 {
			t.Errorf("%s: %d requests in all windows, want 20000", f.Name, sum)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	rec := NewRecorder([]experiment.Flow{flow("f", 5000, time.Second)})
	log, err := rec.Begin("f", Schedule{Begin: time.Now(), Interval: 200 * time.Microsecond})
	if err != nil {
		b.Fatal(err)
	}
	rec.Mark(experiment.StageSteady, "", time.Now())
	for i := uint64(0); b.Loop(); i++ {
		log.Due(i)
		log.Done(i, Outcome{Class: "200", OK: true, Latency: time.Duration(i%1000) * time.Microsecond})
	}
}
