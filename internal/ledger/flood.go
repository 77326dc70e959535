package ledger

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// fewArrivals is how many requests must have come to a caller while it was hurt, and
	// before, for the attempts of each to be known on average.
	fewArrivals = 10
	// shortFlood is the shortest step that is looked at.
	shortFlood = time.Second
)

// flood finds calls without an end where it is not known which attempts are whose. When
// requests come at a steady rate, attempts come at that rate times the attempts that a
// call has had by the age that the oldest have (Little's law, for attempts). So many
// attempts per request at the end of a step are calls without an end if there are more
// and more of them, or if it is the users who go, and if no request was answered
// with a failure: that is what a caller does that gives up.
func (c *caller) flood() (experiment.Tries, bool) {
	steady := 1.0
	for _, s := range c.v.Spans {
		if came, made, _ := c.traffic(s.From, s.To); s.Stage == experiment.StageSteady && len(came) >= fewArrivals {
			steady = max(1, float64(len(made))/float64(len(came)))
		}
	}
	for _, s := range c.v.Spans {
		if s.Stage != experiment.StageHurt || s.To-s.From < shortFlood || s.To >= 1<<62 {
			continue
		}
		third := (s.To - s.From) / 3
		came, _, failed := c.traffic(s.From, s.To)
		_, middle, _ := c.traffic(s.From+third, s.To-third)
		_, last, _ := c.traffic(s.To-third, s.To)
		if len(came) < fewArrivals || failed*20 > len(came) {
			continue
		}
		gone := 0
		for _, e := range came {
			if e.GaveUp() {
				gone++
			}
		}
		each := float64(len(last)) * 3 / float64(len(came)) / steady
		grows := len(last)*20 >= len(middle)*23
		if each < EndlessFrom || !grows && gone*2 < len(came) {
			continue
		}
		return experiment.Tries{Most: int(each), Endless: true, Finding: experiment.Finding{
			Known: true, Confidence: 0.8, Samples: len(came), Evidence: nos(last...),
			Why: fmt.Sprintf("in the end there were %.0f attempts for each request that came, and none of %d requests was answered with a failure: the caller does not give up", each, len(came)),
		}}, true
	}
	return experiment.Tries{}, false
}

// traffic is the requests that came to the caller in a stretch of time, how many of them
// it answered with a failure, and the attempts that it made.
func (c *caller) traffic(from, to time.Duration) (came, made []*Entry, failed int) {
	for i := range c.v.Entries {
		e := &c.v.Entries[i]
		switch {
		case e.Start < from || e.Start >= to || e.Flow >= 0:
		case e.Edge == c.edge:
			made = append(made, e)
		case c.v.Edges[e.Edge].To == c.from:
			came = append(came, e)
			if e.Failed() && !e.GaveUp() {
				failed++
			}
		}
	}
	return came, made, failed
}
