package relay

import "sync"

// attempts numbers the exchanges of each trace that an effect has drawn. It remembers the last
// traces only: between 32768 and twice as many.
type attempts struct {
	mu        sync.Mutex
	now, last map[string]int
}

func (a *attempts) next(trace string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.now[trace]
	if !ok {
		n = a.last[trace]
		if len(a.now) >= 1<<15 || a.now == nil {
			a.now, a.last = map[string]int{}, a.now
		}
	}
	a.now[trace] = n + 1
	return n + 1
}
