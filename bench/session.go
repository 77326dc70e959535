package main

import (
	"context"
	"runtime"
	"time"

	"github.com/chaosctl/chaosctl/bench/figure"
	"github.com/chaosctl/chaosctl/bench/machine"
	"github.com/chaosctl/chaosctl/bench/peer"
	"github.com/chaosctl/chaosctl/bench/report"
	"github.com/chaosctl/chaosctl/bench/stats"
)

const (
	// disturbed is the share of the machine that others may use during a sample.
	disturbed = 0.08
	// retakes is how often one sample is taken again for that reason.
	retakes = 2
	// spare is what retaking may add to each round, on average.
	spare = 30 * time.Second
)

// session takes all samples.
type session struct {
	peers   []*peer.Peer
	figures []figure.Figure
	scale   figure.Scale
	began   time.Time
	spare   time.Duration // left for taking samples again
	say     func(format string, args ...any)

	foreign        []float64
	retaken, noisy int
	failed         []report.Failure
}

// run takes every figure of every peer in each round, the peers in turn.
func (s *session) run(ctx context.Context, rounds int) (*report.Run, error) {
	s.spare = spare * time.Duration(rounds)
	samples := make([]map[string][]*figure.Sample, len(s.figures))
	for round := range rounds {
		for i := range s.figures {
			f := &s.figures[i]
			if samples[i] == nil {
				samples[i] = map[string][]*figure.Sample{}
			}
			s.say("%v: round %d of %d, %s", time.Since(s.began).Round(time.Second), round+1, rounds, f.Name)
			for k := range s.peers {
				p := s.peers[(k+round)%len(s.peers)] // nobody is always first
				if !f.Needs(p) {
					continue
				}
				sample, err := s.sample(ctx, f, p)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if err != nil {
					s.fail(err)
				}
				samples[i][p.Name] = append(samples[i][p.Name], sample)
			}
		}
	}
	r := &report.Run{
		Machine: machine.About(), Started: s.began, Took: time.Since(s.began), Rounds: rounds, Scale: s.scale,
		Foreign: stats.Of(s.foreign), Retaken: s.retaken, Noisy: s.noisy, Failed: s.failed,
	}
	for _, p := range s.peers {
		r.Peers = append(r.Peers, report.Peer{Name: p.Name, About: p.About})
	}
	for i := range s.figures {
		r.Figures = append(r.Figures, report.Gather(&s.figures[i], samples[i]))
	}
	return r, nil
}

// fail notes a failure, and says it the first time.
func (s *session) fail(err error) {
	for i := range s.failed {
		if s.failed[i].Why == err.Error() {
			s.failed[i].Samples++
			return
		}
	}
	s.say("FAILED: %v", err)
	s.failed = append(s.failed, report.Failure{Why: err.Error(), Samples: 1})
}

// sample takes one sample, again when others disturbed it. Of the disturbed ones
// the last counts.
func (s *session) sample(ctx context.Context, f *figure.Figure, p *peer.Peer) (*figure.Sample, error) {
	for try := 0; ; try++ {
		start := time.Now()
		runtime.GC() // it is off meanwhile
		m, err := machine.Start()
		if err != nil {
			return nil, err
		}
		sample, err := f.Take(ctx, p, s.scale)
		if err != nil {
			return nil, err
		}
		foreign, err := m.Foreign()
		if err != nil {
			return nil, err
		}
		quiet := foreign <= disturbed
		if quiet || try == retakes || s.spare < 0 {
			if !quiet {
				s.noisy++
			}
			s.foreign = append(s.foreign, foreign)
			return sample, nil
		}
		s.retaken++
		if err := quieten(ctx); err != nil {
			return nil, err
		}
		s.spare -= time.Since(start)
	}
}

// quieten waits a while for the others to have done.
func quieten(ctx context.Context) error {
	look := time.NewTicker(300 * time.Millisecond)
	defer look.Stop()
	for range 10 {
		m, err := machine.Start()
		if err != nil {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if foreign, err := m.Foreign(); err != nil || foreign <= disturbed {
			return err
		}
	}
	return nil
}
