package relay

import (
	"fmt"
	"math"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetLatency,
	func(p *fault.Latency) relay.Effect { return latency{*p} },
	func(p *fault.Latency) words {
		w := words{
			touches: flow(p.Direction) + " on %s " + "start " + about(p.Delay, p.Jitter) + " later",
			undoes:  "bytes that wait leave at once, in order",
		}
		if p.Jitter > 0 && p.Distribution != fault.Uniform && p.Distribution != "" {
			w.touches += " (" + string(p.Distribution) + ")"
		}
		if p.Reorder {
			w.touches += ", and may overtake each other"
		}
		w.datagrams = &words{touches: w.touches, undoes: "datagrams that wait leave at once, in order"}
		return w
	})

// latency gives every chunk a later due time. The delay of an exchange is drawn
// once, so that it keeps its pace; that of a connection anew for each chunk.
type latency struct{ p fault.Latency }

func (l latency) Stage(way relay.Way, of fault.Unit, r *relay.Rand) relay.Stage {
	if !along(l.p.Direction, way) {
		return nil
	}
	s := &lag{delay: l.p.Delay.Std(), jitter: l.p.Jitter.Std(), how: l.p.Distribution, free: l.p.Reorder, r: r}
	if of == fault.Exchange {
		s.delay, s.jitter, s.free = s.draw(), 0, false
	}
	return s
}

func (l latency) Lane(way relay.Way) relay.Lane {
	if !along(l.p.Direction, way) {
		return nil
	}
	return late(l)
}

// late delays datagrams, each by itself.
type late struct{ p fault.Latency }

func (l late) Packet(_ int, _ time.Time, chance *relay.Rand) relay.Fate {
	return relay.Fate{Delay: max(0, spread(l.p.Distribution, l.p.Delay.Std(), l.p.Jitter.Std(), chance))}
}

type lag struct {
	delay, jitter time.Duration
	how           fault.Distribution
	free          bool // bytes may overtake each other
	r             *relay.Rand
}

func (s *lag) draw() time.Duration { return spread(s.how, s.delay, s.jitter, s.r) }

// Pass delays data and the head of an exchange. An end waits for what is before it
// alone, as in Toxiproxy.
func (s *lag) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if len(c.Data) == 0 && c.End != relay.GoesOn {
		emit(c)
		return
	}
	c.Due = c.Due.Add(s.draw())
	c.Free = c.Free || s.free && len(c.Data) > 0
	emit(c)
}

// Shift delays bytes without looking at them.
func (s *lag) Shift(came time.Time) (time.Time, bool) {
	return came.Add(s.draw()), !s.free
}

const (
	// reach is how many times the jitter a delay may exceed its mean: one draw in
	// a million of a heavy tail must not hold a connection for minutes.
	reach = 10
	// paretoShape is the exponent of the tail, that of the table with which
	// tc-netem draws (iproute2, netem/pareto.c).
	paretoShape = 3
)

// spread draws a delay. All but the uniform one have the given mean and jitter as
// their standard deviation, before they are clipped to [0, delay + reach*jitter]:
//
//   - uniform: even in [delay-jitter, delay+jitter];
//   - normal: by the transform of Box and Muller (1958);
//   - lognormal: exp(m + s*z), z standard normal, with s² = ln(1 + (jitter/delay)²)
//     and m = ln(delay) - s²/2 (the moments of that distribution, solved);
//   - pareto: x = (1-u)^(-1/3), which is at least 1 and has the mean 3/2 and the
//     variance 3/4, shifted and scaled. The least delay is 0.58 jitter below the
//     mean; one draw in a thousand is more than 9.8 jitter above it.
func spread(how fault.Distribution, delay, jitter time.Duration, r *relay.Rand) time.Duration {
	if jitter == 0 {
		return delay
	}
	mean, deviation := float64(delay), float64(jitter)
	var d float64
	switch how {
	case fault.Normal:
		d = mean + deviation*normal(r)
	case fault.LogNormal:
		s2 := math.Log1p((deviation / mean) * (deviation / mean))
		d = mean * math.Exp(math.Sqrt(s2)*normal(r)-s2/2)
	case fault.Pareto:
		x := math.Pow(1-r.Float(), -1./paretoShape)
		d = mean + deviation*(x-1.5)/math.Sqrt(0.75)
	default:
		d = float64(vary(delay, jitter, r))
	}
	// A NaN, of a lognormal without a mean, becomes 0, too.
	if !(d > 0) {
		return 0
	}
	return time.Duration(min(d, mean+reach*deviation))
}

// normal draws with mean 0 and deviation 1.
func normal(r *relay.Rand) float64 {
	u, v := 1-r.Float(), r.Float() // u is above 0
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// vary draws evenly from [delay-jitter, delay+jitter], which may be below 0.
func vary(delay, jitter time.Duration, r *relay.Rand) time.Duration {
	if jitter == 0 {
		return delay
	}
	return delay + time.Duration((2*r.Float()-1)*float64(jitter))
}

// along tells whether a direction takes in a way.
func along(d fault.Direction, way relay.Way) bool {
	return d == fault.Both || d == fault.Request && way == relay.Up || (d == fault.Response || d == "") && way == relay.Down
}

// flow says what passes in a direction.
func flow(d fault.Direction) string {
	switch d {
	case fault.Request:
		return "requests"
	case fault.Both:
		return "requests and answers"
	}
	return "answers"
}

// about says a delay with its jitter.
func about(delay, jitter fault.Duration) string {
	if jitter == 0 {
		return delay.String()
	}
	return fmt.Sprintf("%s ± %s", delay, jitter)
}
