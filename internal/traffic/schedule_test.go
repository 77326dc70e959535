package traffic

import (
	"testing"
	"time"
)

// TestSchedule: one request is due in each interval, in order, and index is the reverse
// of start, at the very instants, too.
func TestSchedule(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	for _, s := range []Schedule{
		{begin, time.Second, 0}, newSchedule(begin, time.Second, 7, "a"), newSchedule(begin, 3*time.Nanosecond, 7, "a"), newSchedule(begin, 7*time.Hour, 8, "b"),
	} {
		moved := 0
		for i := uint64(0); i < 2000; i++ {
			at, slot := s.start(i), begin.Add(time.Duration(i)*s.Interval)
			if at.Before(slot) || !at.Before(slot.Add(s.Interval)) || i > 0 && at.Before(s.start(i-1)) {
				t.Fatalf("%+v: request %d is due at %s", s, i, at.Sub(begin))
			}
			if at != slot {
				moved++
			}
			for _, d := range []time.Duration{-1, 0, 1} {
				k := s.index(at.Add(d))
				if s.start(k).Before(at.Add(d)) || k > 0 && !s.start(k-1).Before(at.Add(d)) {
					t.Fatalf("%+v: at %s%+d the next is said to be %d", s, at.Sub(begin), d, k)
				}
			}
		}
		if even := s.Seed == 0; even != (moved == 0) {
			t.Errorf("%+v: %d of 2000 are moved", s, moved)
		}
	}
	if a, b := newSchedule(begin, time.Second, 7, "a"), newSchedule(begin, time.Second, 7, "a"); a != b {
		t.Error("the same seed and flow give another schedule")
	}
	if a, b := newSchedule(begin, time.Second, 7, "a"), newSchedule(begin, time.Second, 7, "b"); a.start(5) == b.start(5) {
		t.Error("two flows come together")
	}
}
