package relay

import (
	"sync"

	"github.com/chaosctl/chaosctl/experiment"
)

// attempts numbers what has the same key, or trace. It remembers the last keys only:
// between 16384 and twice as many.
type attempts struct {
	mu        sync.Mutex
	now, last map[experiment.Digest]int32
}

// attemptsMost is how many keys come before the older ones are forgotten.
const attemptsMost = 1 << 14

func (a *attempts) next(key experiment.Digest) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.now[key]
	if !ok {
		n = a.last[key]
		if len(a.now) >= attemptsMost || a.now == nil {
			a.now, a.last = a.last, a.now
			clear(a.now)
			if a.now == nil {
				a.now = map[experiment.Digest]int32{}
			}
		}
	}
	a.now[key] = n + 1
	return int(n + 1)
}
