package relay

import (
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.NetSlowClose,
	func(p *fault.SlowClose) relay.Effect { return slowClose{*p} },
	func(p *fault.SlowClose) words {
		whose := map[fault.Direction]string{fault.Request: "the caller's", fault.Both: "either side's"}[p.Direction]
		if whose == "" {
			whose = "the callee's"
		}
		return words{
			touches: whose + " close on %s is seen " + p.Delay.String() + " later",
			undoes:  "ends that wait are passed on at once",
		}
	})

// slowClose gives ends a later due time.
type slowClose struct{ p fault.SlowClose }

func (slowClose) Raw() {}

func (e slowClose) Stage(way relay.Way, _ fault.Unit, _ *relay.Rand) relay.Stage {
	if !along(e.p.Direction, way) {
		return nil
	}
	return linger(e.p.Delay)
}

// linger is the time by which an end is delayed.
type linger time.Duration

// Pass delays an end, and not the bytes that come with it.
func (l linger) Pass(c relay.Chunk, emit func(relay.Chunk)) {
	if c.End == relay.GoesOn {
		emit(c)
		return
	}
	if len(c.Data) > 0 {
		emit(relay.Chunk{Data: c.Data, Due: c.Due, Free: c.Free})
	}
	emit(relay.Chunk{Due: c.Due.Add(time.Duration(l)), End: c.End})
}
