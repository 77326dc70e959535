package relay

import "time"

// bell waits for a moment with one timer that is used again.
type bell struct{ timer *time.Timer }

// wait returns at due (never, if it is zero) or at a kick; false when over.
func (a *bell) wait(due time.Time, kick, over <-chan struct{}) bool {
	var ring <-chan time.Time
	if !due.IsZero() {
		if d := time.Until(due); a.timer == nil {
			a.timer = time.NewTimer(d)
		} else {
			a.timer.Reset(d)
		}
		ring = a.timer.C
	}
	select {
	case <-ring:
		return true
	case <-kick:
	case <-over:
		return false
	}
	return true
}

func (a *bell) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// in is the moment after a while; never, if that is 0.
func in(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
