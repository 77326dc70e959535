package traffic

import (
	"math/bits"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Schedule says when each request of a flow is due, whatever the service does: the
// first at Begin, and then one in each interval, at a random instant in it or, without
// a seed, at its beginning.
//
// Even arrivals beat against whatever else is regular: the waits of a caller's
// retries, its polls and timers. Then a retry of one call always comes together with
// the beginning of another, a breaker's probe always meets the same phase, and what
// is seen looks like something else. One at random in each interval breaks that up
// and keeps the rate to within one request.
type Schedule struct {
	Begin time.Time
	// Interval is above 0.
	Interval time.Duration
	// Seed of the instants; 0 has requests due evenly.
	Seed uint64
}

// newSchedule is that of a flow in a run.
func newSchedule(begin time.Time, interval time.Duration, seed uint64, flow string) Schedule {
	return Schedule{begin, interval, max(1, fault.Hash(seed, flow, "schedule"))}
}

// start is when request i is due. It never comes before that of i-1.
func (s Schedule) start(i uint64) time.Time {
	at := s.Begin.Add(time.Duration(i) * s.Interval)
	if s.Seed == 0 || i == 0 {
		return at
	}
	into, _ := bits.Mul64(mix(s.Seed+i*0x9e3779b97f4a7c15), uint64(s.Interval))
	return at.Add(time.Duration(into))
}

// index is the first request that is due at or after t.
func (s Schedule) index(t time.Time) uint64 {
	d := t.Sub(s.Begin)
	if d <= 0 || s.Interval <= 0 {
		return 0
	}
	i := uint64(d / s.Interval)
	if s.start(i).Before(t) {
		i++
	}
	return i
}

// mix scatters 64 bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
