package relay

import "time"

// staged is a stage with the hit it acts for.
type staged struct {
	hit   *hit
	stage Stage
}

// alive leaves out the stages of effects that have been lifted.
func alive(stages []staged) []staged {
	for i, s := range stages {
		if s.hit.armed.isGone() {
			left := append([]staged{}, stages[:i]...)
			for _, s := range stages[i+1:] {
				if !s.hit.armed.isGone() {
					left = append(left, s)
				}
			}
			return left
		}
	}
	return stages
}

// bound is the tightest wish of the stages, 0 if there is none.
func bound(stages []staged) int {
	tightest := 0
	for _, s := range stages {
		if b, ok := s.stage.(Bounded); ok {
			if n := max(1, b.Bound()); tightest == 0 || n < tightest {
				tightest = n
			}
		}
	}
	return tightest
}

// through sends a chunk through the stages and queues what comes out.
func (q *queue) through(stages []staged, c Chunk, b *block) {
	rate := 0.0
	for _, s := range stages {
		s.hit.act()
		if b, ok := s.stage.(Bounded); ok && (rate == 0 || b.Rate() < rate) {
			rate = b.Rate()
		}
	}
	if rate > 0 && len(c.Data) > 0 {
		q.mu.Lock()
		q.line.add(len(c.Data), rate, time.Now())
		q.mu.Unlock()
	}
	q.step(stages, c, entry{block: b})
}

// shift gives bytes in a pipe that came at a moment the times they would get from
// blind stages; false if one of them has to see them.
func (e *entry) shift(stages []staged, came time.Time) bool {
	e.due = came
	for _, s := range stages {
		b, ok := s.stage.(Blind)
		if !ok {
			return false
		}
		due, ok := b.Shift(e.due)
		if !ok {
			return false
		}
		e.delay(s.hit.armed, due.Sub(e.due))
		e.due = due
	}
	return true
}

// delay notes what an effect adds to the time an entry waits.
func (e *entry) delay(by *armed, wait time.Duration) {
	switch {
	case wait <= 0:
	case e.part.by == nil:
		e.part = part{by, wait}
	default:
		e.more = append(e.more[:len(e.more):len(e.more)], part{by, wait})
	}
}

func (q *queue) step(stages []staged, c Chunk, e entry) {
	if len(stages) == 0 {
		e.data, e.due, e.end, e.free, e.alone = c.Data, c.Due, c.End, c.Free, c.Alone
		q.push(e)
		return
	}
	came := c.Due
	stages[0].stage.Pass(c, func(out Chunk) {
		e := e
		e.delay(stages[0].hit.armed, out.Due.Sub(came))
		q.step(stages[1:], out, e)
	})
}
