package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// loop carries connections of TCP edges: everything they do happens on its one
// goroutine, which never waits for a peer. So what is asked of a loop is done
// within the time that a few reads and writes take, whatever its peers do.
type loop struct {
	poll poller
	base time.Time
	live atomic.Int32 // connections

	mu    sync.Mutex
	jobs  []func()
	ended bool

	timers    alarms
	eagerness eagerness
	more      []*flow // that have more to do at once
	spare     []func()
	space     []*flow
	block     *block // for reading
	pipes     *pipes
	trim      alarm
	names     h1Names
	told      experiment.Exchange // to whoever listens
	done      chan struct{}
}

// poller waits for what sockets are ready for. Only wake may be called by others.
type poller interface {
	// wait hands on what is ready, waiting for it for up to d, for ever if that
	// is negative, or until wake.
	wait(d time.Duration)
	// warm makes sure that the next write does not wait for the kernel's code to
	// be loaded.
	warm()
	wake()
	close()
}

func newLoop(p poller, pipes *pipes) *loop {
	l := &loop{poll: p, base: time.Now(), block: newBlock(), pipes: pipes, done: make(chan struct{})}
	l.trim.ring = pipes.trim
	pipes.many = func() { l.setAlarm(&l.trim, time.Now().Add(time.Second)) }
	return l
}

// run returns once the loop was stopped.
func (l *loop) run() {
	defer close(l.done)
	for {
		if !l.work() {
			break
		}
		l.poll.wait(l.patience())
	}
	l.poll.close()
	l.pipes.close()
	l.block.release()
}

// work does what is to be done at once; false once the loop was stopped.
func (l *loop) work() bool {
	l.mu.Lock()
	jobs, ended := l.jobs, l.ended
	l.jobs = l.spare[:0]
	l.mu.Unlock()
	for i, do := range jobs {
		do()
		jobs[i] = nil
	}
	l.spare = jobs
	l.timers.ring(l.clock())
	more := l.more
	l.more = l.space[:0]
	for i, f := range more {
		f.queued = false
		f.pump()
		more[i] = nil
	}
	l.space = more
	return !ended
}

// clock is the time since the loop began.
func (l *loop) clock() time.Duration { return time.Since(l.base) }

// patience is how long the loop may wait.
func (l *loop) patience() time.Duration {
	if len(l.more) > 0 {
		return 0
	}
	l.mu.Lock()
	busy := len(l.jobs) > 0 || l.ended
	l.mu.Unlock()
	if busy {
		return 0
	}
	due, some := l.timers.next()
	if !some {
		return -1
	}
	now := l.clock()
	d, lead := due-now, l.eagerness.lead(now)
	switch {
	case d <= 0:
		return 0
	case d > lead:
		return d - lead
	}
	l.eagerness.stay(now)
	if l.eagerness.warms(now, d) {
		l.poll.warm()
	}
	return 0
}

const (
	// leadTime is how long before a byte is due the loop is up: a processor that
	// has slept takes some 50 to 150 µs to be back at work; leadAwake if it has
	// slept for less than nap.
	leadTime  = 200 * time.Microsecond
	leadAwake = 80 * time.Microsecond
	nap       = 5 * time.Millisecond
	// warmTime is how often the way of a send is gone while the loop is up, and
	// more than that takes.
	warmTime = 40 * time.Microsecond
	// leadWindow and leadMost bound what that may cost: 5 % of a processor, and
	// nothing while nothing is due.
	leadWindow = 100 * time.Millisecond
	leadMost   = 5 * time.Millisecond
)

// eagerness is how much of a window of time has been spent being up early.
type eagerness struct {
	from  time.Duration // when the window began
	spent time.Duration
	last  time.Duration // when it was last found to be up
	warm  time.Duration // when it has last sent itself a byte
}

// lead is how early to be up for the next byte: 0 once the window is spent.
func (e *eagerness) lead(now time.Duration) time.Duration {
	if now-e.from > leadWindow {
		e.from, e.spent = now, 0
	}
	if e.spent >= leadMost {
		return 0
	}
	if since := now - e.last; since > leadAwake && since < nap {
		return leadAwake
	}
	return leadTime
}

// stay notes that the loop is up, within its lead, until the next byte is due.
func (e *eagerness) stay(now time.Duration) {
	if since := now - e.last; since < leadAwake {
		e.spent += since
	}
	e.last = now
}

// warms tells whether it is time to send itself a byte: while it is up, as long as
// that delays nothing.
func (e *eagerness) warms(now, d time.Duration) bool {
	if d < warmTime || now-e.warm < warmTime {
		return false
	}
	e.warm = now
	return true
}

// again pumps a flow once others had their turn.
func (l *loop) again(f *flow) {
	if !f.queued {
		f.queued = true
		l.more = append(l.more, f)
	}
}

// post has the loop do something soon. Jobs are done in order; after stop they
// are not done.
func (l *loop) post(do func()) {
	l.mu.Lock()
	first := len(l.jobs) == 0
	if !l.ended {
		l.jobs = append(l.jobs, do)
	}
	l.mu.Unlock()
	if first {
		l.poll.wake()
	}
}

// stop ends the loop and waits for it.
func (l *loop) stop() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.poll.wake()
	<-l.done
}

// alarm is one thing to be done at a time.
type alarm struct {
	at   time.Duration // since the loop began
	slot int           // place in the heap, plus one; 0 if it is not set
	ring func()
}

// alarms are those that are set, the next one first.
type alarms []*alarm

func (h *alarms) next() (time.Duration, bool) {
	if len(*h) == 0 {
		return 0, false
	}
	return (*h)[0].at, true
}

// ring rings all that are due.
func (h *alarms) ring(now time.Duration) {
	for len(*h) > 0 && (*h)[0].at <= now {
		a := (*h)[0]
		h.clear(a)
		a.ring()
	}
}

// set sets an alarm, or sets it anew.
func (h *alarms) set(a *alarm, at time.Duration) {
	if a.slot > 0 && a.at == at {
		return
	}
	a.at = at
	if a.slot == 0 {
		*h = append(*h, a)
		a.slot = len(*h)
	}
	h.fix(a.slot - 1)
}

// clear takes an alarm out; it does nothing if it is not set.
func (h *alarms) clear(a *alarm) {
	if a.slot == 0 {
		return
	}
	i, last := a.slot-1, len(*h)-1
	a.slot = 0
	if i != last {
		(*h)[i] = (*h)[last]
		(*h)[i].slot = i + 1
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	if i != last {
		h.fix(i)
	}
}

// fix moves one whose time has changed to its place.
func (h *alarms) fix(i int) {
	s := *h
	for i > 0 {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			break
		}
		h.swap(i, up)
		i = up
	}
	for {
		down := 2*i + 1
		if down >= len(s) {
			return
		}
		if down+1 < len(s) && s[down+1].at < s[down].at {
			down++
		}
		if s[i].at <= s[down].at {
			return
		}
		h.swap(i, down)
		i = down
	}
}

func (h *alarms) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].slot, s[j].slot = i+1, j+1
}

// setAlarm sets an alarm of the loop for a moment; the zero time clears it.
func (l *loop) setAlarm(a *alarm, at time.Time) {
	if at.IsZero() {
		l.timers.clear(a)
		return
	}
	l.timers.set(a, at.Sub(l.base))
}
