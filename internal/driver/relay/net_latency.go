package relay

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetLatency,
	func(p *fault.Latency) relay.Effect { return latency{*p} },
	func(p *fault.Latency) words {
		return words{
			touches: flow(p.Direction) + " on %s " + "start " + about(p.Delay, p.Jitter) + " later",
			undoes:  "bytes that wait leave at once, in order",
		}
	})

// latency gives every chunk a later due time. The delay of an exchange is drawn
// once, so that it keeps its pace; that of a connection anew for each chunk.
type latency struct{ p fault.Latency }

func (l latency) Stage(way relay.Way, of fault.Unit, r *relay.Rand) relay.Stage {
	if !along(l.p.Direction, way) {
		return nil
	}
	s := &lag{delay: l.p.Delay.Std(), jitter: l.p.Jitter.Std(), r: r}
	if of == fault.Exchange {
		s.delay, s.jitter = s.draw(), 0
	}
	return s
}

type lag struct {
	delay, jitter time.Duration
	r             *relay.Rand
}

func (s *lag) draw() time.Duration { return vary(s.delay, s.jitter, s.r) }

// Pass delays data, head and end alike.
func (s *lag) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	c.Due = c.Due.Add(s.draw())
	emit(c)
}

// vary draws evenly from [delay-jitter, delay+jitter].
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
